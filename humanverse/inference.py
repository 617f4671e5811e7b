"""A stage that runs a network over pictures: its settings, and how it is kept busy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse.codec import decode_jpeg
from humanverse.models.base import Image
from humanverse.models.torched import How, Precision
from humanverse.overlap import overlapped
from humanverse.stage import BaseStage, Resources, operational

Found = TypeVar("Found")
Saved = TypeVar("Saved")

BATCHES = 8
"""Batches of one call of a stage: while one is looked at, the next is decoded."""
SLOW = 20.0
"""Seconds that a picture may take: a large network on a slow CPU."""


@dataclass
class NetworkSettings:
    """How a network is run: the same words in every stage that has one."""

    precision: Precision = "auto"
    """Numbers that a torch network reckons in: bf16 on a GPU, unless fp32 is asked for."""
    device: str = operational("auto")
    """Where a torch network runs: a GPU where a worker has one, or cpu, cuda, cuda:1."""
    batch: int = operational(16)
    """Most inputs of one forward pass."""
    channels_last: bool = operational(False)
    """Keep channels innermost in memory, which networks of convolutions like on a GPU."""
    compiled: bool = operational(False)
    """Compile a torch network at its first batch: minutes once, less time for each later one."""
    gpus: float = operational(0.0)
    """GPUs that a worker on Ray is given: 1, or a share of one."""
    cpus: int = operational(1)
    """CPUs that a worker on Ray is given, and threads that decode and encode beside the network."""

    def __post_init__(self) -> None:
        for name, least in (("cpus", 1), ("gpus", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {least} or more")

    def how(self) -> How:
        """How a torch network is to run."""
        return How(self.device, self.batch, self.precision, self.channels_last, self.compiled)

    def network(self) -> dict[str, Any]:
        """These settings by name."""
        names = (field.name for field in dataclasses.fields(NetworkSettings))
        return {name: getattr(self, name) for name in names}


@dataclass
class Inference(NetworkSettings, BaseStage):
    """A stage with a network, and its way through a batch of pictures."""

    fragile: ClassVar[bool] = True

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """What the settings ask for."""
        return Resources(cpus=self.cpus, gpus=self.gpus)

    @property
    def batch_rows(self) -> int:  # type: ignore[override]
        """Rows of one call."""
        return BATCHES * self.batch

    @property
    def deadline(self) -> float:  # type: ignore[override]
        """Seconds that one call may take."""
        return SLOW * self.batch_rows

    def over_pictures(
        self,
        batch: pa.Table,
        look: Callable[[Sequence[Image], Sequence[NDArray[np.float32]]], Sequence[Found]],
        save: Callable[[Found], Saved],
    ) -> list[Saved]:
        """`save` of what `look` finds on the pictures of a batch and their people's boxes (n, 4).

        The column `person_boxes` may be missing: then `look` is given no boxes of any picture.
        """

        def load(row: int) -> tuple[Image, NDArray[np.float32]]:
            boxes = batch["person_boxes"][row].as_py() if has_boxes else []
            pixels = decode_jpeg(batch["image"][row].as_py())
            return pixels, np.asarray(boxes, np.float32).reshape(-1, 4)

        def work(loaded: list[tuple[Image, NDArray[np.float32]]]) -> Sequence[Found]:
            return look([image for image, _ in loaded], [boxes for _, boxes in loaded])

        has_boxes = "person_boxes" in batch.column_names
        rows = range(batch.num_rows)
        return overlapped(rows, load, work, save, size=self.batch, threads=self.cpus)
