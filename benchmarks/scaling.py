"""How the Ray runner's throughput grows with its workers, and that a slow pool bounds memory.

    python benchmarks/scaling.py --json FILE [--workers 1 2 4 8 16] [--seconds 4]

Workers sleep instead of computing, so that two cores can hold sixteen of them: what is measured is
the runner (the driver, the hand-over of units, commits), not the machine. Throughput is that of the
time in which all workers were there: from the first unit of the last one to begin until the first
one has had its last. Start-up is outside it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from common import figure, write

from humanverse.filter.people import ChoosePeople
from humanverse.layers.store import Store
from humanverse.layers.timings import Timing, covered, read_timings
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.run.build import Outcome, Settings, Watcher, build
from humanverse.testing.paced import PacedAlone, PacedCollect, PacedDetect
from humanverse.testing.stages import HashDetect

GROWTH = 1.15
"""Of the peak with twice the units: what sampling and the allocator's luck make of none."""


@contextmanager
def ray_of(cpus: int, store: int | None = None):
    """Ray with so many logical CPUs, whatever the machine has."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    import ray

    ray.init(
        address="local", num_cpus=cpus, object_store_memory=store, include_dashboard=False,
        logging_level="ERROR", log_to_driver=False,
    )  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()


def urls(folder: Path, rows: int) -> Path:
    """A table of addresses that nobody is asked for."""
    path = folder / "urls.parquet"
    addresses = [f"http://h{n % 50}.example.org/{n}.jpg" for n in range(rows)]
    pq.write_table(pa.table({"url": addresses}), path)
    return path


def made(
    recipe: Recipe, units: int, folder: Path, watcher: Watcher | None = None
) -> tuple[Outcome, list[list[Timing]]]:
    """A build by Ray, which runs already, and what its units took."""
    table = urls(folder, units * recipe.plan.unit_rows)
    outcome = build(
        recipe, [table], folder / "root", packed=False, settings=Settings("ray"), watcher=watcher
    )
    return outcome, read_timings(Store(folder / "root"))


def steady(timings: list[Timing], workers: int) -> tuple[float, float, float]:
    """Units a second, share of the workers' time with a unit, and seconds, while all were there."""
    by: dict[str, list[Timing]] = {}
    for timing in timings:
        by.setdefault(timing.worker, []).append(timing)
    if len(by) != workers:
        raise SystemExit(f"{len(by)} of {workers} workers had a unit")
    begun = max(min(t.begun for t in mine) for mine in by.values())
    ended = min(max(t.begun + t.seconds for t in mine) for mine in by.values())
    span = ended - begun
    if span <= 0:
        raise SystemExit("no time in which all workers were there: give them more units")
    inside = [max(0.0, min(t.begun + t.seconds, ended) - max(t.begun, begun)) for t in timings]
    done = sum(part / t.seconds for part, t in zip(inside, timings, strict=True))
    return done / span, sum(inside) / (workers * span), span


def scaling(counts: list[int], seconds: float, each: int) -> list[dict]:
    """Throughput by number of workers, over that of one."""
    figures, alone = [], 0.0
    recipe = Recipe(
        name="asleep",
        plan=Plan(unit_rows=4),
        collect=[PacedAlone(seconds=seconds)],
        filter=[],
        pack=Pack(units_per_shard=100),
    )
    for workers in counts:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, ray_of(workers):
            _, units = made(recipe, workers * each, Path(folder))
        rate, busy, span = steady([t for unit in units for t in unit], workers)
        alone = alone or rate / workers
        share = rate / workers / alone
        print(
            f"{workers:3} workers: {rate:.3f} units/s over {span:.0f} s, {share:.1%} of linear, "
            f"{busy:.1%} busy; {time.monotonic() - begun:.0f} s with start-up"
        )
        figures.append(figure(f"{workers} workers: share of linear", share, "share", 0.9))
        figures.append(figure(f"{workers} workers: busy", busy, "share"))
    return figures


class Peak:
    """The most memory that a run takes, looked at twice a second."""

    def __init__(self, spilled: Path) -> None:
        self.driver = self.workers = self.store = self.spilled = 0
        self._at, self._ended = spilled, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        from ray import get_runtime_context
        from ray._private.internal_api import memory_summary

        me, address = psutil.Process(), get_runtime_context().gcs_address
        while not self._ended.wait(0.5):
            workers = 0
            for child in me.children(recursive=True):
                try:
                    if "ray::" in child.name():
                        workers += child.memory_full_info().uss
                except psutil.Error:
                    continue
            summary = memory_summary(address, stats_only=True)  # others' clusters may run here
            told = re.search(r"Plasma memory usage (\d+) MiB", summary)
            self.store = max(self.store, int(told[1]) << 20 if told else 0)
            self.driver = max(self.driver, me.memory_full_info().uss)
            self.workers = max(self.workers, workers)
            files = [p.stat().st_size for p in self._at.rglob("*") if p.is_file()]
            self.spilled = max(self.spilled, sum(files))


def bounded(units: int, megabytes: int) -> list[dict]:
    """Peaks of memory with a collector that is fast and a labeller that is slow."""
    recipe = Recipe(
        name="behind",
        plan=Plan(unit_rows=4),
        collect=[PacedCollect(seconds=0.05, size=megabytes * 250_000)],
        filter=[HashDetect(), ChoosePeople(min_people=0, min_area=0), PacedDetect(seconds=0.5)],
        pack=Pack(units_per_shard=100),
    )
    peaks = []
    for count in (units, 2 * units):
        with tempfile.TemporaryDirectory() as folder, ray_of(3, 300 << 20) as ray:
            session = Path(ray._private.worker._global_node.get_session_dir_path())
            spill = next(iter(session.glob("ray_spilled_objects*")), session / "none")
            with Peak(spill) as peak:
                _, told = made(recipe, count, Path(folder))
        for stage in ("collect", "look"):
            mine = [t for unit in told for t in unit if t.stage == stage]
            ended = max(t.begun + t.seconds for t in mine) - min(t.begun for t in mine)
            print(f"  {stage}: {ended:.0f} s from first to last, {covered(mine):.0f} s busy")
        sizes = {name: getattr(peak, name) / 1e6 for name in ("driver", "workers", "store")}
        peaks.append(sizes | {"spilled": peak.spilled / 1e6})
        shown = ", ".join(f"{name} {size:.0f}" for name, size in peaks[-1].items())
        print(f"{count} units of {megabytes} MB, peaks in MB: {shown}")
    figures = []
    for name in peaks[0]:
        growth = peaks[1][name] / max(peaks[0][name], 1.0)
        row = figure(
            f"peak of {name}, MB at {2 * units} units", peaks[1][name], "MB", None, "lower"
        )
        figures += [
            row,
            figure(f"{name}: peak over half the units'", growth, "ratio", GROWTH, "lower"),
        ]
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=4.0, help="of a unit")
    parser.add_argument("--each", type=int, default=10, help="units a worker")
    parser.add_argument(
        "--units", type=int, default=80, help="of the run whose memory is looked at"
    )
    parser.add_argument("--megabytes", type=int, default=8, help="of a unit there")
    parser.add_argument("--only", choices=("scaling", "memory"))
    args = parser.parse_args()
    figures: list[dict] = []
    if args.only != "memory":
        figures += scaling(args.workers, args.seconds, args.each)
    if args.only != "scaling":
        figures += bounded(args.units, args.megabytes)
    write(figures, args.json)


if __name__ == "__main__":
    main()
