"""Crops of people, cut on the device: boxes of several images share one batch.

Top-down pose networks look at one person at a time, through a window of a fixed shape around the
box. Coordinates here are indices, as OpenCV and the networks count: 0 is the centre of the first
pixel. `PIXEL_CENTRE` leads to ours, whose origin is its outer corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from humanverse.keypoints import COUNT
from humanverse.models.base import Image
from humanverse.models.torched import Engine

if TYPE_CHECKING:
    import torch

PIXEL_CENTRE: Final = 0.5
"""Index 0 lies half a pixel inside."""

OPENCV_STEPS: Final = 32
"""OpenCV rounds places between pixels to 1/32 before it interpolates. Networks have learnt so."""

Edge = Literal["blend", "cut"]
"""What lies between the last pixel and the black outside: a slope of one pixel (OpenCV), or
nothing, black beginning at once (SciPy)."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a network is to see of an image: its pixel (x, y) shows `corner + (x, y) * step`."""

    image: Image
    corner: tuple[float, float]
    step: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """A box (centre, size) grown to the shape of a network's input, in pixels of the image."""

    centre: NDArray[np.float32]
    """(n, 2), x and y."""
    size: NDArray[np.float32]
    """(n, 2), width and height."""


def frames_of(boxes: NDArray[np.float32], shape: tuple[int, int], padding: float = 1.25) -> Frame:
    """Frames around boxes (n, 4), xyxy: grown by `padding`, then to the aspect of (width, height).

    A box without any area is taken as one pixel large: a network has to look somewhere.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    centre = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5)
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) * np.float32(padding)
    size = np.where(size.max(axis=1, keepdims=True) > 0, size, np.float32(1))
    aspect = shape[0] / shape[1]
    wide = size[:, :1] > size[:, 1:] * aspect
    wider = np.hstack([size[:, :1], size[:, :1] / aspect])
    higher = np.hstack([size[:, 1:] * aspect, size[:, 1:]])
    return Frame(centre, np.where(wide, wider, higher).astype(np.float32))


def windows_of(image: Image, frames: Frame, shape: tuple[int, int], unbiased: bool) -> list[Window]:
    """One window a frame, for an input of (width, height).

    `unbiased` lays the frame's sides on the centres of the outer pixels (UDP, arXiv 1911.07524),
    as a network that was trained so expects; else their left and upper sides alone lie there.
    """
    across = np.array(shape, np.float64) - (1 if unbiased else 0)
    steps = frames.size / across
    corners = frames.centre - np.float64(0.5) * frames.size
    return [
        Window(image, (corner[0], corner[1]), (step[0], step[1]))
        for corner, step in zip(corners.tolist(), steps.tolist(), strict=True)
    ]


def placed(
    found: Sequence[tuple[NDArray[Any], ...]], frames: Sequence[Frame]
) -> list[NDArray[np.float32]]:
    """Keypoints (n, 133, 3) of each image's frames: x, y in its pixels, confidence in [0, 1].

    `found` has, window after window, places (k, 2) in fractions of the frame and scores (k,).
    Where k is less than 133 the rest have confidence 0, as do those that were not found.
    """
    rows, out = iter(found), []
    for frame in frames:
        people = np.zeros((len(frame.centre), COUNT, 3), np.float32)
        for person, centre, size in zip(people, frame.centre, frame.size, strict=True):
            places, scores = next(rows)
            known = person[: len(scores)]
            known[:, :2] = places * size + centre - 0.5 * size + PIXEL_CENTRE
            known[:, 2] = np.clip(scores, 0, 1)
        out.append(people)
    return out


def cut(
    engine: Engine, windows: Sequence[Window], shape: tuple[int, int], edge: Edge
) -> torch.Tensor:
    """The windows as uint8 (n, height, width, 3) on the device, for an input of (width, height).

    Each image is copied there once. Bilinear, black outside, rounded to whole levels as by
    the libraries: `cut` agrees with `scipy.ndimage.affine_transform` to one level, `blend` with
    `cv2.warpAffine`, but where a place lies between two of OpenCV's steps, to what a step makes.
    """
    pixels, starts = packed(windows)
    sides = [window.image.shape[1::-1] for window in windows]
    table = np.array([(*w.corner, *w.step) for w in windows], np.float64)
    flat = engine.upload(pixels)
    places = engine.upload(np.array([(*s, at) for s, at in zip(sides, starts, strict=True)]))
    numbers = engine.upload(table)
    columns = _samples(numbers[:, 0], numbers[:, 2], places[:, 0], shape[0], edge)
    rows = _samples(numbers[:, 1], numbers[:, 3], places[:, 1], shape[1], edge)
    return _blended(flat, places[:, 2], places[:, 0], rows, columns)


def packed(windows: Sequence[Window]) -> tuple[NDArray[np.uint8], list[int]]:
    """All pixels of their images, (pixels, 3), each image once, and where each window's begins."""
    begins: dict[int, int] = {}
    parts: list[Image] = []
    total = 0
    for window in windows:
        if id(window.image) not in begins:
            begins[id(window.image)] = total
            parts.append(window.image.reshape(-1, 3))
            total += len(parts[-1])
    return np.concatenate(parts), [begins[id(window.image)] for window in windows]


@dataclass(frozen=True, slots=True)
class _Samples:
    """Along one axis of each window: two neighbouring pixels of the image, and their weights."""

    near: torch.Tensor  # (n, side), index of the first, inside the image
    far: torch.Tensor  # (n, side), of the second
    near_weight: torch.Tensor  # (n, side), 0 where the pixel would lie outside
    far_weight: torch.Tensor  # (n, side)


def _samples(
    corner: torch.Tensor, step: torch.Tensor, size: torch.Tensor, side: int, edge: Edge
) -> _Samples:
    """Where the `side` samples of each window fall, in images of `size` pixels on that axis."""
    import torch

    last = (size - 1)[:, None]
    index = torch.arange(side, device=corner.device, dtype=torch.float64)
    place = corner[:, None] + index * step[:, None]
    if edge == "blend":
        place = torch.floor(place * OPENCV_STEPS + 0.5) / OPENCV_STEPS
    # Far outside numbers of any size would do, and some would not fit an index.
    place = torch.minimum(place.clamp(min=-2), last + 2.0)
    near = torch.floor(place)
    share = (place - near).float()
    near = near.long()
    far = near + 1
    weights = [
        torch.where((at >= 0) & (at <= last), weight, torch.zeros_like(weight))
        for at, weight in ((near, 1 - share), (far, share))
    ]
    if edge == "cut":
        inside = (place >= 0) & (place <= last)
        weights = [weight * inside for weight in weights]
    near, far = (torch.minimum(at.clamp(min=0), last) for at in (near, far))
    return _Samples(near, far, weights[0], weights[1])


def _blended(
    flat: torch.Tensor,
    starts: torch.Tensor,
    widths: torch.Tensor,
    rows: _Samples,
    columns: _Samples,
) -> torch.Tensor:
    """Pixels (n, height, width, 3) from four neighbours each."""

    def line(at: torch.Tensor) -> torch.Tensor:
        first = (starts[:, None] + at * widths[:, None])[:, :, None]
        near = flat[first + columns.near[:, None, :]] * columns.near_weight[:, None, :, None]
        return near + flat[first + columns.far[:, None, :]] * columns.far_weight[:, None, :, None]

    upper = line(rows.near) * rows.near_weight[:, :, None, None]
    blended = upper + line(rows.far) * rows.far_weight[:, :, None, None]
    return (blended + 0.5).floor().clamp(0, 255).byte()
