"""The single-shot detectors of the BlazePose family: anchors, decoding, weighted suppression.

Decoding follows the graphs of MediaPipe 0.10.21 (Apache-2.0), whose networks these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image
from humanverse.models.blaze.regions import Points, Region
from humanverse.models.tflite import Tensor, TfliteModel, sigmoid

ANCHORS_A_STRIDE: Final = 2
"""Anchors that one stride of a network adds to a cell."""


@dataclass(frozen=True, slots=True)
class SsdSpec:
    """What differs between two of these networks."""

    weights: str
    size: int
    strides: tuple[int, ...]
    keypoints: int
    outputs: tuple[str, str]
    """Names of the regression and of the score tensor."""


POSE = SsdSpec("blazepose/pose_detection", 224, (8, 16, 32, 32, 32), 4, ("Identity", "Identity_1"))
FACE = SsdSpec(
    "blazepose/face_detection_short_range",
    128,
    (8, 16, 16, 16),
    6,
    ("regressors", "classificators"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One detection, in image pixels."""

    score: float
    corners: Points
    """(2, 2): the corners of the box, top left and bottom right as the network saw it."""
    keypoints: Points
    """(k, 2)."""

    @property
    def centre(self) -> Points:
        """(2,): the middle of the box."""
        return np.asarray(self.corners.mean(axis=0), np.float64)

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return float(np.abs(self.corners[1] - self.corners[0]).max())


def anchor_centres(spec: SsdSpec) -> NDArray[np.float64]:
    """(n, 2), in [0, 1]: row by row, equal strides share their cells."""
    layers = []
    for stride, run in groupby(spec.strides):
        cells = -(-spec.size // stride)
        rows, columns = np.mgrid[:cells, :cells]
        centres = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centres, ANCHORS_A_STRIDE * len(list(run)), axis=0))
    return np.concatenate(layers)


def iou(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,): intersection over union of a box (4,) with boxes (n, 4), xyxy."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    own = np.clip(box[2:] - box[:2], 0, None).prod()
    return np.asarray(shared / np.maximum(own + areas - shared, 1e-9), np.float64)


def merge_overlapping(
    rows: NDArray[np.floating], scores: NDArray[np.floating], threshold: float
) -> list[tuple[float, NDArray[np.float64]]]:
    """Weighted suppression: each group of overlapping rows becomes its score-weighted mean.

    `rows` (n, 4 + 2k) start with a box xyxy. Gives (best score, mean row), best first. The mean is
    steadier than the best row alone, and these networks were made for it.
    """
    left = np.argsort(-scores, kind="stable")
    merged = []
    while len(left):
        overlaps = iou(rows[left[0]][:4], rows[left][:, :4]) > threshold
        overlaps[0] = True
        group = left[overlaps]
        mean = np.average(rows[group], axis=0, weights=scores[group])
        merged.append((float(scores[left[0]]), np.asarray(mean, np.float64)))
        left = left[~overlaps]
    return merged


def decode(
    spec: SsdSpec, anchors: NDArray[np.float64], regression: Tensor, scores: Tensor, least: float
) -> list[tuple[float, NDArray[np.float64]]]:
    """Detections of score `least` and above: (score, row), rows (4 + 2k,) in crop pixels, xyxy.

    `regression` (n, 4 + 2k) holds box centre, size and keypoints, relative to the anchors.
    """
    chosen = scores >= least
    raw = regression[chosen].astype(np.float64)
    offsets = anchors[chosen] * spec.size
    centres, halves = raw[:, :2] + offsets, raw[:, 2:4] / 2
    keypoints = raw[:, 4:].reshape(-1, spec.keypoints, 2) + offsets[:, None]
    rows = np.concatenate(
        [centres - halves, centres + halves, keypoints.reshape(-1, 2 * spec.keypoints)], axis=1
    )
    return merge_overlapping(rows, scores[chosen], threshold=0.3)


class SsdDetector:
    """Runs one of these networks on a region of an image."""

    def __init__(self, spec: SsdSpec, model: TfliteModel) -> None:
        self.spec = spec
        self._model = model
        self._anchors = anchor_centres(spec)

    def detect(self, image: Image, region: Region, least: float) -> list[Found]:
        """What shows in the region with at least this score, best first."""
        spec = self.spec
        crop = region.crop(image, spec.size)
        picture = crop.astype(np.float32) * np.float32(2 / 255) - np.float32(1)
        regression, logits = self._model.run(picture, *spec.outputs)
        found = decode(spec, self._anchors, regression, sigmoid(logits[:, 0]), least)
        return [_placed(score, row, region, spec.size) for score, row in found]


def _placed(score: float, row: NDArray[np.float64], region: Region, size: int) -> Found:
    points = region.to_image(row.reshape(-1, 2), size)
    return Found(score, points[:2], points[2:])
