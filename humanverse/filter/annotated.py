"""People as COCO's annotation files have them, in the place of a detector and a pose estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from humanverse import schema
from humanverse.errors import UsageError
from humanverse.sources.coco_truth import Truth, files_of
from humanverse.stage import BaseStage


@dataclass
class Annotated(BaseStage):
    """Writes the boxes, masks' shares and keypoints of whoever is left in what is stored.

    All have a score of 1, so all count: keypoints are in the order of the boxes. Where a picture is
    known by the body's 17 points alone, the others are zeros.
    """

    name: ClassVar[str] = "truth"
    reads: ClassVar[tuple[str, ...]] = (
        *("file", "original_width", "original_height", "width", "height"),
    )
    writes: ClassVar[pa.Schema] = schema.writes("boxes", "box_scores", "mask_areas", "keypoints")
    reasons: ClassVar[Mapping[str, str]] = {
        "not_annotated": "the annotation files do not know the picture, or know it at another size",
        "crowd": "a crowd is in it, of whom annotations do not tell how many they are",
    }
    batch_rows: ClassVar[int] = 1000

    annotations: Path | None = None
    """COCO's annotation file, or the folder with `person_keypoints` and `wholebody` files."""
    _truth: Truth | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse to start without annotations."""
        if self.annotations is None:
            raise UsageError("truth.annotations: give COCO's annotation file, or their folder")
        files_of(self.annotations)

    def open(self) -> None:
        """Read them."""
        assert self.annotations is not None
        self._truth = Truth(self.annotations)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The people of each picture."""
        rows = [self._told(row) for row in batch.drop_columns("key").to_pylist()]
        kind = pa.schema([*self.writes, pa.field("reason", pa.string())])
        return pa.Table.from_pylist(rows, kind).add_column(0, "key", batch["key"])

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        assert self._truth is not None
        name = Path(row["file"]).name
        served = row["original_width"], row["original_height"]
        if self._truth.sizes.get(name) != served:
            return {"reason": "not_annotated"}
        people = self._truth.people(name, served, (row["width"], row["height"]))
        return {
            "boxes": [person.box.tolist() for person in people],
            "box_scores": [1.0] * len(people),
            "mask_areas": [person.share for person in people],
            "keypoints": [person.pose.ravel().tolist() for person in people],
            "reason": "crowd" if any(person.crowd for person in people) else None,
        }
