"""How much of the frame people cover, read from their boxes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Rule = Literal["union", "largest", "sum"]
"""union: area under any box. largest: area of the largest box. sum: overlaps count twice."""


def coverage(
    boxes: NDArray[np.floating], width: float, height: float, rule: Rule = "union"
) -> float:
    """The area of boxes (n, 4), xyxy in pixels, as a fraction of a frame of width x height.

    Only what lies inside the frame counts; no boxes cover 0. A sum can exceed 1.

    Raises:
        ValueError: the frame has no area, or the rule is not known.

    """
    if width <= 0 or height <= 0:
        raise ValueError(f"a frame of {width} x {height} has no area")
    limits = np.array([width, height, width, height], np.float64)
    inside = np.clip(np.asarray(boxes, np.float64).reshape(-1, 4), 0, limits)
    areas = np.clip(inside[:, 2:] - inside[:, :2], 0, None).prod(axis=1)
    frame = float(width) * float(height)
    match rule:
        case "union":
            return min(_union(inside[areas > 0]) / frame, 1.0)
        case "largest":
            return float(areas.max(initial=0.0)) / frame
        case "sum":
            return float(areas.sum()) / frame
    raise ValueError(f"rule {rule!r} is none of {', '.join(get_args(Rule))}")


def _union(boxes: NDArray[np.float64]) -> float:
    """Exact area under boxes (n, 4) that all have an area.

    The boxes' edges cut the plane into cells that each lie wholly inside or outside every box.
    """
    xs, ys = np.unique(boxes[:, 0::2]), np.unique(boxes[:, 1::2])
    covered = np.zeros((max(len(ys) - 1, 0), max(len(xs) - 1, 0)), bool)
    for x0, y0, x1, y1 in boxes:
        rows, columns = np.searchsorted(ys, (y0, y1)), np.searchsorted(xs, (x0, x1))
        covered[slice(*rows), slice(*columns)] = True
    return float(np.diff(ys) @ covered @ np.diff(xs))
