"""What speaks for a person, gathered from several looks, and how much it weighs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from humanverse.models.blaze.body import Body
from humanverse.models.blaze.ssd import Found

TORSO: Final = [0, 11, 12, 23, 24]
"""Landmarks that hold still between two looks at one person: nose, shoulders, hips."""

FEATURES: Final = ("score", "flag", "agreement", "company")
WEIGHTS: Final = (1.230, 0.225, 0.528, 0.928)
BIAS: Final = -2.409
"""Logistic regression, fitted by `scripts/fit_people.py` on six views of each of COCO128."""

SURE: Final = 0.98
"""Evidence in [0, 1] is taken no further than this, at either end, before it becomes log-odds."""
CROWD: Final = 3.0
"""More company than this makes nobody likelier."""


@dataclass(slots=True)
class Candidate:
    """Perhaps a person."""

    found: Found
    """The detection that the looks at the body started from."""
    body: Body
    box: NDArray[np.float64]
    """(4,), xyxy, inside the image: around the body's mask."""
    flag: float
    """The lower of the two looks' flags."""
    agreement: float
    """In [0, 1]: 1 where two looks from different regions see the torso at the same place."""
    score: float = 0.0
    """Best of the detector's scores, over all its looks."""

    @property
    def strength(self) -> float:
        """In [0, 1]: what it is worth by itself."""
        return self.score * self.flag * self.agreement


def agreement(first: Body, second: Body) -> float:
    """In [0, 1]: how well two looks agree on where the torso is, measured by the region's size."""
    apart = np.linalg.norm(first.points[TORSO] - second.points[TORSO], axis=1).mean()
    return float(np.exp(-10 * apart / second.region.side))


def same_face(one: Found, other: Found) -> bool:
    """Whether two detections show the same face."""
    apart = float(np.abs(one.centre - other.centre).max())
    small, large = sorted((max(one.size, 1e-6), max(other.size, 1e-6)))
    return apart < large / 2 and small / large > 0.4


def same_body(one: Body, other: Body) -> bool:
    """Whether two looks show the same person."""
    apart = np.linalg.norm(one.points[TORSO] - other.points[TORSO], axis=1).mean()
    return bool(apart < 0.06 * min(one.region.side, other.region.side))


def features(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """(n, 4): what the regression sees of each candidate of one image, in the order of FEATURES.

    People come in company: a weak candidate beside a strong one is likelier a person.
    """
    own = [(one.score, one.flag, one.agreement) for one in candidates]
    share = np.clip(np.array(own).reshape(-1, 3), 1 - SURE, SURE)
    strengths = np.array([one.strength for one in candidates])
    company = np.minimum(strengths.sum() - strengths, CROWD)
    return np.column_stack([np.log(share / (1 - share)), company])


def probability(seen: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,): that a candidate with features (n, 4) is a person."""
    return np.asarray(1 / (1 + np.exp(-(seen @ np.array(WEIGHTS) + BIAS))), np.float32)
