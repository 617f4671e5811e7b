"""Twenty-one points of a hand, found from the body's wrist and knuckles."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from humanverse.models.base import Image
from humanverse.models.blaze.body import Body
from humanverse.models.blaze.regions import Points, Region
from humanverse.models.tflite import TfliteModel

RECROP_WEIGHTS: Final = "blazepose/hand_recrop"
RECROP_SIZE: Final = 256
WEIGHTS: Final = "blazepose/hand_landmark_full"
SIZE: Final = 224
POINTS: Final = 21

Side = Literal["left", "right"]
JOINTS: Final[dict[Side, tuple[int, int, int]]] = {"left": (15, 17, 19), "right": (16, 18, 20)}
"""Body landmarks: wrist, little finger's knuckle, index finger's knuckle."""

SMALLEST: Final = 2.0
"""Pixels from wrist to knuckles, below which a hand shows nothing to measure."""


class HandLandmarks:
    """Finds the points of one hand of a body."""

    def __init__(self, recrop: TfliteModel, landmarks: TfliteModel) -> None:
        self._recrop = recrop
        self._landmarks = landmarks

    def look(self, image: Image, body: Body, side: Side) -> tuple[Points, float]:
        """Points (21, 2) in image pixels, and the probability that there is a hand."""
        wrist, little, index = (body.points[joint] for joint in JOINTS[side])
        palm = (2 * index + little) / 3
        if float(np.hypot(*(palm - wrist))) < SMALLEST:
            return np.zeros((POINTS, 2)), 0.0
        # A knuckle lies nearer to the middle of the hand than the wrist does, so the body's points
        # aim a wide first look, and a small network finds the square that the hand fills.
        rough = Region.pointing(palm, 2 * palm - wrist, 1, 90).raised(0.1).scaled(2.7)
        picture = rough.crop(image, RECROP_SIZE).astype(np.float32) / np.float32(255)
        (ends,) = self._recrop.run(picture, "output_crop")
        centre, tip = rough.to_image(ends.reshape(2, 2), RECROP_SIZE)
        region = Region.pointing(centre, tip, 1, -90).raised(0.1)
        picture = region.crop(image, SIZE).astype(np.float32) / np.float32(255)
        marks, flag = self._landmarks.run(picture, "Identity", "Identity_1")
        return region.to_image(marks.reshape(POINTS, 3)[:, :2], SIZE), float(flag[0])
