"""What units take in each pool: drawn anew from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a small sample does not show."""

    stragglers: float = 0.0
    """Share of units that take `factor` times as long in one of their pools."""
    factor: float = 5.0
    waits: float = 0.0
    """Share of units that hold a host which is dead: in the first pool they take the deadline."""
    deadline: float = 30.0


def drawn_times(
    measured: ArrayLike, units: int, seed: int, trouble: Trouble | None = None
) -> NDArray[np.float64]:
    """Seconds of many units in each pool, as they might be.

    Args:
        measured: (measured, pools): seconds of units that were built. A unit's own times stay
            together, since one that loses many rows early is fast later.
        units: how many to draw.
        seed: of the draw.
        trouble: what else may happen.

    Returns:
        (units, pools): seconds.
    """
    known, random = np.asarray(measured, np.float64), np.random.default_rng(seed)
    out = known[random.integers(0, len(known), units)].copy()
    if trouble is None:
        return out
    slow = np.flatnonzero(random.random(units) < trouble.stragglers)
    out[slow, random.integers(0, out.shape[1], len(slow))] *= trouble.factor
    waits = random.random(units) < trouble.waits
    out[waits, 0] = np.maximum(out[waits, 0], trouble.deadline)
    return out
