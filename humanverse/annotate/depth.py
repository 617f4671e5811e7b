"""Depth of every pixel, with what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.codec import decode_jpeg, encode_depth
from humanverse.models.base import DepthEstimator
from humanverse.stage import BaseStage, Resources


@dataclass
class Depth(BaseStage):
    """Writes a 16-bit map, its kind, and the scale and offset of its codes."""

    name: ClassVar[str] = "depth"
    reads: ClassVar[tuple[str, ...]] = ("image", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes(
        "depth_png", "depth_kind", "depth_scale", "depth_offset"
    )
    reasons: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources(cpus=1)
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 16

    model: Literal["lite"] = "lite"
    _model: DepthEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def open(self) -> None:
        """Load the model."""
        from humanverse.models.lite import LiteDepth

        self._model = LiteDepth()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The depth of each picture."""
        assert self._model is not None
        images = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        boxes = [np.asarray(b.as_py(), np.float32).reshape(-1, 4) for b in batch["person_boxes"]]
        maps = self._model.estimate(images, boxes)
        rows = []
        for depth in maps:
            png, scale, offset = encode_depth(depth)
            rows.append((png, self._model.kind, scale, offset))
        columns = {
            field.name: pa.array([row[i] for row in rows], field.type)
            for i, field in enumerate(self.writes)
        }
        return pa.table({"key": batch["key"]} | columns)
