"""Simple geometric faces, hands and feet: where their keypoints lie, in their own frames."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

HEAD: Final = np.array([0.076, 0.118, 0.097], np.float32)
"""Half axes of the head's ellipsoid in metres: to the left, up, forward."""

EYE: Final = (0.40, 0.12)
MOUTH: Final = (0.0, -0.50)

_FINGERS: Final = (  # root across (to the thumb) and along the hand, first bone, sideways lean
    (0.028, 0.030, 0.038, 0.75),
    (0.026, 0.090, 0.041, 0.10),
    (0.007, 0.094, 0.045, 0.00),
    (-0.012, 0.089, 0.041, -0.08),
    (-0.029, 0.080, 0.032, -0.18),
)


def on_head(across: NDArray[np.floating], up: NDArray[np.floating], out: float = 0.0) -> Array:
    """(n, 3) points on the head's front, from fractions of its half axes; `out` lifts them, m."""
    front = np.sqrt(np.maximum(0, 1 - across**2 - up**2))
    points = np.stack([across, up, front], axis=-1) * HEAD
    points[..., 2] += out
    return points.astype(np.float32)


@lru_cache(maxsize=1)
def face() -> Array:
    """(68, 3) in the head's frame, in the iBUG order, which begins at the person's right ear."""
    t = np.linspace(0, np.pi, 17)
    jaw = on_head(-0.93 * np.cos(t), 0.08 - 0.93 * np.sin(t))
    brow_x, brow_y = np.linspace(-0.66, -0.16, 5), 0.30 + 0.08 * np.sin(np.linspace(0.3, 2.6, 5))
    brows = on_head(np.concatenate([brow_x, -brow_x[::-1]]), np.concatenate([brow_y, brow_y[::-1]]))
    zero = np.zeros(1)
    heights = np.linspace(0.14, -0.16, 4)
    bridge = np.concatenate(
        [on_head(zero, zero + y, o) for y, o in zip(heights, _NOSE, strict=True)]
    )
    wing = np.linspace(-0.2, 0.2, 5)
    nostrils = on_head(wing, -0.24 + 0 * wing, 0.006)
    eye = np.array([[-1, 0], [-0.4, 1], [0.4, 1], [1, 0], [0.4, -1], [-0.4, -1]]) * [0.16, 0.055]
    eyes = [on_head(side * EYE[0] + eye[:, 0], EYE[1] + eye[:, 1]) for side in (-1, 1)]
    lips = [_ring(0.34, 0.12, 7, 5), _ring(0.26, 0.05, 5, 3)]
    return np.concatenate([jaw, brows, bridge, nostrils, *eyes, *lips])


_NOSE: Final = (0.002, 0.008, 0.014, 0.020)  # metres the bridge stands out, downwards


def _ring(wide: float, high: float, above: int, below: int) -> Array:
    """Lips: from the person's right corner over the top to the left corner, and back below."""
    top = np.linspace(np.pi, 0, above)
    bottom = -np.linspace(0, np.pi, below + 2)[1:-1]
    angle = np.concatenate([top, bottom])
    return on_head(MOUTH[0] + wide * np.cos(angle), MOUTH[1] + high * np.sin(angle))


def body_of_head() -> Array:
    """(5, 3) nose, left eye, right eye, left ear, right ear in the head's frame."""
    nose = face()[30]
    eyes = on_head(np.array([EYE[0], -EYE[0]]), np.array([EYE[1], EYE[1]]))
    ears = np.array([[1.0, 0.02, 0.0], [-1.0, 0.02, 0.0]], np.float32) * HEAD
    return np.concatenate([nose[None], eyes, ears]).astype(np.float32)


def hand(curl: float) -> Array:
    """(21, 3) of a left hand: +X to the thumb, +Y along the fingers, +Z out of its back.

    The first row is the wrist at the origin; a right hand has x turned round.
    """
    points = [np.zeros(3)]
    for across, along, bone, lean in _FINGERS:
        spot = np.array([across, along, 0.0])
        points.append(spot)
        bend = 0.0
        for length in (bone, bone * 0.68, bone * 0.55):
            bend += curl * (0.5 if lean > 0.5 else 1.0)
            way = np.array(
                [np.sin(lean) * np.cos(bend), np.cos(lean) * np.cos(bend), -np.sin(bend)]
            )
            spot = spot + length * way
            points.append(spot)
    return np.array(points, np.float32)


FEET: Final = np.array([[0.02, -0.05, 0.155], [-0.03, -0.055, 0.135], [0.0, -0.045, -0.055]])
"""(3, 3) big toe, small toe, heel from the right ankle: +X to the left, +Y up, +Z ahead, metres.

For the left foot x changes its sign.
"""
