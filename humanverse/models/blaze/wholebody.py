"""Whole-body pose of people whose boxes are known: body, feet, face and hands."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.keypoints import COUNT, FACE, LEFT_HAND, RIGHT_HAND
from humanverse.models.base import Image
from humanverse.models.blaze import body, face, hands, ssd
from humanverse.models.blaze.body import Body, BodyLandmarks, mask_box, mask_on, region_of
from humanverse.models.blaze.face import FaceLandmarks
from humanverse.models.blaze.hands import HandLandmarks, Side
from humanverse.models.blaze.regions import Region
from humanverse.models.blaze.ssd import Found, SsdDetector, iou
from humanverse.models.tflite import TfliteModel, Weights, stored

SEEN: Final = 0.5
"""Flag of a body, a face or a hand from which on it counts as found."""

REMEMBERED: Final = 64
"""Images whose bodies are kept: a mask of 256 x 256 a person, so some megabytes in all."""
LEAST: Final = 0.2
"""Score of the detector from which on its region is tried."""
CLOSER: Final = 1.7
"""Side of the square that is searched for one box's person, in longer sides of the box."""
FILLS: Final = 0.7
"""IoU of a body's mask with its box from which on no other region is tried."""
AS_IT_IS: Final = 1.5
"""Side of the square that is taken for a person who was not found, likewise."""

BODY_AND_FEET: Final = np.array(
    [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 31, 31, 29, 32, 32, 30]
)
"""(23,): the landmark that stands for each body and foot keypoint."""
SMALL_TOES: Final = [18, 21]
"""These have no landmark: the big toe stands in, at a confidence too low to be drawn."""
STAND_IN: Final = 0.25

HEAD: Final = [0, 1, 2]
OF_FACE: Final = (slice(30, 31), slice(42, 48), slice(36, 42))
"""Nose and eyes as the face shows them, where it was found: finer than the body's landmarks."""


class BodyFinder:
    """Finds the bodies of people whose boxes are known, on one thread.

    BlazePose (arXiv 2006.10204) wants a region that is centred on the hips and turned upright. Its
    own detector finds such regions, once an image, and each box takes the one that fits it. A box
    that none fits is searched by itself, and only then taken as it is. The bodies of the last
    `REMEMBERED` images are kept: pose, depth and normals ask for the same ones in turn.
    """

    def __init__(self, weights: Weights = stored) -> None:
        self._remembered: OrderedDict[bytes, list[Body]] = OrderedDict()
        self._detector = SsdDetector(ssd.POSE, TfliteModel(weights(ssd.POSE.weights)))
        self._body = BodyLandmarks(TfliteModel(weights(body.WEIGHTS)))

    def find(self, image: Image, boxes: NDArray[np.float32]) -> list[Body]:
        """One body a box (n, 4), the best guess where none is to be seen (see its flag)."""
        if not len(boxes):
            return []
        key = hashlib.sha256(image.tobytes() + boxes.tobytes()).digest()
        if key not in self._remembered:
            self._remembered[key] = self._found(image, boxes)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[key]

    def _found(self, image: Image, boxes: NDArray[np.float32]) -> list[Body]:
        inside = _inside(boxes, image)
        found = self._detector.detect(image, Region.whole(image), LEAST)
        matches = fitting(found, inside)
        return [self._best(image, *pair) for pair in zip(inside, matches, strict=True)]

    def masks(self, image: Image, boxes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """One soft mask (H, W) in [0, 1] a box (n, 4), all 0 where no body was found."""
        shape = image.shape[:2]
        return [
            mask_on(seen, *shape) if seen.flag >= SEEN else np.zeros(shape, np.float32)
            for seen in self.find(image, boxes)
        ]

    def _best(self, image: Image, box: NDArray[np.float64], match: Found | None) -> Body:
        """The body in a box: from the match, from a closer search, or from the box as it is.

        The first that is surely a body and fills the box is taken, else the best of all.
        """
        tried: list[tuple[float, Body]] = []
        for region in self._regions(image, box, match):
            first = self._body.look(image, region)
            for seen in (first, self._body.look_again(image, first)):
                tried.append((_overlap(seen, box, image), seen))
            if any(fill >= FILLS and seen.flag >= SEEN for fill, seen in tried):
                break
        return max(tried, key=lambda pair: pair[0] + pair[1].flag)[1]

    def _regions(
        self, image: Image, box: NDArray[np.float64], match: Found | None
    ) -> Iterator[Region]:
        """Where the body of a box may be, likeliest first."""
        if match is not None:
            yield region_of(match)
        close = self._detector.detect(image, Region.of_box(box, CLOSER), LEAST)
        yield from (region_of(found) for found in fitting(close, box[None]) if found)
        yield Region.of_box(box, AS_IT_IS)


@lru_cache(maxsize=1)
def body_finder() -> BodyFinder:
    """The one that all lite models of a process share, loaded when it is first asked for."""
    return BodyFinder()


class BlazePoseWholeBody:
    """Estimates 133 keypoints a person with the BlazePose family of networks, on one thread."""

    def __init__(self, weights: Weights = stored) -> None:
        def load(name: str) -> TfliteModel:
            return TfliteModel(weights(name))

        self._bodies = body_finder() if weights is stored else BodyFinder(weights)
        self._face = FaceLandmarks(
            SsdDetector(ssd.FACE, load(ssd.FACE.weights)), load(face.WEIGHTS)
        )
        self._hands = HandLandmarks(load(hands.RECROP_WEIGHTS), load(hands.WEIGHTS))

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """For boxes (n, 4) of each image, keypoints (n, 133, 3): x, y in pixels, confidence.

        Confidence is 0 for a part that was not found and for a point outside the image. Body and
        feet lie at the best guess even then, parts of the face and hands at 0, 0.
        """
        return [self._of_image(*pair) for pair in zip(images, boxes, strict=True)]

    def _of_image(self, image: Image, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        people = [self._whole(image, seen) for seen in self._bodies.find(image, boxes)]
        return np.array(people, np.float32).reshape(-1, COUNT, 3)

    def _whole(self, image: Image, seen: Body) -> NDArray[np.float32]:
        person = np.zeros((COUNT, 3))
        count = len(BODY_AND_FEET)
        person[:count, :2] = seen.points[BODY_AND_FEET]
        if seen.flag >= SEEN:
            person[:count, 2] = seen.visible[BODY_AND_FEET]
            person[SMALL_TOES, 2] *= STAND_IN
            self._add_face_and_hands(image, seen, person)
        height, width = image.shape[:2]
        inside = ((person[:, :2] >= 0) & (person[:, :2] <= (width, height))).all(axis=1)
        person[~inside, 2] = 0
        return person.astype(np.float32)

    def _add_face_and_hands(self, image: Image, seen: Body, person: NDArray[np.float64]) -> None:
        parts = [(FACE, self._face.look(image, seen))]
        sides: tuple[tuple[slice, Side], ...] = ((LEFT_HAND, "left"), (RIGHT_HAND, "right"))
        parts += [(where, self._hands.look(image, seen, side)) for where, side in sides]
        for where, (points, score) in parts:
            if score >= SEEN:
                person[where, :2], person[where, 2] = points, score
                if where is FACE:
                    person[HEAD, :2] = [points[part].mean(axis=0) for part in OF_FACE]


def _overlap(seen: Body, box: NDArray[np.float64], image: Image) -> float:
    around = mask_box(seen, *image.shape[:2])
    return 0.0 if around is None else float(iou(around, box[None])[0])


def fitting(found: Sequence[Found], boxes: NDArray[np.float64]) -> list[Found | None]:
    """The detection that fits each box (n, 4) best, or None; no detection serves two boxes.

    A detection may fit when the middle of its face and its hips lie in the box, and it fits the
    better the nearer the hips are to the box's middle line and the face to its upper edge.
    """
    result: list[Found | None] = [None] * len(boxes)
    fits = sorted(
        (misfit, j, i)
        for (j, one), (i, box) in product(enumerate(found), enumerate(boxes))
        if (misfit := _misfit(one, box)) is not None
    )
    used = set()
    for _, j, i in fits:
        if result[i] is None and j not in used:
            result[i] = found[j]
            used.add(j)
    return result


def _misfit(found: Found, box: NDArray[np.float64]) -> float | None:
    size = box[2:] - box[:2]
    face_x, face_y = (found.corners.mean(axis=0) - box[:2]) / size
    hips_x, hips_y = (found.keypoints[0] - box[:2]) / size
    # Hips may lie below the picture, and boxes are drawn around what shows.
    if not (-0.1 <= face_x <= 1.1 and -0.1 <= face_y <= 1 and -0.2 <= hips_x <= 1.2):
        return None
    if hips_y < 0:
        return None
    return float(abs(hips_x - 0.5) + abs(face_x - 0.5) + max(face_y, 0.0))


def _inside(boxes: NDArray[np.float32], image: Image) -> NDArray[np.float64]:
    """Boxes (n, 4), clipped to the image and at least one pixel wide and high."""
    height, width = image.shape[:2]
    limits = np.array([width, height, width, height], np.float64)
    clipped = np.clip(np.nan_to_num(boxes.astype(np.float64)), 0, limits)
    low = np.minimum(clipped[:, :2], limits[:2] - 1)
    return np.concatenate([low, np.maximum(clipped[:, 2:], low + 1)], axis=1)
