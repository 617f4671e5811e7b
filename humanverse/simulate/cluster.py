"""The Ray runner's pools and waves, event by event.

Units go through pools of workers in order. A wave of them begins when all of the one before are
committed. The driver hands over one unit at a time, the object store answers so many requests a
second, and a node that is lost takes with it what its workers had in hand and what they had made
for the next pool: all of it since the last commit is done again, from the first pool on.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

import numpy as np
from numpy.typing import ArrayLike

from humanverse.simulate.run import Simulated

START = 15.0
"""Seconds until the actors of a wave have begun, without the loading of models."""
HOP = 0.006
"""CPU seconds of Ray's driver, a unit and pool (benchmarks/simulation.py, Ray 2.60)."""


@dataclass(frozen=True, slots=True)
class Workers:
    """A pool, over all nodes: worker n is on node n modulo their number."""

    name: str
    count: int
    slots: int = 1
    """Units in hand of one worker: the collector's overlap."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What units run on, and what they are up against. Times are in seconds."""

    pools: tuple[Workers, ...]
    nodes: int = 1
    wave: int = 2000
    start: float = 0.0
    """Of a wave: its actors begin and load their models."""
    item: float = 0.0025
    """Of the driver, a unit, before its wave begins."""
    hop: float = 0.0
    """Of the driver, a unit and pool; meanwhile it hands over no other."""
    ahead: float = 2.0
    """Units that may wait before a pool, for each of its workers; the pool before it then rests."""
    requests: float = 0.0
    """To the object store, a unit."""
    request_rate: float = inf
    """That it answers a second."""
    lost: float = 0.0
    """Times that a node is lost, in a day."""
    back: float = 300.0
    """Until one in its place works."""


def cluster(times: ArrayLike, on: Cluster, seed: int = 0) -> Simulated:
    """Run units on a cluster.

    Args:
        times: (units, pools): seconds that each takes.
        on: the cluster.
        seed: of the losses.
    """
    run = _Run(np.asarray(times, np.float64), on, Random(seed))  # noqa: S311 - a repeatable draw
    return run.run()


@dataclass
class _Pool:
    """Its workers, by what they have in hand."""

    of: Workers
    queue: deque[int] = field(default_factory=deque)
    hand: list[set[int]] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    alive: list[bool] = field(default_factory=list)
    free: list[tuple[int, int]] = field(default_factory=list)
    """Heap of (units in hand, worker); entries that are no longer true are passed over."""
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.hand = [set() for _ in range(self.of.count)]
        self.since = [0.0] * self.of.count
        self.alive = [True] * self.of.count
        self.free = [(0, worker) for worker in range(self.of.count)]

    def worker(self) -> int | None:
        """The one with the least in hand that can take a unit."""
        while self.free:
            held, worker = self.free[0]
            if self.alive[worker] and held == len(self.hand[worker]) < self.of.slots:
                return worker
            heapq.heappop(self.free)
        return None

    def take(self, unit: int, worker: int, now: float) -> None:
        if not self.hand[worker]:
            self.since[worker] = now
        self.hand[worker].add(unit)
        self.offer(worker)

    def leave(self, unit: int, worker: int, now: float) -> None:
        self.hand[worker].remove(unit)
        if not self.hand[worker]:
            self.busy += now - self.since[worker]
        self.offer(worker)

    def offer(self, worker: int) -> None:
        if len(self.hand[worker]) < self.of.slots:
            heapq.heappush(self.free, (len(self.hand[worker]), worker))


class _Run:
    def __init__(self, times: np.ndarray, on: Cluster, random: Random) -> None:
        self.times, self.on, self.random = times.tolist(), on, random
        self.pools = [_Pool(pool) for pool in on.pools]
        self.events: list[tuple[float, int, str, tuple[int, ...]]] = []
        self.count = 0
        self.attempts = [0] * len(self.times)
        self.made_on = [0] * len(self.times)
        """The node that holds a unit that waits."""
        self.commits: list[float] = []
        self.left = 0
        """Of the wave."""
        self.next = 0
        """The first unit of the next wave."""
        self.driver = self.store = self.driven = self.stored = 0.0
        """Until when driver and store are busy, and how long they were."""
        self.between = self.draining = 0.0
        self.handed = 0.0
        """When the first pool last began a unit."""
        self.redone = 0

    def run(self) -> Simulated:
        now = 0.0
        if self.on.lost:
            self.at(self.until_loss(), "lost")
        self.wave(0.0)
        while len(self.commits) < len(self.times):
            now, _, what, told = heapq.heappop(self.events)
            getattr(self, f"on_{what}")(now, *told)
            self.dispatch(now)
        whole = now or 1.0
        busy = {pool.of.name: pool.busy / (pool.of.count * whole) for pool in self.pools}
        busy |= {"driver": self.driven / whole} if self.on.hop or self.on.item else {}
        busy |= {"store": self.stored / whole} if self.on.requests else {}
        shares = (self.between / whole, self.draining / whole)
        return Simulated(now, self.commits, busy, self.redone, *shares)

    def at(self, time: float, what: str, *told: int) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, self.count, what, told))

    def wave(self, now: float) -> None:
        first = self.next
        self.next = min(first + self.on.wave, len(self.times))
        self.left = self.next - first
        if self.left:
            begins = now + self.on.start + self.on.item * self.left
            self.between += begins - now
            self.driven += self.on.item * self.left
            self.at(begins, "wave", first, self.next)

    def on_wave(self, _now: float, first: int, end: int) -> None:
        self.pools[0].queue.extend(range(first, end))

    def on_end(self, now: float, unit: int, place: int, worker: int, attempt: int) -> None:
        if attempt != self.attempts[unit]:
            return  # its node was lost meanwhile
        self.pools[place].leave(unit, worker, now)
        self.made_on[unit] = worker % self.on.nodes
        if place + 1 < len(self.pools):
            self.pools[place + 1].queue.append(unit)
            return
        self.store = max(self.store, now) + self.on.requests / self.on.request_rate
        self.stored += self.on.requests / self.on.request_rate
        self.attempts[unit] += 1  # what is being written is not lost with its node
        self.at(self.store, "commit")

    def on_commit(self, now: float) -> None:
        self.commits.append(now)
        self.left -= 1
        if not self.left:
            self.draining += now - self.handed
            self.wave(now)

    def on_lost(self, now: float) -> None:
        node = self.random.randrange(self.on.nodes)
        self.at(now + self.until_loss(), "lost")
        gone: list[int] = []
        for place, pool in enumerate(self.pools):
            for worker in range(node, pool.of.count, self.on.nodes):
                if pool.alive[worker]:
                    for unit in sorted(pool.hand[worker]):
                        pool.leave(unit, worker, now)
                        gone.append(unit)
                    pool.alive[worker] = False
                    self.at(now + self.on.back, "back", place, worker)
            if place:
                gone += [unit for unit in pool.queue if self.made_on[unit] == node]
                pool.queue = deque(u for u in pool.queue if self.made_on[u] != node)
        for unit in gone:
            self.attempts[unit] += 1
        self.redone += len(gone)
        self.pools[0].queue.extendleft(reversed(gone))

    def on_back(self, _now: float, place: int, worker: int) -> None:
        self.pools[place].alive[worker] = True
        self.pools[place].offer(worker)

    def until_loss(self) -> float:
        return self.random.expovariate(self.on.lost * self.on.nodes / 86400)

    def dispatch(self, now: float) -> None:
        """Hand over what can be, the last pool's first: that makes room for those before it."""
        for place in range(len(self.pools) - 1, -1, -1):
            pool = self.pools[place]
            while pool.queue and (worker := pool.worker()) is not None and self.room(place):
                unit = pool.queue.popleft()
                pool.take(unit, worker, now)
                self.handed = now if place == 0 else self.handed
                self.driver = max(self.driver, now) + self.on.hop
                self.driven += self.on.hop
                ends = self.driver + self.times[unit][place]
                self.at(ends, "end", unit, place, worker, self.attempts[unit])

    def room(self, place: int) -> bool:
        """Whether the next pool has not too much before it already."""
        if place + 1 == len(self.pools):
            return True
        after = self.pools[place + 1]
        return len(after.queue) < max(1.0, self.on.ahead * after.of.count)


def dealt(
    work: Sequence[float], needs: Sequence[tuple[float, float]], there: tuple[float, float]
) -> list[int]:
    """Workers of each pool, so that the slowest pool is as fast as may be.

    Args:
        work: (pools,): seconds of a unit for which it holds one worker.
        needs: (pools,): CPUs and GPUs that a worker takes.
        there: CPUs and GPUs in all. Each pool gets one worker, whether or not they suffice.
    """
    counts = [1] * len(work)
    left = [have - sum(need[kind] for need in needs) for kind, have in enumerate(there)]
    while True:
        slowest = max(range(len(work)), key=lambda place: work[place] / counts[place])
        need = needs[slowest]
        fits = all(n <= h for n, h in zip(need, left, strict=True))
        if not fits or not work[slowest] or not any(need):
            return counts
        counts[slowest] += 1
        left = [have - n for n, have in zip(need, left, strict=True)]
