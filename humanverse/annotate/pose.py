"""Whole-body pose: 133 keypoints of each person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.annotate.estimators import Choice, Model, check_estimator, make_estimator
from humanverse.codec import decode_jpeg
from humanverse.models.base import PoseEstimator
from humanverse.models.torched import How, Precision
from humanverse.stage import BaseStage, Resources, operational


@dataclass
class Pose(BaseStage):
    """Writes the keypoints of the people that count, in the order of their boxes."""

    name: ClassVar[str] = "pose"
    reads: ClassVar[tuple[str, ...]] = ("image", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes("keypoints")
    reasons: ClassVar[tuple[str, ...]] = ()
    fragile: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 64

    model: Model = "blazepose"
    weights: Path | None = None
    """A checkpoint of mmpose, a folder with a ViTPose; blazepose has its own."""
    config: Path | None = None
    """mmpose: the name of one of its configs, or a file."""
    expert: int | None = None
    """vitpose: the data set whose expert looks; None takes the one of the model's keypoints."""
    flip: bool | None = None
    """Look twice, once mirrored; None does as mmpose's config says, and ViTPose looks once."""
    precision: Precision = "auto"
    """Numbers that a torch network reckons in: bf16 on a GPU, unless fp32 is asked for."""
    device: str = operational("auto")
    """Where a torch network runs: a GPU where a worker has one, or cpu, cuda, cuda:1."""
    batch: int = operational(16)
    """Most people of one forward pass."""
    gpus: float = operational(0.0)
    """GPUs that a worker on Ray is given: 1, or a share of one."""
    _model: PoseEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.config is not None:
            from humanverse.models.mmpose import config_path

            self.config = config_path(self.config)

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """One CPU, and as much of a GPU as is wanted."""
        return Resources(cpus=1, gpus=self.gpus)

    def check(self) -> None:
        """Refuse to start without weights."""
        check_estimator(self._choice(), self._how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(self._choice(), self._how())

    def _choice(self) -> Choice:
        return Choice(self.model, self.weights, self.config, self.expert, self.flip)

    def _how(self) -> How:
        return How(self.device, self.batch, self.precision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Keypoints of every person of each picture."""
        assert self._model is not None
        images = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        boxes = [np.asarray(b.as_py(), np.float32).reshape(-1, 4) for b in batch["person_boxes"]]
        people = self._model.estimate(images, boxes)
        flat = [[person.ravel().tolist() for person in persons] for persons in people]
        keypoints = pa.array(flat, self.writes.field("keypoints").type)
        return pa.table([batch["key"], keypoints], names=["key", "keypoints"])
