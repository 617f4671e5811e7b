"""Whole-body pose: 133 keypoints of each person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.codec import decode_jpeg
from humanverse.models.base import PoseEstimator
from humanverse.stage import BaseStage, Resources


@dataclass
class Pose(BaseStage):
    """Writes the keypoints of the people that count, in the order of their boxes."""

    name: ClassVar[str] = "pose"
    reads: ClassVar[tuple[str, ...]] = ("image", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes("keypoints")
    reasons: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources(cpus=1)
    batch_rows: ClassVar[int] = 16

    model: Literal["blazepose"] = "blazepose"
    _model: PoseEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse to start without weights."""
        from humanverse.models.blaze.wholebody import BlazePoseWholeBody

        BlazePoseWholeBody()

    def open(self) -> None:
        """Load the model."""
        from humanverse.models.blaze.wholebody import BlazePoseWholeBody

        self._model = BlazePoseWholeBody()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Keypoints of every person of each picture."""
        assert self._model is not None
        images = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        boxes = [np.asarray(b.as_py(), np.float32).reshape(-1, 4) for b in batch["person_boxes"]]
        people = self._model.estimate(images, boxes)
        flat = [[person.ravel().tolist() for person in persons] for persons in people]
        keypoints = pa.array(flat, self.writes.field("keypoints").type)
        return pa.table([batch["key"], keypoints], names=["key", "keypoints"])
