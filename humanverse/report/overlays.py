"""Pictures of labels: boxes and skeletons over the photo, depth and normals as colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.drawing import CONFIDENT, FINGERS
from humanverse.keypoints import BODY_EDGES, FACE, FEET, LEFT_HAND, RIGHT_HAND

Pixels = NDArray[np.uint8]

HEIGHT = 320
WIDEST = 4 * HEIGHT
"""What is wider still is shown smaller: a JPEG has 65,500 pixels to a side at most."""
"""Pixels of a panel's height."""
PEOPLE = ((255, 176, 0), (100, 143, 255), (220, 38, 127))
"""One colour a person, told apart also by the colour-blind."""
LEFT, RIGHT = (254, 97, 0), (120, 94, 240)


def panel(sample: dict[str, Any]) -> Pixels:
    """A sample as one strip: the photo with its people, depth, normals; (HEIGHT, W, 3)."""
    strips = [people(sample)]
    if "depth" in sample:
        strips.append(depth_colours(sample["depth"], sample["depth_kind"]))
    if "normals" in sample:
        strips.append(normal_colours(sample["normals"]))
    return np.hstack([_to_height(strip) for strip in strips])


def people(sample: dict[str, Any]) -> Pixels:
    """The photo with boxes, body skeletons, feet, faces and hands; (H, W, 3)."""
    canvas = np.ascontiguousarray(sample["image"]).copy()
    width = max(1, round(canvas.shape[0] / 200))
    boxes = sample.get("meta", {}).get("people", [])
    for index, person in enumerate(boxes):
        left, top, right, bottom = (round(side) for side in person["box"])
        cv2.rectangle(canvas, (left, top), (right, bottom), PEOPLE[index % len(PEOPLE)], width)
    for index, points in enumerate(sample.get("poses", ())):
        _draw_person(canvas, points, PEOPLE[index % len(PEOPLE)], width)
    return canvas


def depth_colours(depth: NDArray[np.float32], kind: str) -> Pixels:
    """Near is bright, far is dark, by rank within the picture; (H, W, 3)."""
    low, high = np.percentile(depth, (2, 98))
    level = np.clip((depth - low) / max(float(high - low), 1e-9), 0, 1)
    near = level if kind == "disparity" else 1 - level
    coloured = cv2.applyColorMap((near * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def normal_colours(normals: NDArray[np.float32]) -> Pixels:
    """As they are stored: RGB = (n + 1) / 2; (H, W, 3)."""
    return ((normals + 1) * 127.5).astype(np.uint8)


def to_side(pixels: Pixels, most: int) -> Pixels:
    """Shrunk until its longer side has no more than so many pixels; (H, W, 3)."""
    height, width = pixels.shape[:2]
    scale = min(most / max(height, width), 1)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw_person(
    canvas: Pixels, points: NDArray[np.float32], colour: tuple[int, int, int], width: int
) -> None:
    for start, end in BODY_EDGES:
        _bone(canvas, points[start], points[end], colour, width + 1)
    for hand, tint in ((LEFT_HAND, LEFT), (RIGHT_HAND, RIGHT)):
        for start, end in FINGERS:
            _bone(canvas, points[hand][start], points[hand][end], tint, 1)
    # Sixty-eight points crowd a face: they stay as small as can be seen.
    for part, tint, radius in ((FEET, colour, width), (FACE, (255, 255, 255), width // 2)):
        for x, y, confidence in points[part]:
            if confidence > CONFIDENT:
                cv2.circle(canvas, (round(float(x)), round(float(y))), radius, tint, -1)


def _bone(
    canvas: Pixels,
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    if min(start[2], end[2]) > CONFIDENT:
        first, last = ((round(float(p[0])), round(float(p[1]))) for p in (start, end))
        cv2.line(canvas, first, last, colour, width, cv2.LINE_AA)


def _to_height(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(HEIGHT / height, WIDEST / width)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    out = np.zeros((HEIGHT, across, 3), np.uint8)
    top = (HEIGHT - down) // 2
    out[top : top + down] = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
    return out
