"""Picture, depth and normals as an autoencoder's latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.errors import UsageError
from humanverse.inference import Inference, NetworkSettings
from humanverse.load.decode import LATENTS, Decoder, place_of
from humanverse.load.view import Sample, View, largest
from humanverse.models import autoencoders
from humanverse.models.torched import Engine, Precision
from humanverse.overlap import overlapped
from humanverse.stage import Stage, operational
from humanverse.tensors import dumped

if TYPE_CHECKING:
    import torch

    from humanverse.models.autoencoder_networks import Coder

MEMBERS = {"image": "jpg", "depth_png": "depth.png", "normal_png": "normal.png"}
"""Columns that are read, and the members that a loader would read of them."""
DEPTH = ("depth_kind", "depth_scale", "depth_offset")
COLUMNS = ("image", "depth", "normals")
"""What the branches of `LATENTS` are made of."""


@dataclass
class EncodeLatents(Inference):
    """Writes the latents of the largest square in the middle of each picture, and their levels.

    The square is cut and scaled by the loader's own hands, so what is kept is what training would
    encode from `image_size=size, crop="centre"`.
    """

    name: ClassVar[str] = "latents"
    writes: ClassVar[pa.Schema] = schema.writes(
        "latents", "latents_of", "latents_mean", "latents_std"
    )
    reasons: ClassVar[tuple[str, ...]] = ()

    precision: Precision = "fp32"
    batch: int = operational(4)
    autoencoder: Literal["folder", "taef2"] = "folder"
    weights: Path | None = None
    size: int = 512
    blurred: bool = False
    _engine: Engine | None = field(default=None, init=False, repr=False, compare=False)
    _of: str = field(default="", init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """The picture, or the one with faces blurred, and its maps."""
        picture = "blurred" if self.blurred else "image"
        return (picture, "width", "height", "depth_png", "normal_png", *DEPTH)

    def check(self) -> None:
        """Refuse to start without an autoencoder, or at a size that it cannot halve."""
        self.how()
        stride = autoencoders.check(self._named())
        if self.size < 1 or self.size % stride:
            raise UsageError(f"latents.size={self.size}: a multiple of {stride} is wanted")

    def open(self) -> None:
        """Load the autoencoder."""
        self.check()
        coder: Coder = autoencoders.opened(self._named()).coder
        self._engine = Engine(coder, self.how())
        self._of = latents_of(self._named(), self.size)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The latents of each picture, and mean and spread of each of their channels."""
        names = ["image" if name == "blurred" else name for name in batch.column_names]
        pictures = batch.rename_columns(names)
        rows = overlapped(
            range(batch.num_rows),
            lambda row: seen(pictures.slice(row, 1).to_pylist()[0], self.size),
            self._encoded,
            _saved,
            size=self.batch,
            threads=self.cpus,
        )
        arrays = [
            pa.array([self._of if name == "latents_of" else row[name] for row in rows], kind)
            for name, kind in zip(self.writes.names, self.writes.types, strict=True)
        ]
        return pa.table([batch["key"], *arrays], names=["key", *self.writes.names])

    def _encoded(self, samples: Sequence[Sample]) -> list[tuple[Sample, NDArray[np.float16]]]:
        """Samples with their latents (3, C, h, w)."""
        engine = self._engine
        assert engine is not None

        def step(part: Sequence[Sample]) -> tuple[torch.Tensor]:
            pixels = as_pixels(part, engine)  # (n, 3, 3, H, W)
            latents = engine(pixels.flatten(0, 1))
            return (latents.view(*pixels.shape[:2], *latents.shape[1:]).half(),)

        found = engine.in_batches(samples, step)
        return [(sample, row[0]) for sample, row in zip(samples, found, strict=True)]

    def _named(self) -> str:
        if self.autoencoder == "folder" and self.weights is None:
            raise UsageError("latents.autoencoder=folder needs one: --set latents.weights=DIR")
        if self.autoencoder != "folder" and self.weights is not None:
            raise UsageError(f"latents.weights is not for latents.autoencoder={self.autoencoder}")
        return self.autoencoder if self.weights is None else str(self.weights)


@dataclass
class Latents(NetworkSettings):
    """The stage under a name in a recipe; no stage until there is an autoencoder."""

    name: ClassVar[str] = "latents"

    precision: Precision = "fp32"
    """Latents keep 11 bits, and bf16 reckons with 8."""
    batch: int = operational(4)
    """Samples of one forward pass: three pictures each."""
    autoencoder: Literal["folder", "taef2"] = "folder"
    weights: Path | None = None
    """folder: one of diffusers', such as a pipeline's `vae`."""
    size: int = 512
    """Side in pixels of the square that is encoded."""
    blurred: bool = False
    """Encode pictures with faces blurred, which a stage before this one has made."""

    def stages(self) -> tuple[Stage, ...]:
        """The stage, or none."""
        if self.autoencoder == "folder" and self.weights is None:
            return ()
        names = [f.name for f in dataclasses.fields(EncodeLatents) if f.init]
        return (EncodeLatents(**{name: getattr(self, name) for name in names}),)


def latents_of(name: str, size: int) -> str:
    """What tells latents apart: the autoencoder, by name or folder, and the side in pixels."""
    return f"{autoencoders.identity(name)} {size}"


def seen(row: Mapping[str, Any], size: int) -> Sample:
    """What a loader gives of a row at a size: `image`, `depth`, `depth_kind`, `normals`, `view`."""
    members = {extension: row[column] for column, extension in MEMBERS.items()}
    shape = row["height"], row["width"]
    view = largest(shape, (size, size))
    view = view.aligned(view.reduction())
    decoder = Decoder(members, {"size": shape} | {name: row[name] for name in DEPTH}, view)
    sample: Sample = {"key": row["key"], "view": view}
    for column in COLUMNS:
        sample |= decoder.column(column)
    return sample


def as_pixels(samples: Sequence[Sample], engine: Engine) -> torch.Tensor:
    """Samples as pictures (n, 3, 3, H, W), as the trainer makes them: rgb, depth, normal."""
    import torch

    from humanverse.train.examples import bytes_to_pixels, depth_to_pixels

    image, depth, normals = (
        engine.upload(np.stack([sample[name] for sample in samples])) for name in COLUMNS
    )
    shown = (
        bytes_to_pixels(image.movedim(-1, 1)),
        depth_to_pixels(depth, [sample["depth_kind"] for sample in samples]),
        normals.movedim(-1, 1),
    )
    return torch.stack(shown, dim=1)


def _saved(found: tuple[Sample, NDArray[np.float16]]) -> dict[str, Any]:
    sample, latents = found
    if not np.isfinite(latents).all():
        raise UsageError(
            f"latents of {sample['key']} are not finite in float16: take "
            "latents.precision=fp32, or other weights"
        )
    wide = latents.astype(np.float64)
    view: View = sample["view"]
    return {
        "latents": dumped(dict(zip(LATENTS, latents, strict=True)), {"view": place_of(view)}),
        "latents_mean": wide.mean(axis=(2, 3)).tolist(),
        "latents_std": wide.std(axis=(2, 3)).tolist(),
    }
