"""Text encoders whose tokens diffusion models read: CLIP's, OpenCLIP's and T5's, by transformers.

A folder holds `config.json` and `model.safetensors`, as a model's or a pipeline's `text_encoder`
does, and a tokeniser, which may lie beside it as a pipeline's `tokenizer`. OpenCLIP's towers are
CLIP's in transformers' files (Stable Diffusion 2's, SDXL's second one, LAION's own).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from humanverse.errors import UsageError
from humanverse.models.hub_folder import (
    CONFIG,
    check_model,
    load_model,
    load_processor,
    read_json,
)
from humanverse.stage import weights_sha256

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Layer = Literal["last", "penultimate"]
"""last: behind the final norm, as Stable Diffusion 1 and 2 and T5's users read it. penultimate:
what the last block is given, without a norm, as SDXL reads both of its towers."""

KINDS: Final = ("clip", "clip_text_model", "t5", "umt5")
"""Model types of configs."""
CLIP_TAKES: Final = 77
"""Tokens, where a config does not say it."""
TOKENISERS: Final = ("tokenizer.json", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class Reading:
    """How captions are read."""

    folder: Path
    layer: Layer = "last"
    length: int = 128
    """Most tokens; what is longer is cut at its end. CLIP's towers take 77, both marks counted."""


class Read(NamedTuple):
    """B captions of at most T tokens."""

    tokens: torch.Tensor
    """(B, T, W)"""
    said: torch.Tensor
    """(B, T) bool: false behind a caption's end."""
    pooled: torch.Tensor | None
    """(B, P): the whole caption as CLIP has it, projected where the folder has a projection."""


class HubTextEncoder:
    """Captions to tokens, on the device where it was last asked to be."""

    def __init__(self, reading: Reading) -> None:
        """Load a folder.

        Raises:
            UsageError: as `check`, or its files do not make up such a model.
        """
        check(reading)
        self.model = _loaded(reading.folder).requires_grad_(False)
        self.identity = identity(reading)
        """Differs between encoders whose numbers differ."""
        self._tokenise = load_processor(_words(reading.folder), "AutoTokenizer", TOKENISERS[0])
        self.width = int(self.model.config.hidden_size)
        self.length = _length(reading)
        self._penultimate = reading.layer == "penultimate"

    def __call__(self, captions: Sequence[str], device: torch.device) -> Read:
        """Tokens of captions, padded to one length for all: T is `length`."""
        import torch

        ids, mask = (torch.from_numpy(array).to(device) for array in self.tokenised(captions))
        model = self.model.to(device)
        with torch.no_grad():
            return self.read(model(ids, **self.asked(mask)), mask)

    def tokenised(self, captions: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers (B, T) of captions' tokens, and 1 where there are any, else 0."""
        told = self._tokenise(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=self.length,
            return_tensors="np",
        )
        return told["input_ids"], told["attention_mask"]

    def asked(self, mask: torch.Tensor) -> dict[str, Any]:
        """What the model is told beside the numbers."""
        return {"attention_mask": mask, "output_hidden_states": self._penultimate}

    def read(self, found: Any, mask: torch.Tensor) -> Read:
        """What is wanted of that which the model gives."""
        tokens = found.hidden_states[-2] if self._penultimate else found.last_hidden_state
        pooled = getattr(found, "text_embeds", getattr(found, "pooler_output", None))
        return Read(tokens, mask.bool(), pooled)


def check(reading: Reading) -> None:
    """Refuse a folder that is none, and what its model cannot give, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type.
    """
    config = check_model(reading.folder, "a text encoder", KINDS)
    if reading.layer == "penultimate" and not str(config["model_type"]).startswith("clip"):
        raise UsageError("a T5's tokens are read from its last layer: take layer=last")
    if reading.length < 1:
        raise UsageError(f"length={reading.length}: a caption is read by 1 token or more")
    _words(reading.folder)


def identity(reading: Reading) -> str:
    """What `HubTextEncoder.identity` is going to be."""
    folders = dict.fromkeys((reading.folder, _words(reading.folder)))
    hashes = " ".join(weights_sha256(folder) for folder in folders)
    return f"{hashes} {reading.layer} {_length(reading)}"


def _words(folder: Path) -> Path:
    """The folder of the tokeniser: the same, or a pipeline's beside it.

    Raises:
        UsageError: there is none.
    """
    beside = folder.resolve().name.replace("text_encoder", "tokenizer")
    for place in (folder, folder.resolve().parent / beside):
        if any((place / name).is_file() for name in TOKENISERS):
            return place
    raise UsageError(f"{folder} has no tokeniser: no {', no '.join(TOKENISERS)}, here or beside it")


def _length(reading: Reading) -> int:
    """Tokens of each caption: as many as are asked for, and no more than the tower takes."""
    config = read_json(reading.folder / CONFIG)
    if not str(config["model_type"]).startswith("clip"):
        return reading.length
    own = config.get("text_config") or config
    return min(reading.length, int(own.get("max_position_embeddings", CLIP_TAKES)))


def _loaded(folder: Path) -> Any:
    """A folder's text tower; with its projection where it has one."""
    config = read_json(folder / CONFIG)
    kind = str(config["model_type"])
    if not kind.startswith("clip"):
        return load_model(folder, "UMT5EncoderModel" if kind == "umt5" else "T5EncoderModel")
    if kind == "clip":
        # What the config says of a tower alone is often left at 512, whatever the tower is.
        width = config.get("projection_dim", 512)
        return load_model(folder, "CLIPTextModelWithProjection", projection_dim=width)
    own = (config.get("architectures") or ["CLIPTextModel"])[0]
    bare = own != "CLIPTextModelWithProjection"
    return load_model(folder, "CLIPTextModel" if bare else "CLIPTextModelWithProjection")
