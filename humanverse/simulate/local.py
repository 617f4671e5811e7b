"""The local runner's loop: one consumer, and some units whose pictures are fetched meanwhile."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike

from humanverse.run.work import OVERLAP
from humanverse.simulate.run import Simulated


def local(fetching: ArrayLike, rest: ArrayLike, overlap: int = OVERLAP) -> Simulated:
    """A run without its start-up, as `run.local` goes about it.

    Args:
        fetching: (units,): seconds until the pictures of a unit are there.
        rest: (units,): seconds of its other stages and of its commit.
        overlap: units that are fetched at a time.
    """
    fetch, work = np.asarray(fetching, np.float64), np.asarray(rest, np.float64)
    now, begun, reached, fetched = 0.0, 0, 0.0, 0.0
    waiting: list[tuple[float, int]] = []
    commits: list[float] = []
    while True:
        while begun < len(fetch) and len(waiting) < overlap:
            end = now + float(fetch[begun])
            heapq.heappush(waiting, (end, begun))
            fetched += max(0.0, end - max(now, reached))
            begun, reached = begun + 1, max(reached, end)
        if not waiting:
            break
        now = max(now, waiting[0][0])
        done = []
        while waiting and waiting[0][0] <= now:  # all that are there are taken before more are
            done.append(heapq.heappop(waiting)[1])
        for unit in done:
            now += float(work[unit])
            commits.append(now)
    whole = now or 1.0
    busy = {"fetching": fetched / whole, "rest": float(work.sum()) / whole}
    return Simulated(now, commits, busy, redone=0, between=0.0)
