"""Captions as numbers: the protocol of a text encoder, and one that needs nothing downloaded.

A frozen encoder (CLIP's, T5's) is asked outside of the network and its weights are not kept; one
that is trained along is a part of the network. A loader's batch may bring `text` (B, T, W) and
`text_said` (B, T) instead: then no encoder is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from humanverse.errors import UsageError
from humanverse.models.text_encoders import HubTextEncoder, Reading
from humanverse.train.settings import Conditions


class Encoded(NamedTuple):
    """Captions, as a network is given them."""

    text: Tensor
    """(B, T, W) numbers, or (B, T) tokens for an encoder that is trained along."""
    said: Tensor
    """(B, T) bool: false behind a caption's end. (B, T) are those of what the encoder gives."""


class TextEncoder(Protocol):
    """Captions to numbers. `width` is W; `network` is what is trained along, if anything is."""

    @property
    def width(self) -> int:
        """Numbers of a token."""
        ...

    @property
    def network(self) -> TrainedText | None:
        """The part that belongs to the network: it takes `Encoded.text` to (B, T, W)."""
        ...

    def __call__(self, captions: Sequence[str], device: torch.device) -> Encoded:
        """Captions, frozen encoders' numbers without gradients."""
        ...


class TrainedText(nn.Module):
    """Bytes to tokens, four bytes each: an embedding and two convolutions of stride 2."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.bytes = nn.Embedding(257, width)
        self.convolutions = nn.Sequential(
            nn.Conv1d(width, width, 4, 2, 1), nn.SiLU(), nn.Conv1d(width, width, 4, 2, 1)
        )
        self.places = nn.Parameter(torch.randn(MOST // 4, width) * 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 4 T) bytes, 256 where nothing is, to (B, T, W)."""
        out: Tensor = self.convolutions(self.bytes(tokens).transpose(1, 2)).transpose(1, 2)
        return out + self.places[: out.shape[1]]


MOST = 256
"""Bytes of a caption that are read; the rest is cut off."""


class Bytes:
    """Captions as UTF-8, for a small encoder that is trained along."""

    def __init__(self, length: int = 128, width: int = 128) -> None:
        """`length` bytes are read of a caption.

        Raises:
            UsageError: that is no multiple of 4, or more than can be read.
        """
        if length % 4 or not 4 <= length <= MOST:
            raise UsageError(f"text.length={length}: a multiple of 4 up to {MOST} is wanted")
        self.length, self.width = length, width
        self.network: TrainedText | None = TrainedText(width)

    def __call__(self, captions: Sequence[str], device: torch.device) -> Encoded:
        """(B, length) bytes, and which fours of them hold any."""
        text = torch.full((len(captions), self.length), 256)
        for row, caption in zip(text, captions, strict=True):
            data = caption.encode()[: self.length]
            row[: len(data)] = torch.tensor(list(data))
        said = (text < 256).view(len(captions), -1, 4).any(2)
        return Encoded(text.to(device), said.to(device))


class Frozen:
    """The tokens of a CLIP or T5, as they are."""

    def __init__(self, encoder: HubTextEncoder) -> None:
        self.encoder, self.width, self.identity = encoder, encoder.width, encoder.identity
        self.network: TrainedText | None = None

    def __call__(self, captions: Sequence[str], device: torch.device) -> Encoded:
        """(B, T, W) and (B, T), T the encoder's own length."""
        read = self.encoder(captions, device)
        return Encoded(read.tokens.float() * read.said[..., None], read.said)


def encoder_of(given: Conditions) -> TextEncoder:
    """A text encoder by its name, or by the folder that holds one: see humanverse/models.

    Raises:
        UsageError: there is none.
    """
    if given.text in ENCODERS:
        return ENCODERS[given.text](given.text_length, given.text_width)
    if not Path(given.text).is_dir():
        known = ", ".join(ENCODERS)
        raise UsageError(f"conditions: no {given.text!r}; choose of {known}, or give a folder")
    reading = Reading(Path(given.text), given.text_layer, given.text_length)
    return Frozen(HubTextEncoder(reading))


ENCODERS: dict[str, Callable[[int, int], TextEncoder]] = {"bytes": Bytes}
"""By name: a function of the length and the width that the settings ask for."""
