"""People in a picture: a stage with a model finds boxes, a cheap one decides by them.

The paper keeps 1 to 3 people "with an area ratio exceeding 15 %" and does not say whose area:
union of the boxes is our reading, the largest box and the sum are settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.filter.coverage import Rule, coverage
from humanverse.filter.detectors import MIN_SCORES, Detector, check_detector, make_detector
from humanverse.inference import Inference, NetworkSettings
from humanverse.models.base import Detections, PersonDetector
from humanverse.stage import RIDES_ALONG, BaseStage, Resources, Stage, operational


@dataclass
class DetectPeople(Inference):
    """Writes every box that the detector finds, of rejected pictures too."""

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = schema.writes("boxes", "box_scores")

    detector: Detector = "blazepose"
    weights: Path | None = None
    trust: bool = operational(False)
    _model: PersonDetector | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse weights that are none."""
        check_detector(self.detector, self.weights, self.trust, self.how())

    def open(self) -> None:
        """Load the detector."""
        self._model = make_detector(self.detector, self.weights, self.trust, self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Boxes and scores of each picture."""
        assert self._model is not None
        model = self._model
        found = self.over_pictures(batch, lambda images, _: model.detect(images), _as_lists)
        columns = [
            pa.array([row[i] for row in found], kind.type) for i, kind in enumerate(self.writes)
        ]
        return pa.table([batch["key"], *columns], names=["key", *self.writes.names])


def _as_lists(people: Detections) -> tuple[list[list[float]], list[float]]:
    return people.boxes.tolist(), people.scores.tolist()


@dataclass
class ChoosePeople(BaseStage):
    """Counts the boxes that count, measures what they cover, and decides."""

    name: ClassVar[str] = "people"
    reads: ClassVar[tuple[str, ...]] = ("boxes", "box_scores", "width", "height")
    writes: ClassVar[pa.Schema] = schema.writes(
        "person_count", "person_area", "person_boxes", "person_scores"
    )
    reasons: ClassVar[tuple[str, ...]] = ("no_person", "too_many_people", "people_too_small")
    resources: ClassVar[Resources] = RIDES_ALONG
    batch_rows: ClassVar[int] = 10_000

    min_score: float = 0.5
    min_people: int = 1
    max_people: int = 3
    min_area: float = 0.15
    rule: Rule = "union"

    def __call__(self, batch: pa.Table) -> pa.Table:
        """People of each picture, and a reason where they are not as wanted."""
        rows = [self._decide(row) for row in batch.drop_columns("key").to_pylist()]
        kind = pa.schema([*self.writes, pa.field("reason", pa.string())])
        return pa.Table.from_pylist(rows, kind).add_column(0, "key", batch["key"])

    def _decide(self, row: dict[str, Any]) -> dict[str, Any]:
        scores = np.asarray(row["box_scores"], np.float32)
        counts = scores >= np.float32(self.min_score)
        boxes = np.asarray(row["boxes"], np.float32).reshape(-1, 4)[counts]
        area = coverage(boxes, row["width"], row["height"], self.rule)
        return {
            "person_count": len(boxes),
            "person_area": area,
            "person_boxes": boxes.tolist(),
            "person_scores": scores[counts].tolist(),
            "reason": self._reason(len(boxes), area),
        }

    def _reason(self, count: int, area: float) -> str | None:
        if count < self.min_people:
            return "no_person"
        if count > self.max_people:
            return "too_many_people"
        return "people_too_small" if area < self.min_area else None


@dataclass
class People(NetworkSettings):
    """Both stages under one name in a recipe: find people, keep pictures by them."""

    name: ClassVar[str] = "people"

    detector: Detector = "blazepose"
    weights: Path | None = None
    """The detector's file or folder; None takes the one listed in the store."""
    min_score: float | None = None
    """Score from which a box counts; None takes the detector's own."""
    min_people: int = 1
    max_people: int = 3
    min_area: float = 0.15
    """Least share of the frame that people cover."""
    rule: Rule = "union"
    trust: bool = operational(False)
    """Open a `.pt` file, which can run code."""

    def stages(self) -> tuple[Stage, Stage]:
        """The detection and the decision."""
        score = MIN_SCORES[self.detector] if self.min_score is None else self.min_score
        return (
            DetectPeople(
                detector=self.detector,
                weights=self.weights,
                trust=self.trust,
                **self.network(),
            ),
            ChoosePeople(
                min_score=score,
                min_people=self.min_people,
                max_people=self.max_people,
                min_area=self.min_area,
                rule=self.rule,
            ),
        )
