"""Depth of every pixel, with what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.annotate.depth_estimators import Choice, Model, check_estimator, make_estimator
from humanverse.codec import decode_jpeg, encode_depth
from humanverse.models.base import DepthEstimator, DepthKind
from humanverse.models.torched import How, Precision
from humanverse.stage import BaseStage, Resources, operational


@dataclass
class Depth(BaseStage):
    """Writes a 16-bit map, its kind, and the scale and offset of its codes."""

    name: ClassVar[str] = "depth"
    reads: ClassVar[tuple[str, ...]] = ("image", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes(
        "depth_png", "depth_kind", "depth_scale", "depth_offset"
    )
    reasons: ClassVar[tuple[str, ...]] = ()
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 32
    version: ClassVar[int] = 2

    model: Model = "lite"
    weights: Path | None = None
    """A folder with a model of transformers, or omnidata's file; lite has its own."""
    kind: DepthKind | None = None
    """What the numbers of a model mean whose config does not tell: a DPT's."""
    precision: Precision = "auto"
    """Numbers that a torch network reckons in: bf16 on a GPU, unless fp32 is asked for."""
    device: str = operational("auto")
    """Where a torch network runs: a GPU where a worker has one, or cpu, cuda, cuda:1."""
    batch: int = operational(16)
    """Most pictures of one forward pass."""
    gpus: float = operational(0.0)
    """GPUs that a worker on Ray is given: 1, or a share of one."""
    _model: DepthEstimator | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """One CPU, and as much of a GPU as is wanted."""
        return Resources(cpus=1, gpus=self.gpus)

    def check(self) -> None:
        """Refuse to start without weights, or where nobody knows what they would tell."""
        check_estimator(Choice(self.model, self.weights, self.kind), self._how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(Choice(self.model, self.weights, self.kind), self._how())

    def _how(self) -> How:
        return How(self.device, self.batch, self.precision)

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
