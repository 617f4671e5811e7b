"""Stages that travel with a job beside its recipe."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from humanverse.stage import BaseStage, Resources, operational
from humanverse.testing.stages import HashCollect


@dataclass
class FarCollect(HashCollect):
    """A collector as it is on a cluster, with workers of its own. Its pictures may be large."""

    padding: int = 0
    resources: ClassVar[Resources] = Resources(network=True)

    def __call__(self, batch):
        """The doubles' pictures, each with noise behind it."""
        made = super().__call__(batch)
        noise = np.random.default_rng(0).bytes(self.padding)
        images = [image and image + noise for image in made["image"].to_pylist()]
        place = made.schema.get_field_index("image")
        return made.set_column(place, made.schema.field(place), pa.array(images, pa.large_binary()))


@dataclass
class Meet(BaseStage):
    """Waits until enough came to a folder, of which its own workers are some."""

    folder: str = operational("")
    guests: int = operational(0)
    name: ClassVar[str] = "meet"
    reads: ClassVar[tuple[str, ...]] = ("phash",)
    writes: ClassVar[pa.Schema] = pa.schema([("odd", pa.bool_())])

    def __call__(self, batch):
        """Whether the hash is odd."""
        if self.guests:
            self._wait()
        odd = [int(phash, 16) % 2 == 1 for phash in batch["phash"].to_pylist()]
        return pa.table({"key": batch["key"], "odd": odd})

    def _wait(self):
        folder, until = Path(self.folder), time.monotonic() + 90
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < self.guests:
            if time.monotonic() > until:
                raise RuntimeError("nobody came")
            time.sleep(0.1)


@dataclass
class Slow(BaseStage):
    """Takes its time over each unit."""

    name: ClassVar[str] = "slow"
    reads: ClassVar[tuple[str, ...]] = ("phash",)
    writes: ClassVar[pa.Schema] = pa.schema([("odd", pa.bool_())])

    def __call__(self, batch):
        """Whether the hash is odd."""
        time.sleep(0.04)
        return pa.table({"key": batch["key"], "odd": [True] * batch.num_rows})
