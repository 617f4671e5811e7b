"""Some units of a table, drawn at random and built for real, with what each of them took."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humanverse import plan
from humanverse.errors import UsageError
from humanverse.estimate.thin import thinned
from humanverse.layers.commit import Commit
from humanverse.layers.store import Store
from humanverse.layers.timings import Timing
from humanverse.pack.card import write_card
from humanverse.pack.shards import pack
from humanverse.recipe import SLICES, Recipe
from humanverse.run.build import Settings, Watcher, prepare
from humanverse.run.local import run_local
from humanverse.run.unit import Task
from humanverse.run.work import Work, groups
from humanverse.stage import Stage, fingerprints


@dataclass(frozen=True, slots=True)
class Built:
    """A unit that was built."""

    rows: int
    """Planned."""
    kept: int
    """Through every stage; near-duplicates are not looked for."""
    ends: dict[str, int]
    """Rows set aside, by reason."""
    bytes: dict[str, int]
    """Of its layers and, as `shards`, its part of them by the rows kept."""
    timings: list[Timing]
    committing: float
    """Seconds, after its last stage."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Neighbouring stages that share workers, and what one of these needs."""

    stages: tuple[str, ...]
    cpus: float
    gpus: float
    network: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen: everything that an estimate follows from."""

    built: list[Built]
    units: int
    """In the plan of the whole table, of which these were drawn."""
    rows: int
    """Of the whole input."""
    planned: int
    """Of those: what would be asked for."""
    part: float
    """Of the keys, that was planned: 1 but for very large tables."""
    pools: list[Pool]
    planning: float
    """Seconds, for the whole table."""
    opening: float
    """Seconds until the first stage began."""
    packing: float
    """Seconds a kept row."""
    cpu: float
    """CPU seconds of this process and its children while units were built, opening included."""
    wall: float
    """Seconds that took."""
    unselected: bool
    """Whether the recipe leaves out near-duplicates, which a part of a table does not show."""


def take_sample(
    recipe: Recipe,
    inputs: Sequence[str | Path],
    root: Path,
    units: int,
    seed: int,
    watcher: Watcher,
) -> Sample:
    """Plan the inputs into a root of its own, build some of its units there, and pack them.

    Args:
        recipe: what to build.
        inputs: tables or images.
        root: a folder that does not exist yet, or holds nothing.
        units: to draw; all are built where there are no more.
        seed: of the draw.
        watcher: told of progress.

    Raises:
        UsageError: inputs and recipe do not fit together, the root holds something, or all rows
            are ruled out before anything is asked for.
    """
    if root.exists() and any(root.iterdir()):
        raise UsageError(f"{root} holds something: give --keep a folder that is new")
    scratch = root.parent / f"{root.name}.thinned"
    scratch.mkdir(parents=True)
    try:
        begun = time.monotonic()
        thin = thinned([plan.input_at(path) for path in inputs], recipe.plan, seed, scratch)
        if thin.part < 1:
            watcher.says(f"planning 1 of {1 / thin.part:.0f} keys of {thin.rows:,} rows")
        thinning = time.monotonic() - begun
        store, begun = Store(root), time.monotonic()
        work = prepare(store, recipe, thin.inputs, SLICES, Settings(), watcher)
        planning = time.monotonic() - begun
    finally:
        shutil.rmtree(scratch)
    if not len(work.tasks):
        raise UsageError("no row of these inputs is planned: the plan's rules set all aside")
    drawn = _drawn(work, units, seed)
    watcher.starts(len(drawn), sum(task.unit.rows for task in drawn))
    try:
        seen = _run(store, work, drawn, watcher)
    finally:
        watcher.ends()
    begun = time.monotonic()
    shards = _packed(store, recipe)
    packing = time.monotonic() - begun
    built = [_built(task, *seen.commits[task.unit.name]) for task in drawn]
    kept = sum(one.kept for one in built)
    for one in built:
        one.bytes["shards"] = shards * one.kept // max(kept, 1)
    whole = thin.rows or sum(manifest["rows"] for manifest in plan.manifests(store))
    return Sample(
        built,
        round(len(work.tasks) / thin.part),
        whole,
        round(work.tasks.rows / thin.part),
        thin.part,
        [_pool(group) for group in groups(work.stages)],
        planning if thin.part == 1 else thinning + planning / thin.part,
        seen.opening,
        packing / kept if kept else 0.0,
        seen.cpu,
        seen.wall,
        recipe.select.enabled,
    )


@dataclass
class _Seen:
    commits: dict[str, tuple[Commit, float]]
    """By unit, with the seconds that committing took."""
    opening: float
    cpu: float
    wall: float


def _drawn(work: Work, units: int, seed: int) -> list[Task]:
    """Some of the tasks, each as likely as any other, in the plan's order."""
    random, tasks = np.random.default_rng(seed), work.tasks
    chosen = np.sort(random.choice(len(tasks), min(units, len(tasks)), replace=False))
    parts = {name: getattr(tasks, name)[chosen] for name in ("places", "todo", "numbers")}
    return list(dataclasses.replace(tasks, **parts))


def _run(store: Store, work: Work, drawn: list[Task], watcher: Watcher) -> _Seen:
    tasks = {task.unit.name: task for task in drawn}
    commits = dict[str, tuple[Commit, float]]()
    used, begun = cpu_seconds(), time.time()
    asked = begun
    for commit in run_local(store, drawn, work.stages, work.tasks.needed):
        now, timings = time.time(), tasks[commit.unit].timings
        ended = max((t.begun + t.seconds for t in timings), default=asked)
        commits[commit.unit] = commit, max(0.0, now - max(ended, asked))
        spent = cpu_seconds() - used  # while its children live
        watcher.commits(commit)
        asked = time.time()
    first = min((t.begun for task in drawn for t in task.timings), default=begun)
    return _Seen(commits, first - begun, spent, asked - begun)


def _packed(store: Store, recipe: Recipe) -> int:
    """Bytes of the shards of all that was built, packed as one: what a file costs by itself would
    weigh too much in one of a single unit.
    """
    units = len(plan.units(store))
    shards = pack(store, fingerprints(recipe.stages()), units, caption=recipe.pack.caption)
    write_card(store, shards)
    return sum(shard.tar_bytes + store.size(shard.parquet) for shard in shards)


def _built(task: Task, commit: Commit, committing: float) -> Built:
    ends = Counter[str]()
    for layer in commit.layers.values():
        ends.update(layer.reasons)
    amounts = {name: sum(f.bytes for f in layer.files) for name, layer in commit.layers.items()}
    kept = commit.rows - ends.total()
    return Built(commit.rows, kept, dict(ends), amounts, list(task.timings), committing)


def _pool(group: Sequence[Stage]) -> Pool:
    needs = group[0].resources
    return Pool(tuple(stage.name for stage in group), needs.cpus, needs.gpus, needs.network)


def cpu_seconds() -> float:
    """CPU time of this process and of all that it started, dead or, on Linux, alive."""
    here = os.times()
    return sum(here[:4]) + sum(_of_children(os.getpid()))


def _of_children(process: int) -> Iterator[float]:
    """CPU seconds of each child that lives, and of what these waited for, down to the last."""
    tick = os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has just ended
            continue
        for child in children:
            try:
                told = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield sum(map(int, told[11:15])) / tick
            yield from _of_children(int(child))
