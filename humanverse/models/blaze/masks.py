"""The pixels of people whose boxes are known, as BlazePose sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image, Owners
from humanverse.models.blaze.body import mask_on
from humanverse.models.blaze.wholebody import body_finder
from humanverse.models.owners import laid_over

SOLID: Final = 0.3
"""Value of a mask from which on a pixel counts as the person's."""


class BlazePoseSegmenter:
    """Takes the masks that the landmark network gives beside its points, on one thread.

    They are 256 pixels wide and high, over a region larger than the person. A box is taken at
    its word: its mask is the best guess even where the network doubts that it sees a body, and
    ends where the box ends.
    """

    def __init__(self) -> None:
        self._bodies = body_finder()

    def segment(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Owners]:
        """For boxes (n, 4) of each image, best first, whose pixel each of its pixels is."""
        return [
            laid_over((image.shape[0], image.shape[1]), self._masks(image, people))
            for image, people in zip(images, boxes, strict=True)
        ]

    def _masks(self, image: Image, boxes: NDArray[np.float32]) -> Iterator[NDArray[np.bool_]]:
        height, width = image.shape[:2]
        for box, body in zip(boxes, self._bodies.find(image, boxes), strict=True):
            left, top = np.floor(np.clip(box[:2], 0, (width, height))).astype(int)
            right, bottom = np.ceil(np.clip(box[2:], 0, (width, height))).astype(int)
            inside = (slice(top, bottom), slice(left, right))
            mask = np.zeros((height, width), bool)
            mask[inside] = mask_on(body, height, width)[inside] >= SOLID
            yield mask
