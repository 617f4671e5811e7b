"""Labels that are the truth: detectors and estimators that know the rendered scenes they are shown.

A scene is known again by its looks, however it was scaled, so a picture that came out lying on its
side or mirrored is known for what it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.annotate import Depth, Normals, Pose
from humanverse.filter.people import DetectPeople
from humanverse.filter.segment import SegmentPeople
from humanverse.models.base import DepthKind, Detections, Image, Owners
from humanverse.models.owners import laid_over
from humanverse.testing.scenes import Scene, mirror, render

SMALL = (16, 16)
ALIKE = 12.0
"""Mean difference of small pictures, of 255 levels, up to which they show the same scene."""


class Known:
    """Scenes of some seeds, of one person or two, each also mirrored."""

    kind: DepthKind = "metric"

    def __init__(self, seeds: Sequence[int], size: tuple[int, int]) -> None:
        scenes = [render(seed, *size, people=1 + seed % 2) for seed in seeds]
        self.scenes = [one for scene in scenes for one in (scene, mirror(scene))]
        self._looks = np.stack([_small(scene.image) for scene in self.scenes])

    def which(self, image: Image) -> int:
        """The number of the scene that an image (H, W, 3) shows: even ones are not mirrored.

        Raises:
            ValueError: it shows none of them.
        """
        apart = np.abs(self._looks - _small(image)).mean(axis=(1, 2, 3))
        if apart.min() > ALIKE:
            raise ValueError(f"no known scene: the nearest is {apart.min():.1f} levels away")
        return int(apart.argmin())

    def scale(self, image: Image) -> NDArray[np.float32]:
        """(2,): pixels of an image to one of its scene, along x and y."""
        shown: Scene = self.scenes[self.which(image)]
        sizes = (np.array(one.shape[1::-1], np.float32) for one in (image, shown.image))
        return np.divide(*sizes)

    def boxes(self, image: Image) -> NDArray[np.float32]:
        """The boxes (n, 4) of the people that an image shows, in its pixels."""
        return np.asarray(self.scenes[self.which(image)].boxes * np.tile(self.scale(image), 2))

    def keypoints(self, image: Image) -> NDArray[np.float32]:
        """Their keypoints (n, 133, 3): x and y in its pixels, and confidence."""
        points = self.scenes[self.which(image)].keypoints
        return np.asarray(points * [*self.scale(image), 1], np.float32)

    def owners(self, image: Image) -> Owners:
        """Whose each pixel (H, W) is, by the rows of `boxes`; 0 where nobody is."""
        ids = self.scenes[self.which(image)].person_ids
        size = (image.shape[1], image.shape[0])
        return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST), np.uint16)

    def truth(self, image: Image, name: str) -> NDArray[np.float32]:
        """The scene's `depth` or `normals`, at the size of the image."""
        scene: Scene = self.scenes[self.which(image)]
        size = (image.shape[1], image.shape[0])
        whole = getattr(scene, name)
        return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST), np.float32)


@dataclass
class _Perfect:
    known: Known
    name: str
    kind: DepthKind = "metric"

    def estimate(self, images: Sequence[Image], boxes: Any) -> list[NDArray[np.float32]]:  # noqa: ARG002
        return [self.known.truth(image, self.name) for image in images]


@dataclass
class _Present:
    known: Known

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        boxes = [self.known.boxes(image) for image in images]
        return [Detections(one, np.ones(len(one), np.float32)) for one in boxes]


@dataclass
class _Posed:
    known: Known

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """The keypoints of whoever is nearest to each box."""
        return [
            self.known.keypoints(image)[_nearest(self.known.boxes(image), asked)]
            for image, asked in zip(images, boxes, strict=True)
        ]


@dataclass
class _Outlined:
    known: Known

    def segment(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Owners]:
        """The pixels of whoever is nearest to each box."""
        out = []
        for image, asked in zip(images, boxes, strict=True):
            truth, people = self.known.owners(image), _nearest(self.known.boxes(image), asked)
            out.append(laid_over(truth.shape, (truth == 1 + person for person in people)))
        return out


@dataclass
class PerfectDetect(DetectPeople):
    """The stage for people, with a detector that is always right."""

    seeds: tuple[int, ...] = ()
    size: tuple[int, int] = (192, 192)

    def open(self) -> None:
        """Render the scenes."""
        self._model = _Present(Known(self.seeds, self.size))


@dataclass
class PerfectSegment(SegmentPeople):
    """The stage for masks, with a segmenter that is always right."""

    seeds: tuple[int, ...] = ()
    size: tuple[int, int] = (192, 192)

    def open(self) -> None:
        """Render the scenes."""
        self._model = _Outlined(Known(self.seeds, self.size))


@dataclass
class PerfectPose(Pose):
    """The stage for poses, with an estimator that is always right."""

    seeds: tuple[int, ...] = ()
    size: tuple[int, int] = (192, 192)

    def open(self) -> None:
        """Render the scenes."""
        self._model = _Posed(Known(self.seeds, self.size))


@dataclass
class PerfectDepth(Depth):
    """The stage for depth, with an estimator that is always right."""

    seeds: tuple[int, ...] = ()
    size: tuple[int, int] = (192, 192)

    def open(self) -> None:
        """Render the scenes."""
        self._model = _Perfect(Known(self.seeds, self.size), "depth")


@dataclass
class PerfectNormals(Normals):
    """The stage for normals, with an estimator that is always right."""

    seeds: tuple[int, ...] = ()
    size: tuple[int, int] = (192, 192)

    def open(self) -> None:
        """Render the scenes."""
        self._model = _Perfect(Known(self.seeds, self.size), "normals")


def _small(image: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, SMALL, interpolation=cv2.INTER_AREA), np.float32)


def _nearest(boxes: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.intp]:
    """The number of the box that is nearest to each of those asked for (n, 4)."""
    apart = np.abs(boxes[None] - asked[:, None]).sum(axis=2)
    return np.asarray(apart.argmin(axis=1))
