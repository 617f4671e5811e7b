"""The Ray runner: one block is one unit, a pool of actors a class of resources, work in waves.

This file, `ray_source` and `submit` alone import Ray. A unit's state travels as its Arrow table;
encoded bytes travel in it, decoded pixels never do.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from humanverse.errors import UsageError
from humanverse.layers.commit import Commit
from humanverse.layers.store import Store
from humanverse.layers.timings import NODE, Timing
from humanverse.run.place import SHARE, Places, pool_sizes, refuse_nowhere, spot_of, store_share
from humanverse.run.unit import Task, advance, commit, drop_dead_members, start
from humanverse.run.work import OVERLAP, groups
from humanverse.stage import Stage, unopened

WAVE = 2000
"""Units a wave at least: the driver's memory grows with the blocks of one wave, not of the run."""
IN_HAND = 20
"""Times that a wave's units fill all that workers have in hand: at its end they wait for the
slowest, which costs little of so long a wave."""
LONGEST = 16_000
"""Units of a wave at most: telling Ray of one takes the driver 2.5 ms, while nobody works."""
NODE_DIGITS = 12
"""Of a node's identity, which tell it from others."""
TASK = "humanverse.task"
"""Column that carries a unit's task in its first row, so that no worker has to hold them all."""


def run_ray(
    store: Store,
    tasks: Iterable[Task],
    stages: Sequence[Stage],
    needed: Collection[str],
    place: Places | None = None,
) -> Iterator[Commit]:
    """Do the tasks and yield each commit; they come in any order; arguments as `run_local`'s.

    A cluster is joined where `RAY_ADDRESS` names one; else Ray is started here. Its ports ask for
    a token, which Ray makes and checks by itself. `place` says which workers are tied to nodes with
    which resource of their own.
    """
    ray, place = connected(), place or {}
    stages = unopened(stages)
    from ray.data import from_items

    context = _data_context()
    shared, pools = joined(), groups(stages)
    _refuse_what_cannot_run(ray, pools, place, shared=shared)
    left = iter(tasks)
    while True:
        # Nodes may have come since the last wave.
        nodes = _nodes(ray)
        sizes, share = pool_sizes(pools, nodes, place), store_share(pools, nodes, place)
        count = wave_of(pools, sizes)
        wave = [{TASK: pickle.dumps(task)} for task in islice(left, count)]
        if not wave:
            return
        context.override_object_store_memory_limit_fraction = share
        units = from_items(wave, override_num_blocks=len(wave))
        for index, group in enumerate(pools):
            wants, spot = group[0].resources, spot_of(group, place)
            units = units.map_batches(
                _Worker,
                fn_constructor_args=(store, stages, group, index == len(pools) - 1, needed),
                batch_size=None,
                batch_format="pyarrow",
                compute=_strategy(sizes[index], overlapping=wants.network, shared=shared),
                num_cpus=wants.cpus,
                num_gpus=wants.gpus or None,
                **({"resources": {spot.resource: SHARE}} if spot else {}),
            )
        for row in units.iter_rows():
            yield Commit.from_json(row["commit"])


def wave_of(pools: Sequence[Sequence[Stage]], sizes: Sequence[int]) -> int:
    """Units of a wave, for pools of so many workers."""
    hands = (OVERLAP if pool[0].resources.network else 1 for pool in pools)
    in_hand = sum(size * hand for size, hand in zip(sizes, hands, strict=True))
    return min(max(WAVE, IN_HAND * in_hand), LONGEST)


def _data_context() -> Any:
    """How Ray Data is to treat blocks."""
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.target_max_block_size = None  # a block is never cut: it is a unit
    context.enable_progress_bars = False
    return context


def _strategy(most: int, *, overlapping: bool, shared: bool) -> Any:
    """The pool of a group's actors.

    On a cluster pools grow with the work: one does once its actors have 1.75 times as many calls in
    hand as they run at a time, so they must be allowed more. Here there is nobody to leave room
    for, and a pool that has to grow does so late.
    """
    from ray.data import ActorPoolStrategy

    at_a_time = OVERLAP if overlapping else 1
    return ActorPoolStrategy(
        min_size=1 if shared else most,
        max_size=most,
        max_tasks_in_flight_per_actor=2 * at_a_time if shared or not overlapping else at_a_time,
        # An actor that waits for the network: its stage shares one loop between the calls.
        max_concurrent_calls_per_actor=at_a_time,
        enable_true_multi_threading=overlapping,
    )


class _Worker:
    """An actor: some neighbouring stages, and the commit in the last pool."""

    def __init__(
        self,
        store: Store,
        stages: Sequence[Stage],
        group: Sequence[Stage],
        last: bool,
        needed: Collection[str],
    ) -> None:
        self.store, self.stages = store, stages
        self.group, self.last, self.meters = group, last, _Meters()
        # Nodes of one machine have one host's name.
        os.environ[NODE] = _node_id()
        for stage in group:
            if stage.name in needed:
                stage.open()

    def __call__(self, table: pa.Table) -> pa.Table:
        """One unit: its task comes in, then with its state; its state goes out, or its commit."""
        told = table[TASK].drop_null().to_pylist()
        if len(told) != 1:
            raise RuntimeError(f"a block holds {len(told)} units: a block must be one unit")
        task: Task = pickle.loads(told[0])  # noqa: S301 - the driver's own words
        if "key" not in table.column_names:
            table = start(self.store, task)
        else:
            table = table.drop_columns(TASK)
        before = len(task.timings)
        table = advance(self.store, task, table, self.group)
        self.meters.tell(task.timings[before:], table.nbytes)
        if self.last:
            receipt = commit(self.store, task, table, self.stages).to_json()
            return pa.table({"commit": [receipt]})
        if not task.keep_rejected:
            table = drop_dead_members(table)
        told = [pickle.dumps(task)]  # with what its stages took here
        return table.append_column(TASK, pa.array(told + [None] * (table.num_rows - 1)))


class _Meters:
    """What a worker did so far, by stage, where Prometheus finds it: at its node's port of Ray."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter

        self.units, self.rows, self.seconds, self.bytes = (
            Counter(f"humanverse_{name}", description=told, tag_keys=("stage",))
            for name, told in {
                "units": "Units through a stage",
                "rows": "Rows alive when a stage began",
                "seconds": "Seconds that a stage took",
                "bytes": "Bytes of units after the last stage of a pool",
            }.items()
        )

    def tell(self, timings: Sequence[Timing], size: int) -> None:
        """What the stages of a pool took over a unit, and how large it is now."""
        for timing in timings:
            tags = {"stage": timing.stage}
            told = ((self.units, 1), (self.rows, timing.rows), (self.seconds, timing.seconds))
            for counter, value in told:
                if value > 0:  # nothing is no increment to Ray
                    counter.inc(value, tags)
        if timings and size > 0:
            self.bytes.inc(size, {"stage": timings[-1].stage})


def joined() -> bool:
    """Whether a cluster is named, which others may use too and which may grow."""
    return bool(os.environ.get("RAY_ADDRESS"))


def imported() -> Any:
    """Ray, quiet, and telling nobody.

    Raises:
        UsageError: it is not installed.
    """
    # Set before the import, which reads them: nothing is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError as error:
        raise UsageError("this needs Ray: pip install 'humanverse[cluster]'") from error
    return ray


def connected() -> Any:
    """Ray, started here or joined where `RAY_ADDRESS` names a cluster, if it is not yet.

    Raises:
        UsageError: it is not installed.
    """
    ray = imported()
    if not ray.is_initialized():
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if joined():
            ray.init(**quiet)
        else:
            # Workers inherit it, and with it the folder of the recipe and its own stages.
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
            ray.init(
                address="local",
                include_dashboard=False,
                # One more than there are: the collector mostly waits for others.
                num_cpus=(os.cpu_count() or 1) + 1,
                **quiet,
            )
    return ray


def _refuse_too_few_cpus(pools: Sequence[Sequence[Stage]], have: dict[str, float]) -> None:
    """A worker that wants more than there are is waited for for ever; pools may take turns."""
    there = have.get("CPU", 1)
    for pool in pools:
        if pool[0].resources.cpus > there:
            names = ", ".join(stage.name for stage in pool)
            raise UsageError(
                f"{names} want {pool[0].resources.cpus:g} CPUs, and {there:g} are here: "
                "set their cpus to less"
            )


def _refuse_too_few_gpus(pools: Sequence[Sequence[Stage]], have: dict[str, float]) -> None:
    """Every pool holds its GPUs while the others run: too few of them, and all would wait for ever.

    A cluster may still grow, so there it is not judged.
    """
    wanted = [pool[0].resources.gpus for pool in pools]
    there = have.get("GPU", 0)
    if sum(wanted) > there:
        names = ", ".join(stage.name for pool in pools if pool[0].resources.gpus for stage in pool)
        raise UsageError(
            f"{names} want {sum(wanted):g} GPUs at a time, and {there:g} are here: set their gpus "
            "to shares of one, or to 0"
        )


def _refuse_what_cannot_run(
    ray: Any, pools: Sequence[Sequence[Stage]], place: Places, *, shared: bool
) -> None:
    if not shared:
        if place:
            raise UsageError("--place is for a cluster: name it by RAY_ADDRESS or --submit")
        have = ray.cluster_resources()
        _refuse_too_few_cpus(pools, have)
        _refuse_too_few_gpus(pools, have)
    else:
        refuse_nowhere(pools, _nodes(ray), place)


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What each node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())[:NODE_DIGITS]
