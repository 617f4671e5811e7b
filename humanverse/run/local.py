"""The local runner: a plain loop, with the network busy for the next units meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from humanverse.layers.commit import Commit
from humanverse.layers.store import Store
from humanverse.run.unit import Task, advance, commit, start
from humanverse.run.work import OVERLAP, groups
from humanverse.stage import Stage, unopened


def run_local(store: Store, tasks: Sequence[Task], stages: Sequence[Stage]) -> Iterator[Commit]:
    """Do the tasks in order and commit each; one commit is yielded as soon as it is real."""
    stages = unopened(stages)
    first, rest = _split(stages)
    needed = {name for task in tasks for name in task.todo}
    opened = [stage for stage in stages if stage.name in needed]

    def fetch(task: Task) -> pa.Table:
        return advance(store, task, start(store, task), first)

    pool = ThreadPoolExecutor(OVERLAP, thread_name_prefix="unit")
    try:
        for stage in opened:
            stage.open()
        waiting: deque[tuple[Task, Future[pa.Table]]] = deque()
        for task in [*tasks, *[None] * OVERLAP]:
            if task is not None:
                waiting.append((task, pool.submit(fetch, task)))
            if waiting and (task is None or len(waiting) > OVERLAP):
                current, table = waiting.popleft()
                done = advance(store, current, table.result(), rest)
                yield commit(store, current, done, stages)
    finally:
        # Stages are closed before threads are waited for: that ends what the threads wait for.
        pool.shutdown(wait=False, cancel_futures=True)
        for stage in opened:
            close = getattr(stage, "close", None)
            if close is not None:
                close()
        pool.shutdown()


def _split(stages: Sequence[Stage]) -> tuple[list[Stage], list[Stage]]:
    """What waits for the network, and the rest."""
    if not stages[0].resources.network:
        return [], list(stages)
    first = groups(stages)[0]
    return first, list(stages[len(first) :])
