"""Collecting beside img2dataset: images per CPU-second of the client, and per second.

    python benchmarks/collect.py --json collect.json          # about 40 minutes
    python benchmarks/collect.py --images 500 --pairs 1       # a look

Both read the same addresses from the same server processes on loopback and write webdataset tars
and Parquet with a sha256 of what was served. Three cases: photographs of about 100 KB kept as they
come, over HTTP and over HTTPS; 2 megapixels shrunk to 512 at quality 95, over HTTP. Client and
servers have a core each; the headline is the client's CPU time, all its processes counted, between
the moments when a fifth and when nine tenths of the images were sent: so neither start-up nor the
end count. The figure of the whole run stands beside. img2dataset runs with the best of several
settings of processes and threads, found for each case or given with --setting. Most of its time
over HTTPS goes into reading the trust store for every image; the store is the system's and one
more. So it is given a fifth of the images there.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from common import figure, write
from served import Authority, Served, photos

CLIENT, SERVER = 0, 1
SETTINGS = ((1, 32), (1, 64), (2, 32))
"""img2dataset's processes and threads, to choose from."""
CONNECTIONS = 32
RECIPE = """
from humanverse.collect import Collect
from humanverse.plan import Plan
from humanverse.recipe import Recipe

recipe = Recipe("collect", collect=[Collect(min_side=16)], plan=Plan(unit_rows=1000))
"""


@dataclass(frozen=True)
class Case:
    """What is fetched, what is made of it, and how much better we mean to be."""

    name: str
    size: tuple[int, int, int]
    """Width, height, quality as served."""
    tls: bool
    side: int | None
    goal: float


CASES = (
    Case("HTTP, 100 KB kept", (640, 480, 90), False, None, 1.5),
    Case("HTTPS, 100 KB kept", (640, 480, 90), True, None, 10.0),
    Case("HTTP, 2 MP to 512", (1632, 1224, 88), False, 512, 2.0),
)


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    images: int
    cpu: float
    wall: float
    steady: tuple[float, float]
    """Images a CPU-second, and a second, in its middle part."""


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, of those it started, and of those that it has seen end."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = {c for t in threads for c in (t / "children").read_text().split()}
    except OSError:  # it has just ended
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_of(int(child)) for child in children)


def measured(command: list[str], bundle: Path | None, served: Served, images: int):
    """CPU and wall seconds of a command and all that it starts, and its rates in the middle."""
    env = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "HUMANVERSE_OFFLINE": "1"}
    if bundle:
        env["SSL_CERT_FILE"] = str(bundle)
    start, before, seen = time.monotonic(), served.count(), []
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT}),  # noqa: PLW1509 - no threads here
        )
        ended = 0
        while not ended:
            time.sleep(0.05)
            seen.append((served.count() - before, cpu_of(process.pid), time.monotonic()))
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{log.read().decode()[-4000:]}")
    return used.ru_utime + used.ru_stime, wall, middle_of(seen, images)


def middle_of(seen: list[tuple[int, float, float]], images: int) -> tuple[float, float]:
    """Images a CPU-second, and a second, between a fifth and nine tenths of them."""
    inside = [moment for moment in seen if images * 0.2 <= moment[0] <= images * 0.9]
    if len(inside) < 2 or inside[-1][0] == inside[0][0]:
        return float("nan"), float("nan")
    (first, cpu, clock), (last, cpu_then, clock_then) = inside[0], inside[-1]
    return (last - first) / max(cpu_then - cpu, 0.01), (last - first) / (clock_then - clock)


def ours(
    case: Case, table: Path, folder: Path, bundle: Path | None, served: Served, images: int
) -> Cost:
    recipe = folder / "recipe.py"
    recipe.write_text(RECIPE)
    side = case.side or 4096
    sets = [f"max_side={side}", "allow_hosts=localhost", "per_host_rate=0", "contact=me@localhost"]
    sets += [f"per_host={CONNECTIONS}", f"connections={CONNECTIONS}"]
    sets = [f"--set=collect.{s}" for s in sets]
    program, rest = [sys.executable, "-m", "humanverse"], ["--out", str(folder / "out"), *sets]
    plan = [*program, "plan", str(recipe), "--input", str(table), *rest]
    collect = [*program, "collect", str(recipe), "--runner", "local", *rest]
    planned = measured(plan, bundle, served, images)
    cpu, wall, steady = measured(collect, bundle, served, images)
    layers = (folder / "out" / "collect").glob("*.parquet")
    kept = sum(pq.read_table(f, columns=["reason"])["reason"].null_count for f in layers)
    return Cost(kept, cpu + planned[0], wall + planned[1], steady)


def theirs(
    case: Case,
    table: Path,
    folder: Path,
    bundle: Path | None,
    served: Served,
    images: int,
    setting: tuple[int, int],
) -> Cost:
    options = {
        "url_list": str(table),
        "input_format": "parquet",
        "url_col": "url",
        "output_format": "webdataset",
        "output_folder": str(folder / "out"),
        "processes_count": setting[0],
        "thread_count": setting[1],
        "number_sample_per_shard": 1000,
        "compute_hash": "sha256",
        "encode_quality": 95,
        "enable_wandb": False,
    }
    options |= (
        {
            "image_size": case.side,
            "resize_mode": "keep_ratio_largest",
            "resize_only_if_bigger": True,
        }
        if case.side
        else {"resize_mode": "no", "skip_reencode": True}
    )
    code = f"import img2dataset\nif __name__ == '__main__':\n img2dataset.download(**{options!r})\n"
    script = folder / "run.py"
    script.write_text(code)
    command = [sys.executable, "-W", "ignore", str(script)]
    cpu, wall, steady = measured(command, bundle, served, images)
    status = [
        s
        for f in (folder / "out").glob("*.parquet")
        for s in pq.read_table(f)["status"].to_pylist()
    ]
    return Cost(status.count("success"), cpu, wall, steady)


def run(which, case: Case, served: Served, count: int, bundle: Path | None, *more) -> Cost:
    """One run in a folder of its own; every image must have come."""
    with tempfile.TemporaryDirectory(prefix="collect-") as name:
        table = Path(name) / "urls.parquet"
        pq.write_table(pa.table({"url": [served.url(n) for n in range(count)]}), table)
        cost = which(case, table, Path(name), bundle, served, count, *more)
        if cost.images != count:
            kept = Path(tempfile.mkdtemp(prefix="collect-failed-"))
            shutil.copytree(name, kept, dirs_exist_ok=True)
            raise SystemExit(
                f"{which.__name__} brought {cost.images} of {count} images: see {kept}"
            )
        return cost


def compare(
    case: Case, images: int, pairs: int, folder: Path, setting: tuple[int, int] | None
) -> list[dict]:
    authority = Authority(folder) if case.tls else None
    bundle = authority.bundle if authority else None
    bodies = photos(*case.size)
    size = sum(map(len, bodies)) / len(bodies) / 1000
    note = f", {authority.count} certificates" if authority else ""
    print(f"\n{case.name}: {size:.0f} KB a photograph{note}", flush=True)
    fewer = images // 5 if case.tls else images
    with Served(bodies, tls=authority, core=SERVER) as served:
        best = setting or chosen(case, served, max(200, fewer // 4), bundle)
        print(f"  img2dataset with {best[0]} processes of {best[1]} threads", flush=True)
        rows = []
        for _ in range(pairs):
            mine = run(ours, case, served, images, bundle)
            other = run(theirs, case, served, fewer, bundle, best)
            whole = (mine.images / mine.cpu) / (other.images / other.cpu)
            (cpu, clock), (their_cpu, their_clock) = mine.steady, other.steady
            rows.append((cpu, their_cpu, cpu / their_cpu, whole, clock / their_clock))
            print(
                "  ours {:.0f}, img2dataset {:.0f} images a CPU-second; {:.2f} x, the whole run "
                "{:.2f} x; by the clock {:.2f} x".format(*rows[-1]),
                flush=True,
            )
    middle = [statistics.median(row[n] for row in rows) for n in range(5)]
    peer = f"img2dataset 1.47: {middle[1]:.0f} images a CPU-second"
    return [
        figure(f"{case.name}: images per CPU-second", middle[2], "x", case.goal, peer=peer),
        figure(f"{case.name}: the same, whole runs of {images} images", middle[3], "x", peer=peer),
        figure(f"{case.name}: images per second", middle[4], "x", peer=peer),
    ]


def chosen(case: Case, served: Served, images: int, bundle: Path | None) -> tuple[int, int]:
    """img2dataset's best setting by CPU time."""
    tried = {s: run(theirs, case, served, images, bundle, s).steady[0] for s in SETTINGS}
    return max(tried, key=tried.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", help="a part of a case's name")
    parser.add_argument("--setting", help="img2dataset's processes and threads, such as 1x32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    given = tuple(map(int, options.setting.split("x"))) if options.setting else None
    figures = []
    for case in CASES:
        if options.only is None or options.only in case.name:
            with tempfile.TemporaryDirectory(prefix="authority-") as folder:
                figures += compare(case, options.images, options.pairs, Path(folder), given)
    for row in figures:
        goal = f" (goal {row['goal']})" if row["goal"] else ""
        print(f"{row['name']}: {row['value']:.2f} x{goal}")
    write(figures, options.json)


if __name__ == "__main__":
    main()
