"""People in a picture: a stage with a model finds boxes, a cheap one decides by them.

The paper keeps 1 to 3 people "with an area ratio exceeding 15 %" and does not say whose area:
union of the boxes is our reading; the largest box, the sum, and people's masks are settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.errors import UsageError
from humanverse.filter.coverage import coverage
from humanverse.filter.detectors import MIN_SCORES, Detector, check_detector, make_detector
from humanverse.filter.segment import SegmentPeople
from humanverse.filter.segmenters import Segmenter
from humanverse.inference import Inference, NetworkSettings
from humanverse.models.base import Detections, PersonDetector
from humanverse.stage import RIDES_ALONG, BaseStage, Resources, Stage, operational

Rule = Literal["union", "largest", "sum", "mask"]
"""Of boxes: the area under any, of the largest, of all with overlaps twice. mask: under masks."""


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

    @property
    def version(self) -> int:  # type: ignore[override]
        """A checkpoint of ultralytics saw squares at first."""
        is_checkpoint = self.weights is not None and self.weights.suffix == ".pt"
        return 2 if self.detector == "ultralytics" and is_checkpoint else 1

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

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """Boxes and their scores, and what tells how much of the picture they cover."""
        covered = ("mask_areas",) if self.rule == "mask" else ("width", "height")
        return ("boxes", "box_scores", *covered)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """People of each picture, and a reason where they are not as wanted."""
        rows = [self._decide(row) for row in batch.drop_columns("key").to_pylist()]
        kind = pa.schema([*self.writes, pa.field("reason", pa.string())])
        return pa.Table.from_pylist(rows, kind).add_column(0, "key", batch["key"])

    def _decide(self, row: dict[str, Any]) -> dict[str, Any]:
        scores = np.asarray(row["box_scores"], np.float32)
        counts = scores >= np.float32(self.min_score)
        boxes = np.asarray(row["boxes"], np.float32).reshape(-1, 4)[counts]
        if self.rule == "mask":
            area = min(float(np.asarray(row["mask_areas"], np.float64)[counts].sum()), 1.0)
        else:
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
    """These stages under one name in a recipe: find people, keep pictures by them."""

    name: ClassVar[str] = "people"

    detector: Detector = "blazepose"
    weights: Path | None = None
    """The detector's file or folder; None takes the one listed in the store."""
    min_score: float | None = None
    """Score from which a box counts; None takes the detector's own."""
    min_people: int = 1
    max_people: int = 3
    min_area: float = 0.15
    """Least share of the frame that people cover, by the rule."""
    rule: Rule = "union"
    segmenter: Segmenter | None = None
    """Who makes the masks of rule=mask; None takes blazepose."""
    segmenter_weights: Path | None = None
    segmenter_min_score: float | None = None
    """Score from which a box gets a mask; None takes half the score from which it counts, of the
    detector's own."""
    trust: bool = operational(False)
    """Open a `.pt` file, which can run code."""

    def stages(self) -> tuple[Stage, ...]:
        """The detection, the masks where they are wanted, and the decision."""
        own = MIN_SCORES[self.detector]
        score = own if self.min_score is None else self.min_score
        detection = DetectPeople(
            detector=self.detector,
            weights=self.weights,
            trust=self.trust,
            **self.network(),
        )
        decision = ChoosePeople(
            min_score=score,
            min_people=self.min_people,
            max_people=self.max_people,
            min_area=self.min_area,
            rule=self.rule,
        )
        if self.rule == "mask":
            return detection, self._segmentation(own / 2, score), decision
        self._refuse_strangers()
        return detection, decision

    def _segmentation(self, own: float, counts: float) -> SegmentPeople:
        least = own if self.segmenter_min_score is None else self.segmenter_min_score
        if counts < least:
            raise UsageError(
                f"people.min_score={counts:g} counts boxes without masks, which begin at "
                f"{least:g}: set people.segmenter_min_score to {counts:g}, or less"
            )
        return SegmentPeople(
            segmenter=self.segmenter or "blazepose",
            weights=self.segmenter_weights,
            min_score=least,
            trust=self.trust,
            **self.network(),
        )

    def _refuse_strangers(self) -> None:
        """Refuse settings that the rule has no use for: somebody meant another one."""
        for name in ("segmenter", "segmenter_weights", "segmenter_min_score"):
            if getattr(self, name) is not None:
                raise UsageError(f"people.{name} is for people.rule=mask, not for {self.rule}")
