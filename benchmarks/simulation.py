"""Whether the simulation tells what runs really take, before anything large is believed of it.

    python benchmarks/simulation.py --json FILE

Doubles sleep for times that vary by unit. Of each kind one run tells what a unit costs beside its
stages (its commit, its hand-over); other runs, of other tables and other times, are then told
beforehand from the doubles' own settings, and made. Wall time is that of the steady part, from the
first unit's beginning to the last commit of a unit that still had others behind it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import mean, median

import numpy as np
from common import figure, write
from scaling import made, ray_of, urls

from humanverse import plan
from humanverse.layers.commit import Commit
from humanverse.layers.store import Store
from humanverse.layers.timings import Timing, read_timings, speeds_of
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.run.build import Settings, Watcher, build
from humanverse.run.work import OVERLAP
from humanverse.simulate.cluster import Cluster, Workers, cluster
from humanverse.simulate.local import local
from humanverse.simulate.run import Simulated
from humanverse.testing.paced import PacedAlone, PacedCollect, PacedDetect, pace
from humanverse.testing.stages import is_gone


def recipe(fetch: float, look: float, spread: float, cpus: float = 1.0) -> Recipe:
    """A collector that waits and a pool that looks: mean seconds of a unit in each."""
    return Recipe(
        name="asleep",
        plan=Plan(unit_rows=4),
        collect=[PacedCollect(seconds=fetch, spread=spread)],
        filter=[PacedDetect(seconds=look, spread=spread, cpus=cpus)],
        pack=Pack(units_per_shard=100),
    )


def known(store: Store, fetch: float, look: float, spread: float) -> np.ndarray:
    """(units, 2): seconds that the doubles will sleep, by the keys that they will see."""
    out = []
    for unit in plan.units(store):
        rows = plan.read_unit(store, unit, ["key", "url"]).to_pylist()
        alive = [row["key"] for row in rows if not is_gone(row["url"])]
        looked = pace(look, spread, f"look {alive[0]}") if alive else 0.0
        out.append((pace(fetch, spread, rows[0]["key"]), looked))
    return np.array(out)


def seen(units: list[list[Timing]]) -> tuple[float, dict[str, float], dict[str, int]]:
    """Seconds from the first beginning to the last end, and busy share and workers of each pool."""
    flat = [timing for unit in units for timing in unit]
    told = speeds_of(units)
    span = max(t.begun + t.seconds for t in flat) - min(t.begun for t in flat)
    busy = {speed.pool: speed.busy for speed in told.stages}
    return span, busy, {speed.pool: speed.workers for speed in told.stages}


def beside(units: list[list[Timing]], pool: str) -> float:
    """Seconds between the units of a pool that is never idle, of each of its workers."""
    gaps = []
    mine: dict[str, list[tuple[float, float]]] = {}
    for unit in units:
        stages = [t for t in unit if t.pool == pool]
        if stages:
            span = min(t.begun for t in stages), max(t.begun + t.seconds for t in stages)
            mine.setdefault(stages[0].worker, []).append(span)
    for spans in mine.values():
        spans.sort()
        gaps += [b[0] - a[1] for a, b in pairwise(spans)]
    return median(gaps)


def compare(
    title: str, told: Simulated, units: list[list[Timing]], names: dict[str, str]
) -> list[dict]:
    """Wall time and busy shares, told over real."""
    span, busy, _ = seen(units)
    shares = ", ".join(
        f"{theirs} {busy[theirs]:.2f} told {told.busy[ours]:.2f}" for ours, theirs in names.items()
    )
    print(
        f"{title}: {span:.1f} s, told {told.wall:.1f} ({told.wall / span - 1:+.1%}); busy {shares}"
    )
    figures = [figure(f"{title}: wall, told over real", told.wall / span, "ratio", 1.0)]
    figures[0]["band"] = [0.85, 1.15]
    for ours, theirs in names.items():
        off = abs(told.busy[ours] - busy[theirs])
        figures.append(figure(f"{title}: busy {theirs}, off by", off, "share", 0.15, "lower"))
    return figures


KINDS = {
    "waits for the network": (2.4, 0.1, 0.6),
    "waits for the models": (0.5, 0.3, 0.6),
    "balanced": (2.0, 0.25, 0.6),
}
"""Seconds of a unit in both pools, and their spread."""


def locally(count: int) -> list[dict]:
    """The local runner."""
    with tempfile.TemporaryDirectory() as folder:
        units = _build(Path(folder), recipe(0.05, 0.1, 0.0), count)
        cost = beside(units, "look")
    print(f"local: {cost * 1000:.0f} ms a unit beside its stages")
    figures = []
    for name, (fetch, look, spread) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            units = _build(Path(folder), recipe(fetch, look, spread), count)
            times = known(Store(Path(folder) / "root"), fetch, look, spread)
        told = local(times[:, 0], times[:, 1] + cost)
        figures += compare(f"local, {name}", told, units, {"fetching": "collect"})
    return figures


def _build(folder: Path, made_by: Recipe, count: int) -> list[list[Timing]]:
    table = urls(folder, count * made_by.plan.unit_rows)
    build(made_by, [table], folder / "root", packed=False, settings=Settings("local"))
    return read_timings(Store(folder / "root"))


class Driver(Watcher):
    """CPU and wall seconds of this process, which is Ray's driver, at every commit."""

    def __init__(self) -> None:
        self.spent: list[tuple[float, float]] = []

    def commits(self, commit: Commit) -> None:  # noqa: ARG002
        """Note them."""
        self.spent.append((time.process_time(), time.monotonic()))

    def a_unit(self) -> tuple[float, float]:
        """CPU and wall seconds from commit to commit."""
        first, last = np.array(self.spent[0]), np.array(self.spent[-1])
        cpu, wall = (last - first) / (len(self.spent) - 1)
        return float(cpu), float(wall)


def by_ray(count: int) -> list[dict]:
    """The Ray runner: a collector and a looker, all that there is room for, and one pool alone."""
    with ray_of(3):
        with tempfile.TemporaryDirectory() as folder:
            made(recipe(0.0, 0.0, 0.0, 2.0), 2 * count, Path(folder), driver := Driver())
        cpu, wall = driver.a_unit()
        print(
            f"ray, nothing to do: {wall * 1000:.0f} ms a unit, {cpu * 1000:.0f} of its driver's CPU"
        )
        with tempfile.TemporaryDirectory() as folder:
            _, units = made(recipe(0.05, 0.2, 0.0, 2.0), count, Path(folder))
        cost = beside(units, "look")
        print(f"ray: {cost * 1000:.0f} ms a unit beside its stages")
        figures = [figure("ray: driver's CPU, a unit and pool", cpu * 500, "ms", None, "lower")]
        figures.append(figure("ray: a unit beside its stages", cost * 1000, "ms", None, "lower"))
        for name, (waits, looks, spread) in KINDS.items():
            fetch, look = 2 * waits, 2 * looks
            with tempfile.TemporaryDirectory() as folder:
                _, units = made(recipe(fetch, look, spread, 2.0), count, Path(folder))
                times = known(Store(Path(folder) / "root"), fetch, look, spread)
            pools = (Workers("collect", 1, OVERLAP), Workers("look", 1))
            # Ray holds a pool back by bytes, and these units have next to none.
            on = Cluster(pools, item=0, hop=cpu / 2, ahead=inf)
            told = cluster(times + np.array([0, cost]), on)
            shares = {"collect": "collect", "look": "look"}
            figures += middle(f"ray, 1 and 1 workers, {name}", told, units, shares)
        with tempfile.TemporaryDirectory() as folder:
            _, units = made(alone(2.0, 0.6), 2 * count, Path(folder))
            times = known(Store(Path(folder) / "root"), 2.0, 0.0, 0.6)[:, :1]
        pools = (Workers("collect", 3),)
        told = cluster(times + cost, Cluster(pools, item=0, hop=cpu / 2))
        figures += middle("ray, 3 workers of one pool", told, units, {"collect": "collect"})
    return figures


def alone(seconds: float, spread: float) -> Recipe:
    """One pool, with one unit in hand of a worker."""
    return Recipe(
        name="asleep",
        plan=Plan(unit_rows=4),
        collect=[PacedAlone(seconds=seconds, spread=spread)],
        pack=Pack(units_per_shard=100),
    )


def middle(
    title: str, told: Simulated, units: list[list[Timing]], names: dict[str, str]
) -> list[dict]:
    """The time between a fifth and nine tenths of the units, told over real; busy shares of it all.

    Actors begin one by one on a busy machine, which is not simulated.
    """
    ends = np.sort([max(t.begun + t.seconds for t in unit) for unit in units])
    low, high = len(ends) // 5, len(ends) * 9 // 10
    span, simulated = ends[high] - ends[low], told.commits[high] - told.commits[low]
    _, busy, _ = seen(units)
    shares = ", ".join(
        f"{theirs} {busy.get(theirs, 0):.2f} told {told.busy[ours]:.2f}"
        for ours, theirs in names.items()
    )
    off = simulated / span - 1
    print(f"{title}: {span:.1f} s, told {simulated:.1f} ({off:+.1%}); busy {shares}", flush=True)
    figures = [figure(f"{title}: wall, told over real", simulated / span, "ratio", 1.0)]
    figures[0]["band"] = [0.85, 1.15]
    for ours, theirs in names.items():
        share = abs(told.busy[ours] - busy.get(theirs, 0))
        figures.append(figure(f"{title}: busy {theirs}, off by", share, "share", 0.15, "lower"))
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--only", choices=("local", "ray"))
    args = parser.parse_args()
    figures: list[dict] = []
    if args.only != "ray":
        figures += locally(args.units)
    if args.only != "local":
        figures += by_ray(args.units)
    offs = [abs(f["value"] - 1) for f in figures if f["name"].endswith("told over real")]
    print(f"wall times off by {mean(offs):.1%} on average, {max(offs):.1%} at most")
    write(figures, args.json)


if __name__ == "__main__":
    main()
