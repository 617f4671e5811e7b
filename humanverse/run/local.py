"""The local runner: a plain loop, with the network busy for the next units meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import islice

import pyarrow as pa

from humanverse.layers.commit import Commit
from humanverse.layers.store import Store
from humanverse.run.unit import Task, advance, commit, start
from humanverse.run.work import OVERLAP, groups
from humanverse.stage import Stage, unopened


def run_local(
    store: Store, tasks: Iterable[Task], stages: Sequence[Stage], needed: Collection[str]
) -> Iterator[Commit]:
    """Do the tasks and commit each; one commit is yielded as soon as it is real.

    Args:
        store: the root.
        tasks: taken up one by one.
        stages: of the recipe, in order.
        needed: those that any of the tasks runs.
    """
    stages = unopened(stages)
    first, rest = _split(stages)
    opened: list[Stage] = []

    def fetch(task: Task) -> pa.Table:
        return advance(store, task, start(store, task), first)

    pool = ThreadPoolExecutor(OVERLAP, thread_name_prefix="unit")
    try:
        for stage in (stage for stage in stages if stage.name in needed):
            stage.open()
            opened.append(stage)
        for task, table in _fetched(pool, tasks, fetch):
            made = commit(store, task, advance(store, task, table, rest), stages)
            del table
            yield made
    finally:
        # Stages are closed before threads are waited for: that ends what the threads wait for.
        pool.shutdown(wait=False, cancel_futures=True)
        for stage in opened:
            close = getattr(stage, "close", None)
            if close is not None:
                close()
        pool.shutdown()


def _fetched(
    pool: Executor, tasks: Iterable[Task], fetch: Callable[[Task], pa.Table]
) -> Iterator[tuple[Task, pa.Table]]:
    """Each task with its pictures, as soon as they are there; `OVERLAP` are being fetched."""
    left, waiting = iter(tasks), dict[Future[pa.Table], Task]()
    while True:
        for task in islice(left, OVERLAP - len(waiting)):
            waiting[pool.submit(fetch, task)] = task
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        while done:
            future = done.pop()
            yield waiting.pop(future), future.result()
            del future  # or its pictures stay in memory until another unit is there


def _split(stages: Sequence[Stage]) -> tuple[list[Stage], list[Stage]]:
    """What waits for the network, and the rest."""
    if not stages[0].resources.network:
        return [], list(stages)
    first = groups(stages)[0]
    return first, list(stages[len(first) :])
