"""Intervals of what a sample of units says of all of them.

Rows of a unit share a unit, and hosts fail together, so the unit is what was drawn: every figure is
a ratio of two sums over units (kept to rows, seconds to rows), and what units differ among
themselves tells how far it may be off. Which methods hold what they promise was measured:
docs/decisions/0032-estimating.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, pi, sqrt, tan
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and the bounds between which the truth lies in 95 of 100 cases."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """All of it, `factor` (not negative) times."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def total(parts: Sequence[Interval]) -> Interval:
    """The sum of figures out of the same units, as if they rose and fell together: never too
    narrow.
    """
    return Interval(
        sum(part.value for part in parts),
        sum(part.low for part in parts),
        sum(part.high for part in parts),
    )


def share(kept: ArrayLike, rows: ArrayLike, units: int) -> Interval:
    """A share of rows: Wilson's interval for as many rows as would tell the same if each were drawn
    by itself (Kish 1965), with the quantile of Student's t for the units drawn.

    Args:
        kept: (drawn,): rows of each unit that have it.
        rows: (drawn,): all rows of each unit, one at least.
        units: how many there are, of which these were drawn.
    """
    k, n = _pair(kept, rows)
    value, left = float(k.sum() / n.sum()), 1 - len(k) / units
    if left <= 0:
        return Interval(value, value, value)
    if len(k) < 2:
        return Interval(value, 0.0, 1.0)
    if k.sum() == 0 or k.sum() == n.sum():
        reach = 3 / float(n.sum())  # the rule of three
        return Interval(value, max(0.0, value - reach), min(1.0, value + reach))
    alone = value * (1 - value) / n.sum()
    # Units cannot well be more alike than rows drawn at random: where they seem so, it is chance.
    spread = max(_variance(k, n), alone) * left
    effective = value * (1 - value) / spread
    z2 = quantile(len(k) - 1) ** 2 / effective
    middle = (value + z2 / 2) / (1 + z2)
    reach = sqrt(z2 * value * (1 - value) + z2 * z2 / 4) / (1 + z2)
    return Interval(value, max(0.0, middle - reach), min(1.0, middle + reach))


def ratio(parts: ArrayLike, rows: ArrayLike, units: int) -> Interval:
    """An amount a row, such as bytes or seconds: linearised, on a scale of logarithms, with the
    quantile of Student's t.

    Args:
        parts: (drawn,): the amount of each unit, not negative.
        rows: (drawn,): rows of each unit, one at least.
        units: how many there are, of which these were drawn.
    """
    p, n = _pair(parts, rows)
    value, left = float(p.sum() / n.sum()), max(0.0, 1 - len(p) / units)
    if value == 0 or left == 0:
        return Interval(value, value, value)
    reach = quantile(len(p) - 1) * sqrt(_variance(p, n) * left) / value
    far = exp(min(reach, 50.0))
    return Interval(value, value / far, value * far)


def quantile(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t (Fisher and Cornish 1960); infinite of no freedom.

    Off by 1 in 1,000 at 3 degrees, and by less at more.
    """
    if freedom < 1:
        return inf
    if freedom == 1:
        return 1 / tan((1 - LEVEL) * pi / 2)
    if freedom == 2:
        return sqrt(2 / ((1 - LEVEL) * (1 + LEVEL)) - 2)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def _variance(parts: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    """Of the ratio of sums, linearised; infinite of a single unit."""
    if len(parts) < 2:
        return inf
    rest = parts - parts.sum() / rows.sum() * rows
    return float(len(parts) / (len(parts) - 1) * (rest @ rest) / rows.sum() ** 2)


def _pair(parts: ArrayLike, rows: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.asarray(parts, np.float64), np.asarray(rows, np.float64)
