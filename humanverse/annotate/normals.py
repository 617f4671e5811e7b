"""The surface normal of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import radians
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from humanverse import schema
from humanverse.annotate.canvas import Cut, OnCanvas, cut_map
from humanverse.annotate.normal_estimators import Choice, Model, check_estimator, make_estimator
from humanverse.codec import decode_depth, encode_normals
from humanverse.errors import UsageError
from humanverse.models.base import NormalEstimator
from humanverse.models.from_depth import normals_from_depth

DEPTH = ("depth_png", "depth_kind", "depth_scale", "depth_offset")


@dataclass
class Normals(OnCanvas):
    """Writes a map of unit vectors: camera frame, +X right, +Y up, +Z towards the viewer."""

    name: ClassVar[str] = "normals"
    writes: ClassVar[pa.Schema] = schema.writes("normal_png")
    reasons: ClassVar[tuple[str, ...]] = ()
    cut: ClassVar[Cut] = cut_map
    version: ClassVar[int] = 2

    model: Model = "lite"
    weights: Path | None = None
    """omnidata's file, or a folder with a Sapiens2 for normals; the others need none."""
    fov: float | None = None
    """from_depth: the field of view along the longer side of every picture, in degrees."""
    _model: NormalEstimator | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """The picture, or its canvas, and its people; or its depth."""
        return DEPTH if self.model == "from_depth" else super().reads

    def check(self) -> None:
        """Refuse to start without weights, or a field of view."""
        check_estimator(Choice(self.model, self.weights, self.fov), self.how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(Choice(self.model, self.weights, self.fov), self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The normals of each picture."""
        if self.model == "from_depth":
            found = self._from_depth(batch)
        else:
            assert self._model is not None
            found = self.over_pictures(batch, self._model.estimate, encode_normals)
        png = pa.array(found, self.writes.field("normal_png").type)
        return pa.table([batch["key"], png], names=["key", "normal_png"])

    def _from_depth(self, batch: pa.Table) -> list[bytes]:
        assert self.fov is not None
        view = radians(self.fov)

        def one(row: int) -> bytes:
            png, kind, scale, offset = (batch[name][row].as_py() for name in DEPTH)
            if kind != "metric":
                raise UsageError(
                    f"normals.model=from_depth needs metric depth, and depth.model gives "
                    f"{kind}: choose another one of the two"
                )
            return encode_normals(normals_from_depth(decode_depth(png, scale, offset), view))

        return [one(row) for row in range(batch.num_rows)]
