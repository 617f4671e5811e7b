"""Small pose networks of others, with 17 points, to be held beside the whole-body estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from humanverse.models.onnx import onnx_session
from humanverse.models.tflite import TfliteModel
from humanverse.models.ultralytics import letterbox
from humanverse.models.yolox import suppressed

PADDING = 1.25


class MoveNet:
    """MoveNet single-pose: a square around each box, 192 pixels wide."""

    def __init__(self, path: Path) -> None:
        self._model = TfliteModel(path)
        (self._output,) = self._model._outputs

    def estimate(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list:
        """Keypoints (n, 133, 3) of boxes (n, 4); only the body's are found."""
        return [
            np.stack([self._one(image, box) for box in asked])
            for image, asked in zip(images, boxes, strict=True)
        ]

    def _one(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        side = max(box[2] - box[0], box[3] - box[1]) * PADDING
        corner = (box[:2] + box[2:]) / 2 - side / 2
        scale = 192 / side
        shift = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
        crop = cv2.warpAffine(image, shift, (192, 192), flags=cv2.INTER_AREA)
        (found,) = self._model.run(crop, self._output)
        points = np.zeros((133, 3), np.float32)
        points[:17] = found[0][:, [1, 0, 2]] * [side, side, 1] + [*corner, 0]
        return points


class YoloPose:
    """A pose network of ultralytics, exported to ONNX, on whole pictures.

    The quantised export gives fractions of its input, which their package takes for pixels.
    """

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)
        (entry,) = self._session.get_inputs()
        self._input, self._size = entry.name, tuple(entry.shape[2:])

    def estimate(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list:
        """For each box (n, 4) the keypoints (n, 133, 3) of whoever overlaps it most, if anybody."""
        return [self._one(image, asked) for image, asked in zip(images, boxes, strict=True)]

    def _one(self, image: np.ndarray, asked: np.ndarray) -> np.ndarray:
        picture, scale, corner = letterbox(image, self._size)
        tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255
        (raw,) = self._session.run(None, {self._input: tensor})
        rows = raw[0].T[raw[0][4] > 0.05]
        unit = np.array(self._size[::-1]) if rows[:, :4].max(initial=0) <= 2 else np.ones(2)
        centres, halves = rows[:, :2] * unit, rows[:, 2:4] * unit / 2
        found = np.hstack([centres - halves, centres + halves])
        kept = suppressed(found, rows[:, 4], 0.7)
        places = rows[kept, 5:].reshape(-1, 17, 3) * [*unit, 1]
        places[..., :2] = (places[..., :2] - corner) / scale
        found = (found[kept] - np.tile(corner, 2)) / np.tile(scale, 2)
        out = np.zeros((len(asked), 133, 3), np.float32)
        for place, box in enumerate(asked):
            shared = overlap(box, found)
            if len(shared) and shared.max() > 0.3:
                out[place, :17] = places[int(shared.argmax())]
        return out


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / (areas + (box[2:] - box[:2]).prod() - shared)
