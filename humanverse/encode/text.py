"""Captions as a text encoder's tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.errors import UsageError
from humanverse.inference import Inference, NetworkSettings
from humanverse.models.text_encoders import HubTextEncoder, Layer, Reading, check
from humanverse.models.torched import Engine
from humanverse.pack.settings import Caption
from humanverse.stage import Stage
from humanverse.tensors import dumped

if TYPE_CHECKING:
    import torch

Numbers = Literal["float16", "bf16"]
GENERATED = "generated_caption"


@dataclass
class EncodeText(Inference):
    """Writes the tokens of each caption up to its end, and the whole caption's one embedding.

    What lies behind the end is not kept: most captions are short, and 77 tokens of CLIP's take as
    much room as the picture.
    """

    name: ClassVar[str] = "text"
    writes: ClassVar[pa.Schema] = schema.writes("text", "text_of")
    reasons: ClassVar[tuple[str, ...]] = ()

    weights: Path | None = None
    layer: Layer = "last"
    length: int = 128
    caption: Caption = "web"
    numbers: Numbers = "float16"
    _encoder: HubTextEncoder | None = field(default=None, init=False, repr=False, compare=False)
    _engine: Engine | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """The caption that becomes the sample's text."""
        return ("caption",) if self.caption == "web" else ("caption", GENERATED)

    def check(self) -> None:
        """Refuse to start without an encoder, or where it cannot give what is wanted."""
        self.how()
        check(self._reading())

    def open(self) -> None:
        """Load the encoder."""
        self.check()
        self._encoder = HubTextEncoder(self._reading())
        self._engine = Engine(self._encoder.model, self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The tokens of each row's caption."""
        encoder, engine = self._encoder, self._engine
        assert encoder is not None
        assert engine is not None

        def step(captions: Sequence[str]) -> tuple[list[torch.Tensor], ...]:
            ids, mask = (engine.upload(array) for array in encoder.tokenised(captions))
            found = encoder.read(engine(ids, **encoder.asked(mask)), mask)
            counts = mask.sum(1).tolist()
            tokens = [row[:n].float() for row, n in zip(found.tokens, counts, strict=True)]
            return (tokens,) if found.pooled is None else (tokens, list(found.pooled.float()))

        keys = batch["key"].to_pylist()
        found = engine.in_batches([self._said(row) for row in batch.to_pylist()], step)
        told = {"length": str(encoder.length)}
        files = [self._saved(key, row, told) for key, row in zip(keys, found, strict=True)]
        of = pa.array([encoder.identity] * len(keys), pa.string())
        text = pa.array(files, self.writes.field("text").type)
        return pa.table([batch["key"], text, of], names=["key", *self.writes.names])

    def _said(self, row: dict[str, Any]) -> str:
        """As `pack` chooses it."""
        generated = row[GENERATED] if self.caption == "generated" else None
        return (row["caption"] if generated is None else generated) or ""

    def _saved(self, key: str, row: Sequence[Any], told: dict[str, str]) -> bytes:
        arrays = dict(zip(("tokens", "pooled"), row, strict=False))
        if self.numbers == "bf16":
            return dumped(arrays, told, bf16=True)
        with np.errstate(over="ignore"):  # said below
            arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise UsageError(f"the text of {key} exceeds float16: take text.numbers=bf16")
        return dumped(arrays, told)

    def _reading(self) -> Reading:
        if self.weights is None:
            raise UsageError("a text encoder needs a folder: --set text.weights=DIR")
        return Reading(self.weights, self.layer, self.length)


@dataclass
class Text(NetworkSettings):
    """The stage under a name in a recipe; no stage until there are weights."""

    name: ClassVar[str] = "text"

    weights: Path | None = None
    """A folder of transformers' with a CLIP or T5, such as a pipeline's `text_encoder`."""
    layer: Layer = "last"
    """penultimate: as SDXL reads CLIP's towers."""
    length: int = 128
    """Most tokens of a caption; CLIP's towers take no more than 77."""
    caption: Caption = "web"
    """As `pack.caption`."""
    numbers: Numbers = "float16"
    """In which tokens are kept."""

    def stages(self) -> tuple[Stage, ...]:
        """The stage, or none."""
        if self.weights is None:
            return ()
        names = [f.name for f in dataclasses.fields(EncodeText) if f.init]
        return (EncodeText(**{name: getattr(self, name) for name in names}),)
