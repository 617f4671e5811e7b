"""YOLOX (arXiv 2107.08430) as a person detector, from an ONNX export, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Detections, Image
from humanverse.models.onnx import onnx_session

STRIDES: Final = (8, 16, 32)
PAD: Final = 114
"""Grey that fills what the image leaves of the network's input."""
PERSON: Final = 0
"""Class id in COCO's list of 80."""

Array = NDArray[np.float32]


class YoloxDetector:
    """Finds people with a YOLOX network, on one thread."""

    def __init__(self, path: Path | str, least: float = 0.05, overlap: float = 0.45) -> None:
        """Load an ONNX export as the YOLOX project makes them: grid and strides not applied.

        `least` is the score below which a box is not even reported, `overlap` the IoU above which
        the weaker of two boxes is dropped.

        Raises:
            UsageError: the file is no such export.

        """
        self._session: Any = onnx_session(Path(path))
        entry = self._session.get_inputs()[0]
        shape = entry.shape
        if len(shape) != 4 or not all(isinstance(side, int) and side > 0 for side in shape[2:]):
            raise UsageError(f"{path} is no YOLOX export of a fixed size: its input is {shape}")
        self._input: str = entry.name
        self._size: tuple[int, int] = (shape[2], shape[3])
        self._grid = grid(self._size)
        outputs = [output.shape for output in self._session.get_outputs()]
        if len(outputs) != 1 or len(outputs[0]) != 3 or outputs[0][1] != len(self._grid):
            raise UsageError(
                f"{path} is no YOLOX export: it gives {outputs}, not [1, {len(self._grid)}, 85]"
            )
        self._least = least
        self._overlap = overlap

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        picture, scale = letterbox(image, self._size)
        tensor = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1), np.float32)
        (raw,) = self._session.run(None, {self._input: tensor[None]})
        boxes, scores = decode(raw[0], self._grid)
        chosen = scores >= self._least
        height, width = image.shape[:2]
        limits = np.array([width, height, width, height], np.float32)
        boxes, scores = np.clip(boxes[chosen] / scale, 0, limits), scores[chosen]
        kept = suppressed(boxes, scores, self._overlap)
        return Detections(boxes[kept], scores[kept])


def letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, float]:
    """The image shrunk or enlarged into the top left of a grey picture (height, width, 3).

    Returns it with the scale: picture pixels an image pixel.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, int(width * scale)), max(1, int(height * scale)))
    picture = np.full((*size, 3), PAD, np.uint8)
    picture[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    return picture, scale


def grid(size: tuple[int, int]) -> Array:
    """(n, 3): x and y of the cell, in cells, and its stride, for an input (height, width)."""
    layers = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        layers.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(layers).astype(np.float32)


def decode(raw: Array, cells: Array) -> tuple[Array, Array]:
    """Person boxes (n, 4), xyxy in input pixels, and scores (n,) from raw outputs (n, 5 + classes).

    A row holds the centre in cells from its own cell, the logarithm of the size in cells, that
    there is an object, and that it is of each class.
    """
    strides = cells[:, 2:]
    centres = (raw[:, :2] + cells[:, :2]) * strides
    halves = np.exp(np.minimum(raw[:, 2:4], 20)) * strides / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return boxes, raw[:, 4] * raw[:, 5 + PERSON]


def suppressed(boxes: Array, scores: Array, overlap: float) -> NDArray[np.intp]:
    """Indices of the boxes to keep, best first: none overlaps a better one by more than `overlap`.

    Boxes are (n, 4), xyxy; overlap is intersection over union.
    """
    left = np.argsort(-scores, kind="stable")
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = np.maximum(areas[best] + areas[left] - shared, 1e-9)
        left = left[shared / union <= overlap]
    return np.array(kept, np.intp)
