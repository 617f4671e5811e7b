"""Pictures as latents: the protocol of an autoencoder, and the one that leaves pixels as they are.

Picture, depth and normals each go through the same autoencoder as a picture of three channels in
[-1, 1]. Their latents then have statistics of their own, which are brought to the picture's, as in
HyperHuman (arXiv 2310.08579, section 3.2): `Levels`, measured on the data before training. A
loader's batch may bring `latents_rgb` and so on instead, (B, C, h, w), unscaled: then no
autoencoder is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from humanverse.errors import UsageError

LEAST = 1e-4
"""Spread below which a channel counts as one that never changes."""


class Autoencoder(Protocol):
    """Pixels to latents and back. It is frozen, and its weights are not kept."""

    @property
    def channels(self) -> int:
        """Of a latent."""
        ...

    @property
    def stride(self) -> int:
        """Pixels that a latent is wide and high: a power of 2."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, C, H / stride, W / stride), spread about 1."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The way back; what leaves [-1, 1] is cut by who asks."""
        ...


class Pixels:
    """No autoencoder: a latent is a pixel."""

    channels, stride = 3, 1

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels as they are."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels as they are."""
        return latents


AUTOENCODERS: dict[str, Callable[[], Autoencoder]] = {"pixels": Pixels}


def autoencoder_of(name: str) -> Autoencoder:
    """An autoencoder by its name, or by the folder that holds one: see humanverse/models.

    Raises:
        UsageError: there is none.
    """
    if name in AUTOENCODERS:
        return AUTOENCODERS[name]()
    from humanverse.models import autoencoders

    if name not in autoencoders.LISTED and not Path(name).is_dir():
        known = ", ".join([*AUTOENCODERS, *autoencoders.LISTED])
        raise UsageError(f"conditions: no {name!r}; choose of {known}, or give a folder")
    return autoencoders.opened(name)


@dataclass(frozen=True)
class Levels:
    """Mean and spread of each branch's channels, and the picture's to which all are brought."""

    mean: Tensor
    """(M, C)"""
    std: Tensor
    """(M, C)"""

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents (B, M, C, H, W) with the first branch's mean and spread."""
        mean, std = self._wide(latents)
        return (latents - mean) / std * std[:, :1] + mean[:, :1]

    def unscaled(self, latents: Tensor) -> Tensor:
        """The way back."""
        mean, std = self._wide(latents)
        return (latents - mean[:, :1]) / std[:, :1] * std + mean

    def for_branches(self, numbers: list[int]) -> Levels:
        """Those of some branches, the first of them the picture's."""
        return Levels(self.mean[numbers], self.std[numbers])

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Levels:
        """Out of `to_json`'s."""
        return cls(torch.tensor(told["mean"]), torch.tensor(told["std"]))

    def _wide(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (x.to(latents)[None, :, :, None, None] for x in (self.mean, self.std))
        return mean, std


def measured(latents: Iterable[Tensor]) -> Levels:
    """The levels of some data, (B, M, C, H, W) each."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for batch in latents:
        values = batch.double().cpu()
        count += values[:, 0, 0].numel()
        total = total + values.sum((0, 3, 4))
        squares = squares + values.square().sum((0, 3, 4))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=LEAST)
    return Levels(mean.float(), std.float())
