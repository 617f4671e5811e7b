"""Sixty-eight face points: the face is found again near the body's head, then meshed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image
from humanverse.models.blaze.body import Body
from humanverse.models.blaze.regions import Points, Region
from humanverse.models.blaze.ssd import SsdDetector
from humanverse.models.tflite import TfliteModel, sigmoid

WEIGHTS: Final = "blazepose/face_landmark"
SIZE: Final = 192

HEAD: Final = slice(0, 11)
LEFT_EYE, RIGHT_EYE = 2, 5
"""Body landmarks of the head and of the two eyes."""
MESH_RIGHT_EYE, MESH_LEFT_EYE = 33, 263

# Which vertices of the 468-point mesh stand for the iBUG points: one, or the middle of two.
_JAW = (
    *(127, 234, 93, (132, 58), (58, 172), 136, 150, 176),
    152,
    *(400, 379, 365, (397, 288), 361, 323, 454, 356),
)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = ((168, 6), (197, 195), 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_MOUTH = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
_VERTICES = (*_JAW, *_BROWS, *_NOSE, *_EYES, *_MOUTH)

FIRST, SECOND = (
    np.array([v[end] if isinstance(v, tuple) else v for v in _VERTICES]) for end in (0, 1)
)
"""(68,) each: an iBUG point is the mean of these two vertices, which are mostly the same."""


class FaceLandmarks:
    """Finds the iBUG points of the face that belongs to a body."""

    def __init__(self, finder: SsdDetector, mesh: TfliteModel) -> None:
        self._finder = finder
        self._mesh = mesh

    def look(self, image: Image, body: Body) -> tuple[Points, float]:
        """Points (68, 2) in image pixels, and the probability that there is a face."""
        head = body.points[HEAD]
        eyes = body.points[RIGHT_EYE], body.points[LEFT_EYE]
        found = self._finder.detect(image, Region.around(head, *eyes, scale=3), least=0.5)
        if found:
            marks = found[0].keypoints
            tight = Region.around(marks, marks[0], marks[1], scale=1)
            mesh, score = self._look_at(image, tight.raised(0.1).scaled(2))
        else:
            # The head's own landmarks are coarse: what the first look shows aims the second.
            mesh, _ = self._look_at(image, Region.around(head, *eyes, scale=2))
            eyes = mesh[MESH_RIGHT_EYE], mesh[MESH_LEFT_EYE]
            mesh, score = self._look_at(image, Region.around(mesh, *eyes, scale=1.5))
        return (mesh[FIRST] + mesh[SECOND]) / 2, score

    def _look_at(self, image: Image, region: Region) -> tuple[NDArray[np.float64], float]:
        picture = region.crop(image, SIZE).astype(np.float32) / np.float32(255)
        mesh, logit = self._mesh.run(picture, "conv2d_21", "conv2d_31")
        points = region.to_image(mesh.reshape(-1, 3)[:, :2], SIZE)
        return points, float(sigmoid(logit).reshape(-1)[0])
