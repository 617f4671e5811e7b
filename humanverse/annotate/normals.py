"""The surface normal of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import radians
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.annotate.normal_estimators import Choice, Model, check_estimator, make_estimator
from humanverse.codec import decode_depth, decode_jpeg, encode_normals
from humanverse.errors import UsageError
from humanverse.models.base import NormalEstimator
from humanverse.models.from_depth import normals_from_depth
from humanverse.models.torched import How, Precision
from humanverse.stage import BaseStage, Resources, operational

DEPTH = ("depth_png", "depth_kind", "depth_scale", "depth_offset")


@dataclass
class Normals(BaseStage):
    """Writes a map of unit vectors: camera frame, +X right, +Y up, +Z towards the viewer."""

    name: ClassVar[str] = "normals"
    writes: ClassVar[pa.Schema] = schema.writes("normal_png")
    reasons: ClassVar[tuple[str, ...]] = ()
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 32
    version: ClassVar[int] = 2

    model: Model = "lite"
    weights: Path | None = None
    """omnidata's file, or a folder with a Sapiens2 for normals; the others need none."""
    fov: float | None = None
    """from_depth: the field of view along the longer side of every picture, in degrees."""
    precision: Precision = "auto"
    """Numbers that a torch network reckons in: bf16 on a GPU, unless fp32 is asked for."""
    device: str = operational("auto")
    """Where a torch network runs: a GPU where a worker has one, or cpu, cuda, cuda:1."""
    batch: int = operational(16)
    """Most pictures of one forward pass."""
    gpus: float = operational(0.0)
    """GPUs that a worker on Ray is given: 1, or a share of one."""
    _model: NormalEstimator | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """The picture and its people, or its depth."""
        return DEPTH if self.model == "from_depth" else ("image", "person_boxes")

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """One CPU, and as much of a GPU as is wanted."""
        return Resources(cpus=1, gpus=self.gpus)

    def check(self) -> None:
        """Refuse to start without weights, or a field of view."""
        check_estimator(Choice(self.model, self.weights, self.fov), self._how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(Choice(self.model, self.weights, self.fov), self._how())

    def _how(self) -> How:
        return How(self.device, self.batch, self.precision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The normals of each picture."""
        maps = self._from_depth(batch) if self.model == "from_depth" else self._estimated(batch)
        kind = self.writes.field("normal_png").type
        png = pa.array([encode_normals(normals) for normals in maps], kind)
        return pa.table([batch["key"], png], names=["key", "normal_png"])

    def _estimated(self, batch: pa.Table) -> list[NDArray[np.float32]]:
        assert self._model is not None
        images = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        boxes = [np.asarray(b.as_py(), np.float32).reshape(-1, 4) for b in batch["person_boxes"]]
        return self._model.estimate(images, boxes)

    def _from_depth(self, batch: pa.Table) -> list[NDArray[np.float32]]:
        assert self.fov is not None
        maps = []
        for png, kind, scale, offset in zip(*(batch[name] for name in DEPTH), strict=True):
            if kind.as_py() != "metric":
                raise UsageError(
                    f"normals.model=from_depth needs metric depth, and depth.model gives "
                    f"{kind.as_py()}: choose another one of the two"
                )
            depth = decode_depth(png.as_py(), scale.as_py(), offset.as_py())
            maps.append(normals_from_depth(depth, radians(self.fov)))
        return maps
