"""Normals that follow from metric depth and a field of view, without a network.

In a pinhole camera the inverse depth of a plane is linear in the picture's coordinates: for a
point seen in the direction (u, v, -1), 1 / depth = (n . (u, v, -1)) / c, with the plane's normal n
and distance c. So the slopes of inverse depth give the normal, exactly on planes, and with an error
of second order on curved surfaces.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

NEAREST: Final = 1e-3
"""Metres; less is no depth."""
PREFERENCE: Final = 2.0
"""How much less bent the pixels on one side must be for it to be taken, not both sides."""


def normals_from_depth(depth: Array, fov: float) -> Array:
    """Unit normals (H, W, 3), +X right, +Y up, +Z to the viewer, of depth (H, W) in metres.

    `fov` is the field of view along the longer side, in radians; the principal point is the middle.
    At an edge the slope is that of one side, so that no surface leans over to what is behind it.

    Raises:
        ValueError: the field of view is none.
    """
    if not 0 < fov < np.pi:
        raise ValueError(f"a field of view is between 0 and pi, not {fov}")
    height, width = depth.shape
    focal = max(height, width) / 2 / np.tan(fov / 2)
    inverse = 1 / np.maximum(depth.astype(np.float64), NEAREST)
    right = _slopes(inverse) * focal
    up = -_slopes(inverse.T).T * focal
    u = (np.arange(width) + 0.5 - width / 2)[None, :] / focal
    v = -(np.arange(height) + 0.5 - height / 2)[:, None] / focal
    normals = np.stack([-right, -up, inverse - u * right - v * up], axis=-1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)


def _slopes(values: Wide) -> Wide:
    """Slope a pixel along the rows of (H, W).

    Of three parabolas, through the pixel and two on its left, one on either side, or two on its
    right, the least bent is taken: it is the one that crosses no edge.
    """
    width = values.shape[1]
    if width == 1:
        return np.zeros_like(values)
    # Beyond the borders the rows go on straight, so that they are seldom taken.
    first, last = values[:, :1], values[:, -1:]
    before, behind = first - values[:, 1:2], last - values[:, -2:-1]
    wide = np.hstack([first + 2 * before, first + before, values, last + behind, last + 2 * behind])
    step = np.diff(wide)  # (H, W + 3)
    bend = np.abs(np.diff(step))  # (H, W + 2)
    left = (3 * step[:, 1 : width + 1] - step[:, :width]) / 2
    middle = (step[:, 1 : width + 1] + step[:, 2 : width + 2]) / 2
    right = (3 * step[:, 2 : width + 2] - step[:, 3:]) / 2
    bends = np.stack([bend[:, 1 : width + 1], *(PREFERENCE * b for b in _sides(bend, width))])
    return np.asarray(np.choose(bends.argmin(axis=0), [middle, left, right]))


def _sides(bend: Wide, width: int) -> tuple[Wide, Wide]:
    """How bent the two pixels on the left are with their neighbour, and those on the right."""
    return bend[:, :width], bend[:, 2 : width + 2]
