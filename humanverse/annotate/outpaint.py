"""A wider canvas around each picture, for labels that are made on it and cut to the frame.

People who are cut by the frame's edge are labelled better where an estimator sees how they might go
on. So HyperHuman did it (arXiv 2310.08579). The stages behind this one look at the canvas where
their setting `outpainted` says so; samples keep the picture as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from humanverse import schema
from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.errors import UsageError
from humanverse.inference import Inference
from humanverse.models.base import Image, Narrow, Outpainter
from humanverse.overlap import overlapped


@dataclass
class Outpaint(Inference):
    """Writes a canvas, and where in it the picture lies: in the middle."""

    name: ClassVar[str] = "outpaint"
    reads: ClassVar[tuple[str, ...]] = ("image", "caption")
    writes: ClassVar[pa.Schema] = schema.writes(*schema.CANVAS)
    reasons: ClassVar[tuple[str, ...]] = ()

    model: Literal["reflect", "inpainting"] = "reflect"
    """reflect mirrors pictures at their edges; inpainting has a diffusion model fill the rest."""
    weights: Path | None = None
    """inpainting: a folder of diffusers with a pipeline that inpaints, as Stable Diffusion 2's."""
    margin: float = 0.25
    """On each side, as a share of the picture's width or height."""
    steps: int = 50
    """inpainting: steps of denoising."""
    guidance: float = 7.5
    """inpainting: how closely the caption is followed; 1 is not more than the model would."""
    quality: int = 95
    """Of the canvas' JPEG."""
    _model: Outpainter | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse what cannot work."""
        self.how()
        if not 0 < self.margin <= 1:
            raise UsageError(f"outpaint.margin={self.margin}: a share above 0, of 1 at most")
        if self.model == "inpainting":
            from humanverse.models import inpainting

            inpainting.check(self.weights)
        elif self.weights is not None:
            raise UsageError("outpaint.weights is not for outpaint.model=reflect")

    def open(self) -> None:
        """Load the model."""
        self.check()
        if self.model == "inpainting":
            from humanverse.models.inpainting import InpaintingOutpainter

            assert self.weights is not None
            self._model = InpaintingOutpainter(self.weights, self.how(), self.steps, self.guidance)
        else:
            from humanverse.models.reflect import ReflectOutpainter

            self._model = ReflectOutpainter()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The canvas of each picture."""
        assert self._model is not None
        model = self._model

        def load(row: int) -> Narrow:
            key, image, caption = (batch[name][row].as_py() for name in ("key", *self.reads))
            pixels = decode_jpeg(image)
            left, top = (max(1, round(self.margin * side)) for side in pixels.shape[1::-1])
            return Narrow(pixels, left, top, caption or "", int(key[:12], 16))

        def work(loaded: list[Narrow]) -> list[tuple[Narrow, Image]]:
            return list(zip(loaded, model.widen(loaded), strict=True))

        def save(made: tuple[Narrow, Image]) -> tuple[bytes, int, int]:
            picture, canvas = made
            return encode_jpeg(canvas, self.quality), picture.left, picture.top

        rows = range(batch.num_rows)
        made = overlapped(rows, load, work, save, size=self.batch, threads=self.cpus)
        columns = [
            pa.array([row[i] for row in made], kind.type) for i, kind in enumerate(self.writes)
        ]
        return pa.table([batch["key"], *columns], names=["key", *self.writes.names])
