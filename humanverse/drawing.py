"""Skeletons as pictures: what a network that is conditioned on poses is shown.

`skeleton` draws as HyperHuman does (arXiv 2310.08579), `openpose` as OpenPose does (arXiv
1812.08008), for networks that learned from its pictures, such as ControlNet's.
"""

from __future__ import annotations

from collections.abc import Iterable
from colorsys import hsv_to_rgb
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.keypoints import BODY, BODY_EDGES, FACE, LEFT_HAND, RIGHT_HAND

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

CONFIDENT: Final = 0.3
"""Confidence above which a keypoint is drawn, as in the paper."""
SUBPIXEL: Final = 4
"""Bits of a pixel in which OpenCV is told places."""
FAR: Final = 2**20
"""Of such parts of a pixel: OpenCV's integers end somewhat beyond."""
FINGERS: Final = tuple(
    (0 if joint == 0 else finger * 4 + joint, finger * 4 + joint + 1)
    for finger in range(5)
    for joint in range(4)
)
"""Bones of a hand, from the wrist to each finger's end."""

OPENPOSE_FROM_COCO: Final = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""OpenPose's 18 points among COCO's 17, behind which the neck stands."""
OPENPOSE_EDGES: Final = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
FAINT: Final = 0.6
"""How bright OpenPose's limbs are beside its joints."""


def skeleton(poses: NDArray[np.float32], height: int, width: int) -> Pixels:
    """People's 16 bones on black, (height, width, 3): a colour a bone, 10 pixels wide at 512.

    Args:
        poses: (n, k, 3), k of 17 or more: x, y in pixels from the outer corner of the first one,
            and confidence. Only COCO's 17 are drawn, and bones whose ends both exceed `CONFIDENT`.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    thick = max(1, int(10 * height / 512))
    for pose in poses:
        for (start, end), colour in zip(BODY_EDGES, rainbow(len(BODY_EDGES)), strict=True):
            _line(canvas, pose[start], pose[end], colour, thick)
    return canvas


def openpose(poses: NDArray[np.float32], height: int, width: int) -> Pixels:
    """People as OpenPose draws them, on black, (height, width, 3): body, hands, and face in dots.

    Limbs are ellipses, four pixels to each side at 512, and joints dots of the same size.

    Args:
        poses: (n, 133, 3), as for `skeleton`.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    thick = max(1, round(4 * height / 512))
    colours = rainbow(len(OPENPOSE_FROM_COCO))
    for pose in poses:
        points = _with_neck(pose[BODY])[list(OPENPOSE_FROM_COCO)]
        for (start, end), colour in zip(OPENPOSE_EDGES, colours, strict=False):
            _limb(canvas, points[start], points[end], colour, thick)
    canvas = (canvas * FAINT).astype(np.uint8)
    for pose in poses:
        points = _with_neck(pose[BODY])[list(OPENPOSE_FROM_COCO)]
        for point, colour in zip(points, colours, strict=True):
            _dots(canvas, [point], colour, thick)
        for hand in (pose[LEFT_HAND], pose[RIGHT_HAND]):
            for (start, end), colour in zip(FINGERS, rainbow(len(FINGERS)), strict=True):
                _line(canvas, hand[start], hand[end], colour, max(1, thick // 2))
            _dots(canvas, hand, (0, 0, 255), thick)
        _dots(canvas, pose[FACE], (255, 255, 255), max(1, thick * 3 // 4))
    return canvas


def rainbow(number: int) -> list[Colour]:
    """So many colours from red over green and blue to nearly red again."""
    shades = (hsv_to_rgb(index / number, 1, 1) for index in range(number))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in shades]


def _with_neck(body: NDArray[np.float32]) -> NDArray[np.float32]:
    """The body's 17 points and the middle of its shoulders, as sure as the less sure of them."""
    shoulders = body[5:7]
    neck = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    return np.vstack([body, np.array(neck, np.float32)])


def _line(
    canvas: Pixels, start: NDArray[np.float32], end: NDArray[np.float32], colour: Colour, thick: int
) -> None:
    if _seen(start, end):
        cv2.line(canvas, _place(start), _place(end), colour, thick, cv2.LINE_AA, SUBPIXEL)


def _limb(
    canvas: Pixels, start: NDArray[np.float32], end: NDArray[np.float32], colour: Colour, thick: int
) -> None:
    if _seen(start, end):
        middle, along = (start[:2] + end[:2]) / 2, end[:2] - start[:2]
        half = min(float(np.hypot(*along.astype(np.float64))) / 2 * 2**SUBPIXEL, FAR)
        axes = (round(half), thick * 2**SUBPIXEL)
        angle = float(np.degrees(np.arctan2(along[1], along[0])))
        cv2.ellipse(canvas, _place(middle), axes, angle, 0, 360, colour, -1, cv2.LINE_AA, SUBPIXEL)


def _dots(
    canvas: Pixels, points: Iterable[NDArray[np.float32]], colour: Colour, radius: int
) -> None:
    for point in points:
        if _seen(point):
            size = radius * 2**SUBPIXEL
            cv2.circle(canvas, _place(point), size, colour, -1, cv2.LINE_AA, SUBPIXEL)


def _seen(*points: NDArray[np.float32]) -> bool:
    return all(point[2] > CONFIDENT and np.isfinite(point[:2]).all() for point in points)


def _place(point: NDArray[np.floating[Any]]) -> tuple[int, int]:
    """A place as OpenCV takes it: 0 is the middle of the first pixel. Far outside is far enough."""
    x, y = np.clip((point[:2] - 0.5) * 2**SUBPIXEL, -FAR, FAR)
    return round(float(x)), round(float(y))
