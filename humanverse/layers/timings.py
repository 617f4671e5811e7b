"""What stages took, unit by unit: kept beside the layers, since it is not the same from run to run.

`telemetry/<unit>.g<N>.json` has a line for every stage that was run for a commit. From many of them
follows how fast each stage is, how busy its workers were, and which of them a run waited for.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from humanverse.layers.store import Store

FOLDER = "telemetry"
SCHEMA = "humanverse.timings.v1"
MOST = 2000
"""Units that are looked at: in an object store each is a request."""
READERS = 16
NODE = "HUMANVERSE_NODE"
"""Variable with the name of a cluster's node, where one machine may hold several."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One stage over one unit."""

    stage: str
    pool: str
    """The first of the stages that share its workers."""
    worker: str
    """Host and process, and the node if it has a name."""
    begun: float
    """Seconds since 1970."""
    seconds: float
    rows: int
    """Alive when it began."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A stage over all units that were looked at."""

    stage: str
    pool: str
    rows: int
    seconds: float
    """Summed over units; a worker that has several in hand counts each."""
    workers: int
    busy: float
    """Share of the time, while anything was worked on, in which its pool's workers had work."""
    own: float
    """Share of the time in which they had this stage's."""
    rate: float
    """Rows a second that all its workers together did, counting only time in which it ran."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """How a root's runs went."""

    stages: list[Speed]
    units: int
    """Looked at."""
    elapsed: float
    """Seconds in which anything was worked on."""

    @property
    def limit(self) -> Speed | None:
        """The stage that a run waits for: the slowest one of the busiest pool."""
        return max(self.stages, key=lambda s: (s.busy, s.seconds), default=None)


@cache
def worker() -> str:
    """This process, by a name that no other one of a cluster has."""
    node = os.environ.get(NODE)
    return f"{socket.gethostname()}:{os.getpid()}{f'@{node}' if node else ''}"


def note_timings(store: Store, unit: str, number: int, timings: Sequence[Timing]) -> None:
    """Write down what the stages of a commit took."""
    body = {"schema": SCHEMA, "unit": unit, "stages": [asdict(timing) for timing in timings]}
    store.note(f"{FOLDER}/{unit}.g{number}.json", json.dumps(body).encode())


def read_timings(store: Store, most: int = MOST) -> list[list[Timing]]:
    """What was noted of units, those of a unit together: of the last ones, so many at most.

    They are neighbours, since of units from here and there nobody could tell who waited for whom.
    """
    names = sorted(name for name in store.names(FOLDER) if name.endswith(".json"))[-most:]
    with ThreadPoolExecutor(READERS, thread_name_prefix="timings") as pool:
        noted = pool.map(lambda name: _timings(store.read(f"{FOLDER}/{name}")), names)
        return [timings for timings in noted if timings]


def speeds_of(units: Sequence[Sequence[Timing]]) -> Speeds:
    """What the timings of some units say of each stage, in the order in which they are run."""
    flat = [timing for timings in units for timing in timings]
    order = {timing.stage: timing for timings in units for timing in timings}
    elapsed = covered(flat)
    return Speeds([_speed(name, flat, elapsed) for name in order], len(units), elapsed)


def _speed(stage: str, timings: Sequence[Timing], elapsed: float) -> Speed:
    mine = [timing for timing in timings if timing.stage == stage]
    pool = mine[-1].pool
    workers = sorted({timing.worker for timing in timings if timing.pool == pool})
    busy = sum(covered([t for t in timings if (t.pool, t.worker) == (pool, w)]) for w in workers)
    ran = sum(covered([t for t in mine if t.worker == w]) for w in workers)
    rows = sum(timing.rows for timing in mine)
    rate = rows / ran * len(workers) if ran else 0.0
    whole = elapsed * len(workers) or 1.0
    seconds = sum(timing.seconds for timing in mine)
    return Speed(stage, pool, rows, seconds, len(workers), busy / whole, ran / whole, rate)


def covered(timings: Sequence[Timing]) -> float:
    """Seconds in which any of them ran."""
    if not timings:
        return 0.0
    spans: NDArray[np.float64] = np.array(sorted((t.begun, t.begun + t.seconds) for t in timings))
    reached = np.maximum.accumulate(spans[:, 1])
    gaps = np.maximum(spans[1:, 0] - reached[:-1], 0).sum()
    return float(reached[-1] - spans[0, 0] - gaps)


def _timings(data: bytes) -> list[Timing]:
    """None of what is no note of ours: it tells nothing, and nothing rests on it."""
    try:
        return [Timing(**told) for told in json.loads(data)["stages"]]
    except (ValueError, LookupError, TypeError):
        return []
