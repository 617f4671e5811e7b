"""How much of a picture each person covers, by masks: numbers for a decision that comes after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.filter.segmenters import Segmenter, check_segmenter, make_segmenter
from humanverse.inference import Inference
from humanverse.models.base import Image, Owners, PersonSegmenter
from humanverse.models.owners import shares
from humanverse.stage import operational


@dataclass
class SegmentPeople(Inference):
    """Writes the share of the frame under the mask of each box that was found.

    A pixel of two masks belongs to the better score. So whichever score counts later, the areas of
    those who count add up to their union, and a new threshold needs no model.
    """

    name: ClassVar[str] = "segment"
    reads: ClassVar[tuple[str, ...]] = ("image", "boxes", "box_scores")
    writes: ClassVar[pa.Schema] = schema.writes("mask_areas")

    segmenter: Segmenter = "blazepose"
    weights: Path | None = None
    min_score: float = 0.25
    """Score below which a box is not looked at, and has no area."""
    trust: bool = operational(False)
    _model: PersonSegmenter | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse weights that are none."""
        check_segmenter(self.segmenter, self.weights, self.trust, self.how())

    def open(self) -> None:
        """Load the segmenter."""
        self._model = make_segmenter(self.segmenter, self.weights, self.trust, self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The areas of each picture's boxes."""
        scores = [np.asarray(row, np.float32) for row in batch["box_scores"].to_pylist()]
        order = [self._best_first(row) for row in scores]
        areas = [np.zeros(len(row), np.float32) for row in scores]
        asked = [row for row, some in enumerate(order) if len(some)]
        pictures = _pictures(batch, asked, order)
        found = self.over_pictures(pictures, self._look, lambda seen: shares(*seen))
        for row, covered in zip(asked, found, strict=True):
            areas[row][order[row]] = covered
        column = pa.array([row.tolist() for row in areas], self.writes.field("mask_areas").type)
        return pa.table([batch["key"], column], names=["key", "mask_areas"])

    def _look(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[tuple[Owners, int]]:
        assert self._model is not None
        return list(zip(self._model.segment(images, boxes), map(len, boxes), strict=True))

    def _best_first(self, scores: NDArray[np.float32]) -> NDArray[np.intp]:
        """The numbers of the boxes to be looked at."""
        order = np.argsort(-scores, kind="stable")
        return order[scores[order] >= np.float32(self.min_score)]


def _pictures(batch: pa.Table, asked: list[int], order: list[NDArray[np.intp]]) -> pa.Table:
    """Pictures in which there is anybody to look at, and these people's boxes."""
    boxes = [np.asarray(batch["boxes"][row].as_py(), np.float32)[order[row]] for row in asked]
    column = pa.array([row.tolist() for row in boxes], schema.COLUMNS["person_boxes"].type)
    return pa.table(
        {"image": batch["image"].take(pa.array(asked, pa.int64())), "person_boxes": column}
    )
