"""Whole-body pose: 133 keypoints of each person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.annotate.canvas import Cut, OnCanvas, cut_keypoints
from humanverse.annotate.estimators import Choice, Model, check_estimator, make_estimator
from humanverse.models.base import PoseEstimator


@dataclass
class Pose(OnCanvas):
    """Writes the keypoints of the people that count, in the order of their boxes."""

    name: ClassVar[str] = "pose"
    writes: ClassVar[pa.Schema] = schema.writes("keypoints")
    reasons: ClassVar[tuple[str, ...]] = ()
    cut: ClassVar[Cut] = cut_keypoints

    model: Model = "blazepose"
    weights: Path | None = None
    """A checkpoint of mmpose; a ViTPose, as a folder or as its authors' file; blazepose has one."""
    config: Path | None = None
    """mmpose: the name of one of its configs, or a file."""
    expert: int | None = None
    """vitpose: the data set whose expert looks; None takes the one of the model's keypoints."""
    flip: bool | None = None
    """Look twice, once mirrored; None does as mmpose's config says, and ViTPose looks once."""
    _model: PoseEstimator | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.config is not None:
            from humanverse.models.mmpose import config_path

            self.config = config_path(self.config)

    @property
    def version(self) -> int:  # type: ignore[override]  # here a setting decides
        """The torch models were once given pictures less a mean that was cut to whole levels."""
        return 1 if self.model == "blazepose" else 2

    def check(self) -> None:
        """Refuse to start without weights."""
        check_estimator(self._choice(), self.how())

    def open(self) -> None:
        """Load the model."""
        self._model = make_estimator(self._choice(), self.how())

    def _choice(self) -> Choice:
        return Choice(self.model, self.weights, self.config, self.expert, self.flip)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Keypoints of every person of each picture."""
        assert self._model is not None
        people = self.over_pictures(batch, self._model.estimate, _flat)
        keypoints = pa.array(people, self.writes.field("keypoints").type)
        return pa.table([batch["key"], keypoints], names=["key", "keypoints"])


def _flat(people: NDArray[np.float32]) -> list[list[float]]:
    """Keypoints (n, 133, 3) as n lists."""
    return [person.ravel().tolist() for person in people]
