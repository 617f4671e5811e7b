"""People stand up in a map of disparity: each is an upright board on the spot where its feet are.

A small network sees the ground well, lower being nearer, and people badly: it leans them back
along the ground. But an upright body is about as near all over as its feet are, and its feet are as
near as the ground they touch. So a person's whole mask takes the disparity of its lower end. A body
that the picture's edge cuts off takes what the ground has there, which is the least it may have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SOLID: Final = 0.5
"""Value of a mask from which on a pixel counts as the person's."""
LEAST: Final = 16
"""Pixels below which a mask has no lower end to speak of."""
LOW: Final = 0.15
"""Share of a mask's height that is its lower end, and a third of it below belongs to it too."""
FOOT: Final = 0.75
"""Quantile of the lower end's disparity that the person takes: some of it is seen between legs."""
RING: Final = 0.15
"""Width of the surroundings, in heights or widths of the mask, whichever is larger."""
MARGIN: Final = 0.1
"""By how much a person is nearer than the surroundings at least, in spreads of the whole map."""
DETAIL: Final = 0.3
"""Share of the network's own relief that is kept on a body."""


@dataclass(frozen=True, slots=True)
class _Board:
    """One person: where, how near, and the relief on it."""

    mask: Array
    level: float
    relief: Array


def stand_up(disparity: Array, masks: Sequence[Array]) -> Array:
    """Disparity (H, W) in which the people of soft masks (H, W) in [0, 1] stand upright.

    Larger is nearer, at any scale and offset. Where all masks are 0 nothing changes. Nearer people
    cover those behind them, in whatever order the masks come.
    """
    spread = float(np.subtract(*np.quantile(disparity, (0.95, 0.05))))
    anyone = np.zeros(disparity.shape, bool)
    for mask in masks:
        anyone |= mask >= SOLID
    boards = [_board(disparity, mask, anyone, spread) for mask in masks]
    result = disparity.copy()
    for board in sorted((b for b in boards if b is not None), key=_nearness):
        result += board.mask * (board.level + board.relief - result)
    return result


def _nearness(board: _Board) -> tuple[float, float]:
    """Ties, as where two stand on the same line, go to the larger."""
    return board.level, float(board.mask.sum())


def _board(
    disparity: Array, mask: Array, anyone: NDArray[np.bool_], spread: float
) -> _Board | None:
    solid = mask >= SOLID
    if np.count_nonzero(solid) < LEAST:
        return None
    level = float(np.quantile(disparity[_lower_end(solid)], FOOT))
    around = _ring(solid) & ~anyone
    if around.any():
        level = max(level, float(np.median(disparity[around])) + MARGIN * spread)
    return _Board(mask, level, DETAIL * _relief(disparity, solid))


def _lower_end(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The lowest part of a mask, and what lies just below it."""
    rows = np.flatnonzero(solid.any(axis=1))
    high = max(1, round(LOW * (rows[-1] + 1 - rows[0])))
    end = solid.copy()
    end[: rows[-1] + 1 - high] = False
    columns = end.any(axis=0)
    end[rows[-1] + 1 : rows[-1] + 1 + high // 3, columns] = True
    return end


def _ring(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What surrounds a mask."""
    _, _, width, height = cv2.boundingRect(solid.astype(np.uint8))
    reach = max(2, round(RING * max(width, height)))
    # Distances to the mask cost the same however wide the ring is.
    away = cv2.distanceTransform((~solid).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray((away > 0) & (away <= reach))


def _relief(disparity: Array, solid: NDArray[np.bool_]) -> Array:
    """What is left of the disparity once the plane that fits it best over the mask is gone."""
    y, x = (axis.astype(np.float64) for axis in np.indices(disparity.shape, sparse=True))
    ys, xs = np.nonzero(solid)
    design = np.stack([xs, ys, np.ones(len(xs))], axis=1).astype(np.float64)
    a, b, c = np.linalg.lstsq(design, disparity[solid].astype(np.float64), rcond=None)[0]
    return (disparity - (a * x + b * y + c)).astype(np.float32)
