"""People and their boxes with the BlazePose family of networks."""

from __future__ import annotations

from collections.abc import Sequence
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
    To count, it looks again at the parts of an image in which it has found somebody, and believes
    no detection before two looks at the body agree. The score is the probability of a person, from
    a logistic regression over all that (see `evidence`).
    """

    def __init__(self, weights: Weights = stored) -> None:
        def load(name: str) -> TfliteModel:
            return TfliteModel(weights(name))

        self._detector = SsdDetector(ssd.POSE, load(ssd.POSE.weights))
        self._body = BodyLandmarks(load(body.WEIGHTS))

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        candidates = self.candidates(image)
        scores = probability(features(candidates))
        order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= LEAST]
        boxes = np.array([candidates[i].box for i in order], np.float32).reshape(-1, 4)
        return Detections(boxes, scores[order])

    def candidates(self, image: Image) -> list[Candidate]:
        """All that may be a person, each once."""
        people: list[Candidate] = []
        whole = Region.whole(image)
        self._add(people, image, self._detector.detect(image, whole, WIDE)[:MOST])
        if any(one.strength >= GATE for one in people):
            self._add(people, image, self._close(image))
        return people

    def _close(self, image: Image) -> list[Found]:
        """What the detector finds in the parts of the image, best first."""
        parts = tiles(image, across=3)
        found = [one for part in parts for one in self._detector.detect(image, part, CLOSE)[:MOST]]
        return sorted(found, key=lambda one: -one.score)

    def _add(self, people: list[Candidate], image: Image, found: list[Found]) -> None:
        """Add the people of detections, best first, and let those that are there gain by them."""
        for one in found:
            known = [person for person in people if same_face(one, person.found)]
            for person in known:
                person.score = max(person.score, one.score)
            new = None if known else self._examined(image, one)
            if new and not any(same_body(new.body, person.body) for person in people):
                people.append(new)

    def _examined(self, image: Image, found: Found) -> Candidate | None:
        """A detection after two looks at the body, or None where there is none."""
        first = self._body.look(image, region_of(found))
        if first.flag < FLAG:
            return None
        second = self._body.look_again(image, first)
        seen = second if second.flag >= first.flag - 0.1 else first
        box = mask_box(seen, *image.shape[:2])
        if box is None:
            return None
        flag = min(first.flag, second.flag)
        return Candidate(found, seen, box, flag, agreement(first, second), found.score)
