"""A loader's batch as what a network learns from: latents of each branch, and conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from humanverse.errors import DataError
from humanverse.train.given import Given
from humanverse.train.latents import Autoencoder
from humanverse.train.settings import Training
from humanverse.train.text import Encoded, TextEncoder

COLUMNS: Final = {"rgb": "image", "depth": "depth", "normal": "normals", "pose": "pose_map"}
"""The dataset's columns that branches and maps are made of."""


@dataclass(frozen=True)
class Example:
    """What is learned from B samples."""

    keys: list[str]
    latents: Tensor
    """(B, M, C, h, w), unscaled."""
    given: Given
    """Everything told."""


@dataclass(frozen=True)
class Examples:
    """Makes them, on a device."""

    training: Training
    autoencoder: Autoencoder
    text: TextEncoder
    device: torch.device
    cached: frozenset[str] = frozenset()
    """`latents`, `text`: what the dataset holds already, and is read instead of encoded."""

    def columns(self) -> list[str]:
        """What of the dataset must be read."""
        net = self.training.network
        words = "text" if "text" in self.cached else "caption"
        branches = () if "latents" in self.cached else net.branches
        seen = dict.fromkeys(COLUMNS[name] for name in (*branches, *net.maps))
        return [words, *seen, *self.cached & {"latents"}]

    def __call__(self, batch: Mapping[str, Any]) -> Example:
        """A loader's batch of tensors.

        Raises:
            DataError: samples lack what is to be learned.
        """
        net = self.training.network
        cached = "latents" in self.cached
        seen = set(net.maps) if cached else {*net.branches, *net.maps}
        pixels = {name: self._pixels(batch, name) for name in seen}
        if cached:
            parts = [_numbers(batch, f"latents_{name}") for name in net.branches]
            latents = torch.stack(parts, 1).to(self.device).float()
        else:
            shown = torch.stack([pixels[name] for name in net.branches], dim=1)
            latents = self.encode(shown)
        if self.training.stage == "refiner":
            pixels |= {name: coarse(pixels[name]) for name in pixels.keys() - {"pose"}}
        maps = [pixels[name] for name in net.maps]
        return Example(list(batch["key"]), latents, self._given(batch, maps))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (B, M, 3, H, W) as latents (B, M, C, h, w)."""
        latents = self.autoencoder.encode(pixels.flatten(0, 1))
        return latents.view(*pixels.shape[:2], *latents.shape[1:])

    def _pixels(self, batch: Mapping[str, Any], name: str) -> Tensor:
        """A branch as pictures (B, 3, H, W) in [-1, 1]."""
        values = _numbers(batch, COLUMNS[name]).to(self.device, non_blocking=True)
        if name == "depth":
            return depth_to_pixels(values, batch["depth_kind"])
        return (values if name == "normal" else bytes_to_pixels(values)).contiguous()

    def _given(self, batch: Mapping[str, Any], maps: Sequence[Tensor]) -> Given:
        if "text" in self.cached:
            words = Encoded(_numbers(batch, "text").float(), _numbers(batch, "text_said"))
        else:
            words = self.text([caption or "" for caption in batch["caption"]], self.device)
        count = len(words.text)
        shown = torch.stack(list(maps), 1) if maps else None
        size = torch.tensor([_size(view) for view in batch["view"]], dtype=torch.float32)
        told = torch.ones(count, 2 + len(maps), dtype=torch.bool)
        nothing = torch.zeros(count, 0, 3, 1, 1)
        return Given(words.text, words.said, nothing if shown is None else shown, size, told).to(
            self.device
        )


def bytes_to_pixels(values: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1]."""
    return values.float() / 127.5 - 1


def depth_to_pixels(depth: Tensor, kinds: Sequence[str]) -> Tensor:
    """Maps (B, H, W) as grey pictures (B, 3, H, W): 1 is the nearest of each, -1 the farthest.

    Each map is brought to its own range, as in HyperHuman. Metres are turned into their inverse
    first: beside a sky 80 m away, people would have no depth. Relative depth, whose zero is not
    known, is only turned round; disparity stays.
    """
    near = torch.stack([_near(one, kind) for one, kind in zip(depth, kinds, strict=True)])
    low, high = near.amin((1, 2), keepdim=True), near.amax((1, 2), keepdim=True)
    even = (near - low) / (high - low).clamp(min=1e-12)
    return (even * 2 - 1)[:, None].expand(-1, 3, -1, -1).contiguous()


def coarse(pixels: Tensor) -> Tensor:
    """Pictures as the first stage would give them: of half the height and width, scaled up."""
    small = torch.nn.functional.avg_pool2d(pixels, 2)
    return torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")


def _near(depth: Tensor, kind: str) -> Tensor:
    if kind == "metric":
        return 1 / depth.clamp(min=1e-3)
    return depth if kind == "disparity" else -depth


def _numbers(batch: Mapping[str, Any], name: str) -> Tensor:
    values = batch.get(name)
    if isinstance(values, list) and all(isinstance(value, Tensor) for value in values):
        raise DataError(f"{name} differs in shape from sample to sample")
    if isinstance(values, list) or values is None:
        keys = [k for k, v in zip(batch["key"], values or [None], strict=False) if v is None]
        raise DataError(f"sample {keys[0]} holds no {name}: train on samples that do")
    assert isinstance(values, Tensor)
    return values


def _size(view: Any) -> tuple[float, ...]:
    """The whole picture's height and width; the crop's top, left, height, width, in its pixels."""
    return (*view.of, view.top, view.left, view.height, view.width)
