"""People and their boxes with the BlazePose family of networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from humanverse.models.base import Detections, Image
from humanverse.models.blaze import body, ssd
from humanverse.models.blaze.body import BodyLandmarks, mask_box, region_of
from humanverse.models.blaze.evidence import (
    Candidate,
    agreement,
    features,
    probability,
    same_body,
    same_face,
)
from humanverse.models.blaze.regions import Region, tiles
from humanverse.models.blaze.ssd import Found, SsdDetector
from humanverse.models.tflite import TfliteModel, Weights, stored

WIDE: Final = 0.15
"""Least score on the whole image: later looks decide."""
CLOSE: Final = 0.35
"""Least score on a part of the image, of which there are many."""
FACE_FROM: Final = 0.3
"""Least score of a face around which a person is looked for."""
MOST: Final = 6
"""Detections that one look of the detector may hand on."""
FLAG: Final = 0.1
"""Below this flag the first look at a body is the last."""
GATE: Final = 0.1
"""Strength of a candidate from which on the image is searched for its company, part by part."""
LEAST: Final = 0.05
"""Probability below which a candidate is not even reported."""


class BlazePoseDetector:
    """Finds people, on one thread, and boxes them by the mask that comes with their pose.

    The detector of BlazePose (arXiv 2006.10204) is made for the one person in front of a camera.
    To count, it looks again around faces that it passed over, and, once it has found somebody, at
    the parts of the image; and it believes no detection before two looks at the body agree. The
    score is a probability, from a logistic regression over all that (see `evidence`).
    """

    def __init__(self, weights: Weights = stored) -> None:
        def load(name: str) -> TfliteModel:
            return TfliteModel(weights(name))

        self._detector = SsdDetector(ssd.POSE, load(ssd.POSE.weights))
        self._faces = SsdDetector(ssd.FAR_FACE, load(ssd.FAR_FACE.weights))
        self._body = BodyLandmarks(load(body.WEIGHTS))

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        candidates = self.candidates(image)
        height, width = image.shape[:2]
        scores = probability(features(candidates, height, width))
        order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= LEAST]
        boxes = np.array([candidates[i].box for i in order], np.float32).reshape(-1, 4)
        return Detections(boxes, scores[order])

    def candidates(self, image: Image) -> list[Candidate]:
        """All that may be a person, each once."""
        wide = self._wide(image)
        people: list[Candidate] = []
        for found in wide:
            self._add(people, image, found)
        for one in people:
            one.wide = _best(one, wide)
        if any(one.strength >= GATE for one in people):
            close = self._close(image)
            for found in close:
                self._add(people, image, found)
            for one in people:
                one.close = _best(one, close)
        return people

    def _wide(self, image: Image) -> list[Found]:
        whole = Region.whole(image)
        found = self._detector.detect(image, whole, WIDE)[:MOST]
        for face in self._faces.detect(image, whole, FACE_FROM)[:MOST]:
            if not any(same_face(face, one) for one in found):
                found += self._around(image, face)
        return _strongest_first(found)

    def _around(self, image: Image, face: Found) -> list[Found]:
        """The best person with this face."""
        x, y = (float(value) for value in face.centre)
        near = Region(x, y + face.size, 6 * max(face.size, 1.0))
        return [
            found
            for found in self._detector.detect(image, near, WIDE)
            if float(np.abs(found.centre - face.centre).max()) < face.size
        ][:1]

    def _close(self, image: Image) -> list[Found]:
        parts = tiles(image, across=3)
        return _strongest_first(
            found for part in parts for found in self._detector.detect(image, part, CLOSE)[:MOST]
        )

    def _add(self, people: list[Candidate], image: Image, found: Found) -> None:
        """Add the person of a detection, unless there is none or it is there already."""
        if any(same_face(found, one.found) for one in people):
            return
        first = self._body.look(image, region_of(found))
        if first.flag < FLAG:
            return
        second = self._body.look_again(image, first)
        seen = second if second.flag >= first.flag - 0.1 else first
        box = mask_box(seen, *image.shape[:2])
        if box is None or any(same_body(seen, one.body) for one in people):
            return
        flag = min(first.flag, second.flag)
        people.append(Candidate(found, seen, box, flag, agreement(first, second)))


def _best(one: Candidate, found: Iterable[Found]) -> float:
    return max((other.score for other in found if same_face(one.found, other)), default=0.0)


def _strongest_first(found: Iterable[Found]) -> list[Found]:
    return sorted(found, key=lambda one: -one.score)
