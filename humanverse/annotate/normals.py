"""The surface normal of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.codec import decode_jpeg, encode_normals
from humanverse.models.base import NormalEstimator
from humanverse.stage import BaseStage, Resources


@dataclass
class Normals(BaseStage):
    """Writes a map of unit vectors: camera frame, +X right, +Y up, +Z towards the viewer."""

    name: ClassVar[str] = "normals"
    reads: ClassVar[tuple[str, ...]] = ("image", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes("normal_png")
    reasons: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources(cpus=1)
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 16

    model: Literal["lite"] = "lite"
    _model: NormalEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def open(self) -> None:
        """Load the model."""
        from humanverse.models.lite import LiteNormals

        self._model = LiteNormals()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The normals of each picture."""
        assert self._model is not None
        images = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        boxes = [np.asarray(b.as_py(), np.float32).reshape(-1, 4) for b in batch["person_boxes"]]
        maps = self._model.estimate(images, boxes)
        kind = self.writes.field("normal_png").type
        png = pa.array([encode_normals(normals) for normals in maps], kind)
        return pa.table([batch["key"], png], names=["key", "normal_png"])
