"""Normals out of depth, by planes laid through each pixel's surroundings."""

from __future__ import annotations

import numpy as np

from humanverse.testing.figures import FOCAL, SIDE

REACH = 2
"""Pixels to each side: planes are laid through 5 x 5."""
NEAR = 0.15
"""Metres: what lies farther from a pixel along the axis is of another surface."""


def metres(nearness: np.ndarray, near: float, far: float) -> np.ndarray:
    """Depth of maps whose 1 is at `near` and whose 0 is at `far`, linear in the inverse."""
    return 1 / (1 / far + np.clip(nearness, 0, 1) * (1 / near - 1 / far))


def normals_of(depth: np.ndarray) -> np.ndarray:
    """Maps (N, H, W) in metres, seen by the figures' camera, as unit normals (N, H, W, 3).

    The inverse depth of a plane is linear over the picture, so a plane is fitted by least squares
    to the inverse depths of the neighbours that are of the same surface.
    """
    count, height, width = depth.shape
    pad = ((0, 0), (REACH, REACH), (REACH, REACH))
    padded = np.pad(depth, pad, constant_values=np.inf)
    matrix, vector = np.zeros((count, height, width, 3, 3)), np.zeros((count, height, width, 3))
    for down in range(2 * REACH + 1):
        for right in range(2 * REACH + 1):
            other = padded[:, down : down + height, right : right + width]
            same = np.abs(other - depth) < NEAR
            row = np.array([(right - REACH) / FOCAL, -(down - REACH) / FOCAL, 1.0])
            matrix += same[..., None, None] * np.outer(row, row)
            vector += np.where(same, 1 / other, 0)[..., None] * row
    matrix += np.eye(3) * 1e-9
    slopes = np.linalg.solve(matrix, vector[..., None])[..., 0]  # of 1 / depth, about each pixel
    x = (np.arange(width) + 0.5 - SIDE / 2) / FOCAL
    y = -(np.arange(height)[:, None] + 0.5 - SIDE / 2) / FOCAL
    # The fit is about the pixel; a plane's third number is that on the axis.
    axis = slopes[..., 2] - slopes[..., 0] * x - slopes[..., 1] * y
    normals = np.stack([-slopes[..., 0], -slopes[..., 1], axis], axis=3)
    return normals / np.linalg.norm(normals, axis=3, keepdims=True)


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angles between unit vectors (..., 3)."""
    return np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1)))
