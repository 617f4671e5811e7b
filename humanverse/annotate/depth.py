"""Depth of every pixel, with what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from humanverse import schema
from humanverse.annotate.canvas import Cut, OnCanvas, cut_map
from humanverse.annotate.depth_estimators import Choice, Model, check_estimator, make_estimator
from humanverse.codec import encode_depth
from humanverse.models.base import DepthEstimator, DepthKind


@dataclass
class Depth(OnCanvas):
    """Writes a 16-bit map, its kind, and the scale and offset of its codes."""

    name: ClassVar[str] = "depth"
    writes: ClassVar[pa.Schema] = schema.writes(
        "depth_png", "depth_kind", "depth_scale", "depth_offset"
    )
    reasons: ClassVar[tuple[str, ...]] = ()
    cut: ClassVar[Cut] = cut_map
    version: ClassVar[int] = 2

    model: Model = "lite"
    weights: Path | None = None
    """A folder with a model of transformers, or omnidata's file; lite has its own."""
    kind: DepthKind | None = None
    """What the numbers of a model mean whose config does not tell: a DPT's."""
    _model: DepthEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse to start without weights, or where nobody knows what they would tell."""
        check_estimator(Choice(self.model, self.weights, self.kind), self.how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(Choice(self.model, self.weights, self.kind), self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The depth of each picture."""
        assert self._model is not None
        kind = self._model.kind
        found = self.over_pictures(batch, self._model.estimate, encode_depth)
        rows = [(png, kind, scale, offset) for png, scale, offset in found]
        columns = {
            field.name: pa.array([row[i] for row in rows], field.type)
            for i, field in enumerate(self.writes)
        }
        return pa.table({"key": batch["key"]} | columns)
