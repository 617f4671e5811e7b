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
from humanverse.codec import decode_jpeg
from humanverse.filter.coverage import Rule, coverage
from humanverse.filter.detectors import MIN_SCORES, Detector, check_detector, make_detector
from humanverse.models.base import PersonDetector
from humanverse.models.torched import How, Precision
from humanverse.stage import BaseStage, Resources, Stage, operational


@dataclass
class DetectPeople(BaseStage):
    """Writes every box that the detector finds, of rejected pictures too."""

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = schema.writes("boxes", "box_scores")
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 64

    detector: Detector = "blazepose"
    weights: Path | None = None
    precision: Precision = "auto"
    trust: bool = operational(False)
    device: str = operational("auto")
    batch: int = operational(16)
    gpus: float = operational(0.0)
    _model: PersonDetector | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """One CPU, and as much of a GPU as is wanted."""
        return Resources(cpus=1, gpus=self.gpus)

    def check(self) -> None:
        """Refuse weights that are none."""
        check_detector(self.detector, self.weights, self.trust, self._how())

    def open(self) -> None:
        """Load the detector."""
        self._model = make_detector(self.detector, self.weights, self.trust, self._how())

    def _how(self) -> How:
        return How(self.device, self.batch, self.precision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Boxes and scores of each picture."""
        assert self._model is not None
        found = self._model.detect([decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]])
        boxes = [[box.tolist() for box in people.boxes] for people in found]
        scores = [people.scores.tolist() for people in found]
        columns = [
            pa.array(boxes, self.writes.field("boxes").type),
            pa.array(scores, self.writes.field("box_scores").type),
        ]
        return pa.table([batch["key"], *columns], names=["key", "boxes", "box_scores"])


@dataclass
class ChoosePeople(BaseStage):
    """Counts the boxes that count, measures what they cover, and decides."""

    name: ClassVar[str] = "people"
    reads: ClassVar[tuple[str, ...]] = ("boxes", "box_scores", "width", "height")
    writes: ClassVar[pa.Schema] = schema.writes(
        "person_count", "person_area", "person_boxes", "person_scores"
    )
    reasons: ClassVar[tuple[str, ...]] = ("no_person", "too_many_people", "people_too_small")
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
class People:
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
    precision: Precision = "auto"
    """Numbers that a torch network reckons in: bf16 on a GPU, unless fp32 is asked for."""
    trust: bool = operational(False)
    """Open a `.pt` file, which can run code."""
    device: str = operational("auto")
    """Where a torch network runs: a GPU where a worker has one, or cpu, cuda, cuda:1."""
    batch: int = operational(16)
    """Most pictures of one forward pass."""
    gpus: float = operational(0.0)
    """GPUs that a worker on Ray is given: 1, or a share of one."""

    def stages(self) -> tuple[Stage, Stage]:
        """The detection and the decision."""
        score = MIN_SCORES[self.detector] if self.min_score is None else self.min_score
        return (
            DetectPeople(
                detector=self.detector,
                weights=self.weights,
                precision=self.precision,
                trust=self.trust,
                device=self.device,
                batch=self.batch,
                gpus=self.gpus,
            ),
            ChoosePeople(
                min_score=score,
                min_people=self.min_people,
                max_people=self.max_people,
                min_area=self.min_area,
                rule=self.rule,
            ),
        )
