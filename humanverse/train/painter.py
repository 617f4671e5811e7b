"""Samples of a trained network: conditions and seeds in, pictures with depth and normals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanverse.errors import UsageError
from humanverse.train import checkpoint as checkpoints
from humanverse.train import flow
from humanverse.train.draws import number_of
from humanverse.train.flow import Method, Model
from humanverse.train.given import Given
from humanverse.train.latents import Autoencoder, Levels
from humanverse.train.parts import made
from humanverse.train.settings import Training
from humanverse.train.text import TextEncoder
from humanverse.train.trainee import autocast


@dataclass(frozen=True)
class Painted:
    """N samples as arrays; what a network has no branch for is None."""

    rgb: NDArray[np.uint8]
    """(N, H, W, 3)"""
    depth: NDArray[np.float32] | None
    """(N, H, W), disparity: 1 is the nearest of a picture, 0 the farthest."""
    normals: NDArray[np.float32] | None
    """(N, H, W, 3), unit vectors: +X right, +Y up, +Z to the viewer."""


@dataclass(frozen=True)
class Painter:
    """A network with what turns its latents into pictures."""

    training: Training
    network: Model
    method: Method
    levels: Levels
    autoencoder: Autoencoder
    text: TextEncoder
    device: torch.device

    def paint(self, given: Given, seeds: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Latents (N, M, C, h, w) of pictures of a size, by the settings' steps and guidance.

        Raises:
            UsageError: such pictures are not cut into tokens evenly.
        """
        run, net = self.training.run, self.training.network
        side = self.autoencoder.stride * net.patch
        if size[0] % side or size[1] % side:
            raise UsageError(f"pictures of {size[1]} x {size[0]}: multiples of {side} are wanted")
        sides = (size[0] // self.autoencoder.stride, size[1] // self.autoencoder.stride)
        shape = (len(net.branches), self.autoencoder.channels, *sides)
        noise = torch.stack([noise_of(seed, shape) for seed in seeds]).to(self.device)
        model = flow.guided(self.network, run.guidance)
        with autocast(self.training, self.device):
            x = flow.sample(model, self.method, noise, given.to(self.device), run.sample_steps)
        return self.levels.unscaled(x)

    @torch.no_grad()
    def pixels(self, latents: Tensor) -> dict[str, Tensor]:
        """Latents (N, M, C, h, w) as a picture (N, 3, H, W) in [-1, 1] for each branch."""
        shown = self.autoencoder.decode(latents.flatten(0, 1)).clamp(-1, 1).float()
        parts = shown.view(*latents.shape[:2], *shown.shape[1:]).unbind(1)
        return dict(zip(self.training.network.branches, parts, strict=True))

    def given(self, captions: Sequence[str], maps: dict[str, Tensor], size: float) -> Given:
        """Conditions of pictures of one side, in pixels, that were not cropped.

        `maps` (N, 3, H, W), those that are missing are not told; nor is an empty caption.
        """
        names, count = self.training.network.maps, len(captions)
        words = self.text(captions, torch.device("cpu"))
        known = next(iter(maps.values()), torch.zeros(count, 3, 1, 1)).cpu()
        shown = [maps[name].cpu() if name in maps else torch.zeros_like(known) for name in names]
        told = torch.ones(count, 2 + len(names), dtype=torch.bool)
        told[:, 0] = torch.tensor([bool(caption) for caption in captions])
        for number, name in enumerate(names):
            told[:, 2 + number] = name in maps
        sizes = torch.tensor([[size, size, 0, 0, size, size]]).repeat(count, 1)
        stacked = torch.stack(shown, 1) if shown else torch.zeros(count, 0, 3, 1, 1)
        return Given(words.text.cpu(), words.said.cpu(), stacked, sizes, told)


def restored(place: Path, device: torch.device) -> Painter:
    """A painter out of a checkpoint, with its averaged weights.

    Raises:
        UsageError: there is no checkpoint.
        DataError: it is damaged.
    """
    found = checkpoints.opened(place)
    training = Training.of_json(found.state["training"])
    parts = made(training)
    parts.network.load_state_dict(found.tensors("average"))
    parts.network.to(device).eval()
    levels = Levels.of_json(found.state["levels"])
    return Painter(
        training, parts.network, parts.method, levels, parts.autoencoder, parts.text, device
    )


def noise_of(seed: int, shape: tuple[int, ...]) -> Tensor:
    """The noise of a sample, normal, on the CPU: the same wherever it is painted."""
    generator = torch.Generator().manual_seed(number_of("sample", seed))
    return torch.randn(shape, generator=generator)


def painted(pixels: dict[str, Tensor]) -> Painted:
    """Pictures (N, 3, H, W) of each branch as what they show."""
    arrays = {name: shown.permute(0, 2, 3, 1).cpu().numpy() for name, shown in pixels.items()}
    depth = arrays["depth"].mean(axis=3) / 2 + 0.5 if "depth" in arrays else None
    normals = None
    if "normal" in arrays:
        length = np.linalg.norm(arrays["normal"], axis=3, keepdims=True)
        normals = arrays["normal"] / np.maximum(length, 1e-6)
    rgb = np.round((arrays["rgb"] + 1) * 127.5).astype(np.uint8)
    return Painted(rgb, depth, normals)
