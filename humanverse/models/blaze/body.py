"""Thirty-three body landmarks and a person mask from one region of an image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image
from humanverse.models.blaze.regions import Points, Region
from humanverse.models.blaze.ssd import Found
from humanverse.models.tflite import Tensor, TfliteModel, sigmoid

WEIGHTS = "blazepose/pose_landmark_full"
SIZE = 256
CELLS = 64
"""Side of a heat map."""
LANDMARKS = 33
REACH = 3
"""Cells to each side of a landmark whose heat refines it."""


@dataclass(frozen=True, slots=True)
class Body:
    """What the landmark network sees in a region."""

    points: Points
    """(33, 2) in image pixels."""
    visible: NDArray[np.float32]
    """(33,) in [0, 1]: in the frame and not hidden."""
    present: NDArray[np.float32]
    """(33,) in [0, 1]: in the frame, perhaps hidden."""
    flag: float
    """In [0, 1]: that there is a person."""
    guides: Points
    """(2, 2): the hip centre, and the point that gives the size and turn of the whole body."""
    region: Region
    mask: NDArray[np.float32]
    """(256, 256) in [0, 1]: the person in the region."""


def region_of(found: Found) -> Region:
    """The region of a whole body that the pose detector found."""
    return Region.pointing(found.keypoints[0], found.keypoints[1], 1.25, 90)


class BodyLandmarks:
    """Finds the landmarks of the one person in a region."""

    def __init__(self, model: TfliteModel) -> None:
        self._model = model

    def look(self, image: Image, region: Region) -> Body:
        """One pass over a region."""
        picture = region.crop(image, SIZE).astype(np.float32) / np.float32(255)
        marks, flag, mask, heat = self._model.run(
            picture, "Identity", "Identity_1", "Identity_2", "Identity_3"
        )
        marks = marks.reshape(-1, 5)
        points = region.to_image(refined(marks[:, :2], heat), SIZE)
        return Body(
            points=points[:LANDMARKS],
            visible=sigmoid(marks[:LANDMARKS, 3]),
            present=sigmoid(marks[:LANDMARKS, 4]),
            flag=float(flag[0]),
            guides=points[LANDMARKS : LANDMARKS + 2],
            region=region,
            mask=sigmoid(mask[..., 0]),
        )

    def look_again(self, image: Image, first: Body) -> Body:
        """A pass over the region that an earlier pass found better than its own."""
        return self.look(image, Region.pointing(first.guides[0], first.guides[1], 1.25, 90))


def refined(points: Tensor, heat: Tensor) -> NDArray[np.float64]:
    """Points (39, 2) in crop pixels, moved to the centre of the heat (64, 64, 39) around them.

    A point without clear heat nearby stays where it was.
    """
    result = points.astype(np.float64)
    cell = SIZE / CELLS
    for index, (x, y) in enumerate((result / cell).astype(int)):
        if not (0 <= x < CELLS and 0 <= y < CELLS):
            continue
        rows = np.arange(max(0, y - REACH), min(CELLS, y + REACH + 1))
        columns = np.arange(max(0, x - REACH), min(CELLS, x + REACH + 1))
        near = sigmoid(heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, index])
        if near.max() >= 0.5:
            total = float(near.sum())
            result[index] = (near.sum(axis=0) @ columns, near.sum(axis=1) @ rows)
            result[index] *= cell / total
    return result


def mask_on(body: Body, height: int, width: int) -> NDArray[np.float32]:
    """The person mask laid over the image: (height, width) in [0, 1], 0 outside the region."""
    matrix = body.region.matrix(SIZE)
    # OpenCV counts from pixel centres, we from the outer corner of the first pixel.
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    return np.asarray(cv2.warpAffine(body.mask, matrix, (width, height)), np.float32)


def mask_box(body: Body, height: int, width: int) -> NDArray[np.float64] | None:
    """The box (4,), xyxy, of the person mask inside the image, or None where the mask is empty.

    Specks smaller than a twentieth of the largest piece are left out.
    """
    solid = (body.mask > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= areas.max() / 20)
    rows, columns = np.nonzero(np.isin(labels, kept))
    corners = np.concatenate(
        [np.stack([columns + dx, rows + dy], axis=1) for dx in (0, 1) for dy in (0, 1)]
    )
    points = body.region.to_image(corners, SIZE)
    limits = np.array([width, height])
    low, high = np.clip(points.min(axis=0), 0, limits), np.clip(points.max(axis=0), 0, limits)
    if (high - low).min() < 1:
        return None
    return np.concatenate([low, high])
