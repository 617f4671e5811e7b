"""Masks of people by a YOLO segmentation network of ultralytics, under AGPL-3.0 as its detectors.

The network finds people by itself; each box that is asked for takes the mask of the one whom it
fits. A mask is made at the image's own size, as the package makes it with `retina_masks=True`; by
default the package stops at the size of the network's input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image, Owners
from humanverse.models.blaze.ssd import iou
from humanverse.models.owners import laid_over
from humanverse.models.torched import How
from humanverse.models.ultralytics import letterbox, load_network, unboxed
from humanverse.models.ultralytics_heads import Array, Instances

LEAST: Final = 0.05
"""Score of a person from which on the mask may be taken: a detector has already said who is one."""
FITS: Final = 0.5
"""IoU of two boxes from which on they may be the same person's."""


class UltralyticsSegmenter:
    """Finds people's pixels with YOLO11-seg, YOLO26-seg and kin, `.onnx` or `.pt`."""

    def __init__(self, path: Path, trusted: bool = False, how: How | None = None) -> None:
        """Load a network. A `.pt` file is a pickle: it is refused unless `trusted`, or listed.

        Raises:
            UsageError: the file is missing, of another kind, not trusted, or gives no masks.

        """
        self._network = load_network(path, trusted, LEAST, how or How(), masks=True)

    def segment(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Owners]:
        """For boxes (n, 4) of each image, best first, whose pixel each of its pixels is."""
        boxed = [letterbox(image, self._network.shape_of(image)) for image in images]
        found = self._network([picture for picture, _, _ in boxed])
        return [
            laid_over((image.shape[0], image.shape[1]), _masks(image, wanted, people, *place))
            for image, wanted, people, (_, *place) in zip(images, boxes, found, boxed, strict=True)
        ]


def _masks(
    image: Image, wanted: Array, people: Instances, scale: Array, corner: Array
) -> Iterator[NDArray[np.bool_]]:
    """A mask (H, W) of each box that is wanted."""
    boxes = unboxed(image, people.boxes, scale, corner)
    for number in matched(wanted, boxes):
        if number is None:
            yield np.zeros(image.shape[:2], bool)
        else:
            logits = _logits(people, number)
            yield at_image_size(logits, image, scale, corner) & _inside(image, boxes[number])


def matched(wanted: Array, boxes: Array) -> list[int | None]:
    """The box (m, 4) that fits each of those wanted (n, 4), the best pair first; none fits two."""
    result: list[int | None] = [None] * len(wanted)
    if not len(wanted) or not len(boxes):
        return result
    overlap = np.array([iou(box, boxes) for box in wanted])  # (n, m)
    for place in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(place), len(boxes))
        if overlap[row, column] < FITS:
            break
        if result[row] is None and column not in result:
            result[row] = column
    return result


def _logits(people: Instances, number: int) -> Array:
    assert people.prototypes is not None
    return np.asarray(np.tensordot(people.coefficients[number], people.prototypes, axes=1))


def at_image_size(logits: Array, image: Image, scale: Array, corner: Array) -> NDArray[np.bool_]:
    """Where logits (h, w) over a letterboxed picture are positive, on the image (H, W).

    The picture is four times as large as the logits. They are enlarged until the letterbox's bars
    can be cut off at whole pixels, as the package does.
    """
    height, width = image.shape[:2]
    inner = np.rint(scale * [width, height]).astype(int)
    left, top = corner.astype(int)
    sides = (left, top, *inner, 4)
    times = 4 // gcd(*(int(side) for side in sides))
    if times > 1:
        logits = _resized(logits, logits.shape[1] * times, logits.shape[0] * times)
    x, y, columns, rows = (int(side) * times // 4 for side in sides[:4])
    return np.asarray(_resized(logits[y : y + rows, x : x + columns], width, height) > 0)


def _resized(values: Array, width: int, height: int) -> Array:
    resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _inside(image: Image, box: Array) -> NDArray[np.bool_]:
    """(H, W): the pixels that begin in a box."""
    rows, columns = (np.arange(side) for side in image.shape[:2])
    x0, y0, x1, y1 = box
    return np.outer((rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1))
