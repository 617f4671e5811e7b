"""How far a sample's own depth and normals are from those that are found in its picture.

So HyperHuman (arXiv 2310.08579) asks whether the branches of a network tell of one thing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.evaluate.statistics import Floats
from humanverse.models.base import DepthKind

NEAREST: Final = 1e-3
"""Metres: what is nearer counts as this near."""


def depth_error(
    own: NDArray[np.floating], kind: DepthKind, found: NDArray[np.floating], found_kind: DepthKind
) -> float:
    """The mean squared difference of two maps (H, W), each over its own range."""
    return float(np.square(evened(own, kind) - evened(found, found_kind)).mean())


def evened(depth: NDArray[np.floating], kind: DepthKind) -> Floats:
    """A map as disparity over its own range: 1 is the nearest place, 0 the farthest.

    Metres are inverted, relative depth is turned round, and a flat map is 0: as in training.
    """
    wide = np.asarray(depth, np.float64)
    if kind == "metric":
        wide = 1 / wide.clip(NEAREST)
    near = -wide if kind == "relative" else wide
    low, high = near.min(), near.max()
    even: Floats = (near - low) / max(high - low, 1e-12)
    return even


def normal_errors(own: NDArray[np.floating], found: NDArray[np.floating]) -> tuple[float, float]:
    """Of two maps of unit vectors (H, W, 3): the mean squared length of their difference, 0 to 4,
    and the mean angle in degrees.
    """
    one, other = np.asarray(own, np.float64), np.asarray(found, np.float64)
    length = np.linalg.norm(one - other, axis=-1)
    # Of a chord, since the cosine of small angles loses their digits.
    angle = 2 * np.degrees(np.arcsin((length / 2).clip(0, 1)))
    return float((length**2).mean()), float(angle.mean())
