"""Captions by a model, beside those of the web: an optional stage."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from humanverse import schema
from humanverse.errors import UsageError
from humanverse.inference import Inference, NetworkSettings
from humanverse.models.base import Captioner
from humanverse.models.captioners import HubCaptioner, check
from humanverse.stage import Stage

Model = Literal["blip2", "llava"]


@dataclass
class Caption(Inference):
    """Writes what a captioner says of each picture, and who it was."""

    name: ClassVar[str] = "caption"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = schema.writes(*schema.CAPTIONS)
    reasons: ClassVar[tuple[str, ...]] = ()

    model: Model = "blip2"
    weights: Path | None = None
    prompt: str | None = None
    tokens: int = 64
    called: str | None = None
    _model: Captioner | None = field(default=None, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Refuse to start without weights."""
        if self.tokens < 1:
            raise UsageError(f"caption.tokens={self.tokens}: a caption has 1 or more")
        self.how()
        check(self.model, self.weights)

    def open(self) -> None:
        """Load the captioner."""
        self.check()
        assert self.weights is not None
        self._model = HubCaptioner(self.model, self.weights, self.prompt, self.tokens, self.how())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A caption of each picture."""
        assert self._model is not None
        caption = self._model.caption
        said = self.over_pictures(batch, lambda images, _: caption(images), str)
        names = [self.called or self.model] * len(said)
        columns = [batch["key"], pa.array(said, pa.string()), pa.array(names, pa.string())]
        return pa.table(columns, names=["key", *self.writes.names])


@dataclass
class Captions(NetworkSettings):
    """The stage under a name in a recipe; no stage until a model is chosen."""

    name: ClassVar[str] = "caption"

    model: Literal["none", "blip2", "llava"] = "none"
    weights: Path | None = None
    """A folder as transformers has it."""
    prompt: str | None = None
    """What the caption goes on from (BLIP-2), or the question that is asked (LLaVA)."""
    tokens: int = 64
    """Most tokens of a caption."""
    called: str | None = None
    """What `caption_model` says; None says which of the models it is."""

    def stages(self) -> tuple[Stage, ...]:
        """The stage, or none."""
        if self.model == "none":
            return ()
        names = [f.name for f in dataclasses.fields(Caption) if f.init]
        return (Caption(**{name: getattr(self, name) for name in names}),)
