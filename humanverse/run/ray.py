"""The Ray runner: one block is one unit, a pool of actors a class of resources, work in waves.

This file and `ray_source` alone import Ray. A unit's state travels as its Arrow table; encoded
bytes travel in it, decoded pixels never do.
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
from humanverse.run.unit import Task, advance, commit, drop_dead_members, start
from humanverse.run.work import OVERLAP, groups
from humanverse.stage import Stage, unopened

WAVE = 2000
"""Units a wave: the driver's memory grows with the blocks of one wave, not of the run."""
TASK = "humanverse.task"
"""Column that carries a unit's task in its first row, so that no worker has to hold them all."""


def run_ray(
    store: Store, tasks: Iterable[Task], stages: Sequence[Stage], needed: Collection[str]
) -> Iterator[Commit]:
    """Do the tasks and yield each commit; they come in any order; arguments as `run_local`'s.

    A cluster is joined where `RAY_ADDRESS` names one; else Ray is started here. Its ports ask for
    a token, which Ray makes and checks by itself.
    """
    ray = connected()
    stages = unopened(stages)
    from ray.data import ActorPoolStrategy, DataContext, from_items

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.target_max_block_size = None  # a block is never cut: it is a unit
    context.enable_progress_bars = False
    # On a cluster pools grow with the work; here there is nobody to leave room for, and a pool
    # that has to grow does so late.
    shared = bool(os.environ.get("RAY_ADDRESS"))
    pools, have = groups(stages), ray.cluster_resources()
    if not shared:
        _refuse_too_few_cpus(pools, have)
        _refuse_too_few_gpus(pools, have)
    sizes = _pool_sizes(pools, have)
    left = iter(tasks)
    while wave := [{TASK: pickle.dumps(task)} for task in islice(left, WAVE)]:
        units = from_items(wave, override_num_blocks=len(wave))
        for index, group in enumerate(pools):
            units = units.map_batches(
                _Worker,
                fn_constructor_args=(store, stages, group, index == len(pools) - 1, needed),
                batch_size=None,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    min_size=1 if shared else sizes[index],
                    max_size=sizes[index],
                    **(OVERLAPPING if group[0].resources.network else {}),
                ),
                num_cpus=group[0].resources.cpus,
                num_gpus=group[0].resources.gpus or None,
            )
        for row in units.iter_rows():
            yield Commit.from_json(row["commit"])


OVERLAPPING: dict[str, Any] = {
    "max_tasks_in_flight_per_actor": OVERLAP,
    "max_concurrent_calls_per_actor": OVERLAP,
    "enable_true_multi_threading": True,
}
"""For an actor that waits for the network: its stage shares one loop between the calls."""


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
        self.group, self.last = group, last
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
        table = advance(self.store, task, table, self.group)
        if self.last:
            receipt = commit(self.store, task, table, self.stages).to_json()
            return pa.table({"commit": [receipt]})
        if not task.keep_rejected:
            table = drop_dead_members(table)
        told = [pickle.dumps(task)]  # with what its stages took here
        return table.append_column(TASK, pa.array(told + [None] * (table.num_rows - 1)))


def connected() -> Any:
    """Ray, started here or joined where `RAY_ADDRESS` names a cluster, if it is not yet.

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
    if not ray.is_initialized():
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if os.environ.get("RAY_ADDRESS"):
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


def _pool_sizes(pools: Sequence[Sequence[Stage]], have: dict[str, float]) -> list[int]:
    """Actors a pool may grow to: each keeps room for one actor of every other pool."""
    out = []
    for pool in pools:
        others = sum(p[0].resources.cpus for p in pools if p is not pool)
        cpus = (have.get("CPU", 1) - others) / max(pool[0].resources.cpus, 0.01)
        gpus = have.get("GPU", 0) / pool[0].resources.gpus if pool[0].resources.gpus else cpus
        out.append(max(1, int(min(cpus, gpus))))
    return out
