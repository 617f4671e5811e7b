"""What soft masks of people tell of depth and normals, where a network tells little.

A small network sees the ground well, lower being nearer, and people badly: it leans them back
along the ground. But an upright body is about as near all over as its feet are, and its feet are as
near as the ground they touch. So `stand_up` makes each person a board on the spot where its feet
are. A body that the picture's edge cuts off takes what the ground has there, the least it may have.

Bodies are round, too, and turn away from the viewer at their outline: `round_off` bends normals so.
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
FOOT: Final = 0.9
"""Quantile of the lower end's disparity that the person takes: some of it is seen between legs."""
RING: Final = 0.15
"""Width of the surroundings, in heights or widths of the mask, whichever is larger."""
MARGIN: Final = 0.1
"""By how much a person is nearer than the surroundings at least, in spreads of the whole map."""
DETAIL: Final = 0.15
"""Share of the network's own relief that is kept on a body."""

ROUNDED: Final = 0.8
"""Share that the outline's rounding has in the normals of a body."""
BLURS: Final = (0.05, 0.1)
"""Two blurs of a mask, in sides of a square as large as it: limbs are round, and so are trunks."""
BEND: Final = 1.5
"""Steepness of the blurs' slopes; at an outline they come near to a normal across the view."""
STEEPEST: Final = 0.97
"""Length in the picture's plane from which a normal is not bent further."""
FAINT: Final = 1 / 255
"""Value of a mask below which it is not worth the time."""
FINE: Final = 1.5
"""Pixels of the narrower blur at which it is computed: no larger, for the sake of time."""


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
    rows, columns = np.nonzero(solid)
    design = np.stack([columns, rows, np.ones(len(rows))], axis=1).astype(np.float64)
    a, b, c = np.linalg.lstsq(design, disparity[solid].astype(np.float64), rcond=None)[0]
    y, x = np.ogrid[: disparity.shape[0], : disparity.shape[1]]
    return np.asarray(disparity - (a * x + b * y + c), np.float32)


def round_off(normals: Array, masks: Sequence[Array]) -> Array:
    """Unit normals (H, W, 3) in which the people of soft masks (H, W) in [0, 1] are round.

    +X is right, +Y up, +Z to the viewer. Where all masks are 0 nothing changes. A body is not
    rounded where the picture's edge cuts it off.
    """
    result = normals.copy()
    for mask in masks:
        if np.count_nonzero(mask >= SOLID) < LEAST:
            continue
        part = _part(mask)
        share = ROUNDED * mask[part][..., None]
        mixed = result[part] + share * (_rounding(mask[part]) - result[part])
        length = _length(mixed)
        whole = (share > 0) & (length > 1e-3)
        result[part] = np.where(whole, mixed / np.maximum(length, 1e-3), result[part])
    return result


def _part(mask: Array) -> tuple[slice, slice]:
    """The rows and columns of a mask, and as much around it as the blurs reach."""
    x, y, wide, high = cv2.boundingRect((mask >= FAINT).astype(np.uint8))
    reach = int(np.ceil(3 * max(BLURS) * np.sqrt(wide * high)))
    return (
        slice(max(0, y - reach), y + high + reach),
        slice(max(0, x - reach), x + wide + reach),
    )


def _rounding(mask: Array) -> Array:
    """(H, W, 3): normals, nearly unit, of a body of which only the outline is known."""
    height, width = mask.shape
    side = float(np.sqrt(mask.sum()))
    shrunk = min(1.0, FINE / (BLURS[0] * side))
    size = (max(2, round(width * shrunk)), max(2, round(height * shrunk)))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    slope = np.zeros((size[1], size[0], 2), np.float32)
    for share in BLURS:
        sigma = max(0.7, share * side * shrunk)
        soft = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        down, right = np.gradient(np.asarray(soft, np.float32))
        slope += BEND * sigma * np.stack([-right, down], axis=2)
    slope *= STEEPEST / np.maximum(STEEPEST, _length(slope))
    ahead = np.sqrt(1 - np.square(slope).sum(axis=2, keepdims=True))
    return np.asarray(
        cv2.resize(np.concatenate([slope, ahead], axis=2), (width, height)), np.float32
    )


def _length(vectors: Array) -> Array:
    """(H, W, 1); several times as fast as the norm of NumPy."""
    return np.asarray(np.sqrt(np.einsum("hwc,hwc->hw", vectors, vectors))[..., None], np.float32)
