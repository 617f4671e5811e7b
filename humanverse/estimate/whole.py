"""From some units that were built to all of the table: what it will hold, need and cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanverse.estimate.interval import Interval, ratio, share, total
from humanverse.estimate.sample import Pool, Sample
from humanverse.layers.timings import covered
from humanverse.run.work import OVERLAP
from humanverse.simulate.cluster import HOP, START, Cluster, Workers, cluster, dealt
from humanverse.simulate.local import local
from humanverse.simulate.run import Simulated
from humanverse.simulate.times import drawn_times

COMMIT = "commit"
"""What a unit takes after its last stage, told like a stage."""
A_WORKER = 20
"""Units a worker of the widest pool that are simulated; the rest of the run goes on like that."""
SIMULATED = 20_000
"""Units that are simulated at most, unless there are that many workers."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """In any currency; None where nothing was told."""

    cpu_hour: float | None = None
    gpu_hour: float | None = None
    gb_month: float | None = None


@dataclass(frozen=True, slots=True)
class Machines:
    """A cluster of equal nodes."""

    nodes: int = 1
    cpus: float = 1
    gpus: float = 0


@dataclass(frozen=True, slots=True)
class Needed:
    """A stage over the whole table."""

    stage: str
    cpu_hours: Interval
    """Of workers: hours in which one had it to do, times the CPUs that one holds."""
    gpu_hours: Interval


@dataclass(frozen=True, slots=True)
class Wall:
    """How long it takes somewhere."""

    seconds: Interval
    workers: dict[str, int]
    """Of each pool, by its first stage."""
    busy: dict[str, float]
    limit: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all of a table will hold and need, with 95 % intervals."""

    rows: int
    planned: int
    units: int
    built: int
    """Units, of those."""
    share: Interval
    """Kept, of the planned rows."""
    kept: Interval
    ends: dict[str, Interval]
    """Rows that end otherwise, by reason, most first."""
    bytes: dict[str, Interval]
    """By layer, with `shards` last."""
    needed: list[Needed]
    cpu_measured: Interval
    """CPU-hours as the system counted them while the sample was built, start-up included."""
    cost: dict[str, Interval]
    here: Wall
    """By the local runner on the machine that built the sample, from planning to packing."""
    there: Wall | None
    """On the cluster that was asked about, from the first unit to the last commit."""


def whole(sample: Sample, prices: Prices, machines: Machines | None, seed: int = 0) -> Estimate:
    """What a sample says of its table."""
    built, units, planned = sample.built, sample.units, sample.planned
    rows = np.array([one.rows for one in built], np.float64)

    def all_of(parts: Sequence[float] | NDArray[np.float64]) -> Interval:
        return ratio(parts, rows, units).times(planned)

    kept = share([one.kept for one in built], rows, units)
    names = dict.fromkeys(name for one in built for name in one.ends)
    ends = {
        name: share([one.ends.get(name, 0) for one in built], rows, units).times(planned)
        for name in names
    }
    layers = dict.fromkeys(name for one in built for name in one.bytes)
    sizes = {name: all_of([one.bytes.get(name, 0) for one in built]) for name in layers}
    needed = [
        Needed(stage, all_of(seconds * pool.cpus / HOUR), all_of(seconds * pool.gpus / HOUR))
        for stage, pool, seconds in _by_stage(sample)
    ]
    spent = sum(sum(seconds) for _, _, seconds in _by_stage(sample)) or 1.0
    work = sum((seconds for _, _, seconds in _by_stage(sample)), np.zeros(len(built)))
    return Estimate(
        sample.rows,
        planned,
        units,
        len(built),
        kept,
        kept.times(planned),
        dict(sorted(ends.items(), key=lambda item: -item[1].value)),
        sizes,
        needed,
        all_of(work * (sample.cpu / spent) / HOUR),
        _cost(needed, sizes, prices),
        _here(sample, kept.times(planned), seed),
        None if machines is None else _there(sample, machines, seed),
    )


def pool_times(sample: Sample) -> NDArray[np.float64]:
    """(built, pools): seconds of each unit in each pool; its commit is the last one's."""
    out = np.zeros((len(sample.built), len(sample.pools)))
    for place, one in enumerate(sample.built):
        for timing in one.timings:
            out[place, _pool_of(sample.pools, timing.stage)] += timing.seconds
        out[place, -1] += one.committing
    return out


def _by_stage(sample: Sample) -> list[tuple[str, Pool, NDArray[np.float64]]]:
    """Each stage with its pool and the seconds, (built,), for which units held a worker.

    A collector has several units in hand at a time: what its worker was busy is dealt out to them.
    """
    out = []
    for pool in sample.pools:
        for stage in pool.stages:
            mine = [[t for t in one.timings if t.stage == stage] for one in sample.built]
            seconds = np.array([sum(t.seconds for t in timings) for timings in mine])
            if pool.network and seconds.any():
                seconds *= covered([t for timings in mine for t in timings]) / seconds.sum()
            out.append((stage, pool, seconds))
    out.append((COMMIT, sample.pools[-1], np.array([one.committing for one in sample.built])))
    return out


def _cost(needed: list[Needed], sizes: dict[str, Interval], prices: Prices) -> dict[str, Interval]:
    """Hours at their prices, and what a month of all that is on disk costs."""
    out = {}
    # On a machine with a GPU its CPUs come with it.
    on_gpus = [one.gpu_hours for one in needed if one.gpu_hours.value]
    on_cpus = [one.cpu_hours for one in needed if not one.gpu_hours.value]
    if prices.cpu_hour is not None:
        out["CPUs"] = total(on_cpus).times(prices.cpu_hour)
    if prices.gpu_hour is not None:
        out["GPUs"] = total(on_gpus).times(prices.gpu_hour)
    if len(out) > 1:
        out["both"] = total(list(out.values()))
    if prices.gb_month is not None:
        out["disk, a month"] = total(list(sizes.values())).times(prices.gb_month / 1e9)
    return out


def _here(sample: Sample, kept: Interval, seed: int) -> Wall:
    times = pool_times(sample)
    network = sample.pools[0].network
    fetching = times[:, 0] if network else np.zeros(len(times))
    rest = times.sum(axis=1) - fetching
    measured = np.stack([fetching, rest], axis=1)
    units, told = _scaled(sample, measured, SIMULATED, _local, seed)
    once = sample.planning + sample.opening
    seconds = total([Interval(once, once, once), units, kept.times(sample.packing)])
    return Wall(seconds, {pool.stages[0]: 1 for pool in sample.pools}, told.busy, told.limit)


def _there(sample: Sample, machines: Machines, seed: int) -> Wall:
    times = pool_times(sample)
    work = [float(seconds) for seconds in times.mean(axis=0)]
    slots = [OVERLAP if pool.network else 1 for pool in sample.pools]
    needs = [(pool.cpus, pool.gpus) for pool in sample.pools]
    have = (machines.nodes * machines.cpus, machines.nodes * machines.gpus)
    each = [seconds / held for seconds, held in zip(work, slots, strict=True)]
    counts = dealt(each, needs, have)
    names = [pool.stages[0] for pool in sample.pools]
    pools = tuple(map(Workers, names, counts, slots))
    on = Cluster(pools, nodes=machines.nodes, hop=HOP, start=START)
    most = max(SIMULATED, A_WORKER * max(pool.count for pool in pools))

    def run(drawn: NDArray[np.float64]) -> Simulated:
        return cluster(drawn, on, seed)

    seconds, told = _scaled(sample, times, most, run, seed)
    return Wall(seconds, dict(zip(names, counts, strict=True)), told.busy, told.limit)


def _local(drawn: NDArray[np.float64]) -> Simulated:
    return local(drawn[:, 0], drawn[:, 1])


def _scaled(
    sample: Sample,
    measured: NDArray[np.float64],
    most: int,
    run: Callable[[NDArray[np.float64]], Simulated],
    seed: int,
) -> tuple[Interval, Simulated]:
    """Seconds of a run over all units, of which some are simulated, and what is told of these.

    The bounds are those of what the busiest pool has to do.
    """
    told = run(drawn_times(measured, min(sample.units, most), seed))
    seconds = told.wall + (sample.units - len(told.commits)) / (told.steady or 1.0)
    rows = [one.rows for one in sample.built]
    busiest = list(told.busy)[: measured.shape[1]]
    column = max(range(len(busiest)), key=lambda place: told.busy[busiest[place]])
    work = ratio(measured[:, column], rows, sample.units)
    if not work.value:
        return Interval(seconds, seconds, seconds), told
    bounds = (seconds * work.low / work.value, seconds * work.high / work.value)
    return Interval(seconds, *bounds), told


def _pool_of(pools: Sequence[Pool], stage: str) -> int:
    return next(place for place, pool in enumerate(pools) if stage in pool.stages)
