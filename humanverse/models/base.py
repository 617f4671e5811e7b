"""What a model must offer to be used by a stage, and the arrays that pass between them.

Images are upright sRGB, `uint8` of shape (H, W, 3). Pixel coordinates put the origin at the outer
corner of the first pixel, x to the right and y down, so a box over a whole image is (0, 0, W, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3), sRGB."""

DepthKind = Literal["metric", "relative", "disparity"]
"""metric: metres. relative: depth up to scale and offset. disparity: inverse depth up to both."""

WHOLEBODY_KEYPOINTS = 133
"""COCO-WholeBody: 17 body, 6 feet, 68 face, 21 left hand, 21 right hand, in this order."""


@dataclass(frozen=True, slots=True)
class Detections:
    """The people a detector found in one image, highest score first."""

    boxes: NDArray[np.float32]
    """(n, 4), xyxy in pixels, inside the image."""
    scores: NDArray[np.float32]
    """(n,), in [0, 1]."""


class PersonDetector(Protocol):
    """Finds people."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        ...


Owners = NDArray[np.uint16]
"""(H, W), 0 where nobody is, i on the pixels of person i, who is row i - 1 of the boxes."""


class PersonSegmenter(Protocol):
    """Finds the pixels of people whose boxes are known."""

    def segment(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Owners]:
        """For boxes (n, 4) of each image, best first, whose pixel each of its pixels is.

        Where masks of two people overlap the pixel is the earlier one's. A person may have none.
        """
        ...


class PoseEstimator(Protocol):
    """Finds the whole-body keypoints of people whose boxes are known."""

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """For boxes (n, 4) of each image, keypoints (n, 133, 3): x, y in pixels, confidence."""
        ...


@dataclass(frozen=True, slots=True)
class Narrow:
    """A picture that is to lie in the middle of a wider canvas."""

    image: Image
    left: int
    """Pixels that the canvas is to have left of the picture, and as many right of it."""
    top: int
    """Pixels above it, and below."""
    caption: str
    seed: int
    """Of whatever is drawn at random: one picture, one canvas."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        height, width = self.image.shape[:2]
        return height + 2 * self.top, width + 2 * self.left


class Outpainter(Protocol):
    """Continues pictures beyond their edges, so that estimators see more than the frame."""

    def widen(self, pictures: Sequence[Narrow]) -> list[Image]:
        """One canvas a picture, with the picture itself, unchanged, in its middle."""
        ...


class DepthEstimator(Protocol):
    """Estimates depth for every pixel."""

    @property
    def kind(self) -> DepthKind:
        """What the numbers mean."""
        ...

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """One (H, W) map an image, in the unit that `kind` tells.

        `boxes` are the people (n, 4) of each image, which an estimator may use or leave.
        """
        ...


class NormalEstimator(Protocol):
    """Estimates the surface normal of every pixel."""

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """One (H, W, 3) map of unit vectors an image: +X right, +Y up, +Z towards the viewer.

        `boxes` are the people (n, 4) of each image, which an estimator may use or leave.
        """
        ...


class ImageEmbedder(Protocol):
    """Puts pictures into a space in which what looks or means alike lies near."""

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        ...

    def embed(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, width), of length 1."""
        ...


class TextEmbedder(Protocol):
    """Puts texts into the space of an `ImageEmbedder`."""

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width), of length 1. What is longer than the model takes is cut at its end."""
        ...


class Captioner(Protocol):
    """Says in words what a picture shows."""

    def caption(self, images: Sequence[Image]) -> list[str]:
        """One text an image, without blanks around it."""
        ...
