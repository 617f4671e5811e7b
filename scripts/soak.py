"""What the bookkeeping of very many units costs: memory, time a unit, resuming, status.

    python scripts/soak.py --units 10000 --synthetic 100000 --json soak.json

`--units` builds so many units for real, with doubles for web and models, on the local runner.
`--synthetic` makes a root of which 99 % is done, by the functions that a build calls, but without
layer files and without waiting for the disk. On that root it asks for the status, and starts a
build to see when the first task reaches a worker. `--ray` builds so many units by Ray.
"""

import argparse
import gc
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import plan
from humanverse.filter.people import ChoosePeople
from humanverse.layers.commit import Commit, File, Layer, publish
from humanverse.layers.ledger import keep_recipe
from humanverse.layers.rolled import roll_up, rolled_names
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe, to_json
from humanverse.run import build as verb
from humanverse.run.build import Settings, Watcher, build
from humanverse.stage import fingerprints
from humanverse.testing.stages import HashCollect, HashDetect, HashLabels

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from common import figure, write

UNIT_ROWS = 2
DONE = 0.99
STAGES = (HashCollect, HashDetect, ChoosePeople, HashLabels)
RUNNING = "humanverse: first task"
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20

recipe = Recipe(
    name="soak",
    plan=Plan(unit_rows=UNIT_ROWS),
    collect=[HashCollect()],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[HashLabels()],
    pack=Pack(units_per_shard=1000),
)


class Soaked(Watcher):
    """Commits so far and MiB in memory, again and again."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []
        self.objects: list[tuple[int, float]] = []
        self.done = 0

    def commits(self, commit: Commit) -> None:  # noqa: ARG002 - that there was one is enough
        self.done += 1
        if self.done % 20 == 0:
            memory = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            self.seen.append((self.done, memory))
        if self.done % verb.ROLL_UP_EVERY == 1:  # what waits to be rolled up is just gone
            gc.collect()
            self.objects.append((self.done, len(gc.get_objects())))


def slope(seen: list[tuple[int, float]]) -> float:
    """Growth over 10,000 commits, without the first fifth, in which pools and caches fill."""
    late = np.array(seen[len(seen) // 5 :])
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 10_000


class Timed:
    """Seconds of CPU and of wall that stages take for themselves."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __call__(self, stage: type) -> object:
        inner = stage.__call__

        def outer(this: object, batch: pa.Table) -> pa.Table:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return inner(this, batch)
            finally:
                self.cpu += time.thread_time() - cpu
                self.wall += time.perf_counter() - wall

        return patch.object(stage, "__call__", outer)


def write_table(path: Path, units: int) -> Path:
    """A table that makes so many units."""
    urls = [f"http://soak.example/{number}.jpg" for number in range(units * UNIT_ROWS)]
    pq.write_table(pa.table({"url": urls}), path)
    return path


def really(folder: Path, units: int) -> list[dict]:
    """Build so many units and measure."""
    table, watched, timed = write_table(folder / "urls.parquet", units), Soaked(), Timed()
    root, settings = folder / "root", Settings("local")
    build(recipe, [table], root, packed=False, settings=Settings("local", limit=10 * UNIT_ROWS))
    for stage in STAGES:
        timed(stage).start()
    cpu, wall = time.process_time(), time.perf_counter()
    build(recipe, [], root, packed=False, settings=settings, watcher=watched)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    patch.stopall()
    name, done = f"{units:,} units", watched.done
    own = [timed.cpu / done * 1e3, timed.wall / done * 1e3]
    peer = f"stages {own[0]:.1f} and {own[1]:.1f} ms"
    memory = f"{watched.seen[0][1]:.0f} MiB at first, {watched.seen[-1][1]:.0f} at last"
    cost = (cpu / done * 1e3 - own[0], wall / done * 1e3 - own[1])
    return [
        figure(f"{name}: memory", slope(watched.seen), "MiB/10,000 units", 10, "lower", memory),
        figure(f"{name}: objects", slope(watched.objects), "per 10,000 units", 1000, "lower"),
        figure(f"{name}: CPU besides stages", cost[0], "ms/unit", 50, "lower", peer),
        figure(f"{name}: time besides stages", cost[1], "ms/unit", 50, "lower", peer),
        figure(f"{name}: roll-ups", len(rolled_names(Store(root))), "files", None, "lower"),
    ]


def by_ray(folder: Path, units: int) -> list[dict]:
    """Build so many units by Ray."""
    table, watched = write_table(folder / "ray.parquet", units), Soaked()
    wall = time.perf_counter()
    build(recipe, [table], folder / "ray", packed=False, settings=Settings("ray"), watcher=watched)
    wall = time.perf_counter() - wall
    name, grown = f"{units:,} units by Ray", slope(watched.seen)
    return [
        figure(f"{name}: memory of the driver", grown, "MiB/10,000 units", None, "lower"),
        figure(f"{name}: time, start and stages too", wall / units * 1e3, "ms/unit", None, "lower"),
    ]


def synthetic(folder: Path, units: int) -> list[dict]:
    """Make a root that is nearly done, ask for its status and go on with it."""
    root = folder / "synthetic"
    made = _nearly_done(root, write_table(folder / "many.parquet", units))
    me, program = [sys.executable, __file__], [sys.executable, "-m", "humanverse"]
    started = time.perf_counter()
    status = subprocess.run([*program, "status", str(root)], stdout=subprocess.PIPE, check=True)
    status_s = time.perf_counter() - started
    if f"units: {made} of {units}".encode() not in status.stdout:
        raise SystemExit(f"status says:\n{status.stdout.decode()}")
    started = time.perf_counter()
    run = subprocess.Popen([*me, "--resume", str(root)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    told = next(line for line in run.stdout if line.startswith(RUNNING))
    resume_s = time.perf_counter() - started
    run.kill()
    run.wait()
    name = f"{units:,} units, {made:,} done"
    peer = f"of it {told.split()[-1]} s in Python's imports"
    return [
        figure(f"{name}: resume to the first task", resume_s, "s", 10, "lower", peer),
        figure(f"{name}: status", status_s, "s", 5, "lower"),
        figure(f"{name}: roll-ups", len(rolled_names(Store(root))), "files", None, "lower"),
    ]


def _nearly_done(root: Path, table: Path) -> int:
    """A root with plan, receipts and roll-ups as a build leaves them; how many units are done."""
    store, marks = Store(root), fingerprints(recipe.stages())
    with patch("os.fsync"):
        plan.make_plan(store, [table], recipe.plan)
        keep_recipe(store, to_json(recipe.resolved()))
        units = plan.units(store)
        count = int(len(units) * DONE)
        left = iter(units[:count])
        while wave := list(itertools.islice(left, verb.ROLL_UP_EVERY)):
            commits = [_commit(unit, marks) for unit in wave]
            for commit in commits:
                publish(store, commit)
            roll_up(store, commits)
    os.sync()  # once, or the disk would still be busy with it while others are measured
    return count


def _commit(unit: plan.Unit, marks: dict[str, str]) -> Commit:
    layers = {}
    for name, mark in marks.items():
        digest = f"{hash((unit.name, name)) % 16**12:012x}"
        base = f"{name}/{unit.name}.{digest}"
        files = [File(f"{base}.{kind}", digest * 5 + "0000", 2000) for kind in ("parquet", "tar")]
        reasons = {"http_gone": 1} if name == "collect" else {}
        passed = unit.rows - len(reasons)
        tar = files[1] if name in ("collect", "labels") else None
        layers[name] = Layer(mark, unit.rows, passed, reasons, files[0], tar)
    return Commit(unit.name, 0, unit.rows, layers)


def resume(root: Path, imported: float) -> None:
    """Go on with a root, and say so when a stage gets its first rows."""
    inner = HashCollect.__call__

    def outer(this: HashCollect, batch: pa.Table) -> pa.Table:
        print(RUNNING, f"{imported:.1f}", flush=True)
        return inner(this, batch)

    with patch.object(HashCollect, "__call__", outer):
        build(recipe, [], root, packed=False, settings=Settings("local"))


def whole(folder: Path, units: int) -> None:
    """Complain of a root that is not whole."""
    for name in ("root", "ray"):
        if (folder / name).exists() and (findings := verify(Store(folder / name))):
            raise SystemExit(f"{name} of {units} units: {findings[:5]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=0)
    parser.add_argument("--synthetic", type=int, default=0)
    parser.add_argument("--ray", type=int, default=0)
    parser.add_argument("--roll-up", type=int, default=1000, help="commits after which they are")
    parser.add_argument("--verify", action="store_true", help="prove afterwards what was built")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    verb.ROLL_UP_EVERY = options.roll_up
    if options.resume:
        resume(options.resume, time.process_time())
        return
    with tempfile.TemporaryDirectory(prefix="humanverse-soak-") as name:
        folder, figures = Path(name), []
        for measure in (really, synthetic, by_ray):
            units = {really: options.units, synthetic: options.synthetic, by_ray: options.ray}
            if units[measure]:
                figures += measure(folder, units[measure])
        if options.verify:
            whole(folder, options.units or options.ray)
    for row in figures:
        goal = "" if row["goal"] is None else f"  goal {row['goal']}"
        told = f"  ({row['peer']})" if row["peer"] else ""
        print(f"{row['name']}: {row['value']:.3g} {row['unit']}{goal}{told}")
    write(figures, options.json)


if __name__ == "__main__":
    main()
