"""TAEF2: the small autoencoder for FLUX.2's latents, 32 channels at an eighth of the side.

By Ollin Boer Bohan (github madebyollin/taesd, MIT), out of its two files as published. What
diffusers calls AutoencoderTiny is its older kin, which has no norms of groups.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humanverse.errors import UsageError

WIDTH = 64
CHANNELS = 32
STRIDE = 8
MAGNITUDE = 3.0
"""Latents are softly held within this on their way to pixels."""


class Taef2(nn.Module):
    """Pixels in [-1, 1] to latents and back."""

    def __init__(self) -> None:
        super().__init__()
        down = [part for level in range(3) for part in (_halving(), *_blocks(3, level == 2))]
        self.encoder = nn.Sequential(_wide(3, WIDTH), Block(), *down, _wide(WIDTH, CHANNELS))
        up = [
            part
            for level in range(3)
            for part in (*_blocks(3, level == 0), nn.Upsample(scale_factor=2), _wide(bias=False))
        ]
        self.decoder = nn.Sequential(
            SoftClamp(), _wide(CHANNELS, WIDTH), nn.ReLU(), *up, Block(), _wide(WIDTH, 3)
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 32, H / 8, W / 8)."""
        latents: Tensor = self.encoder(pixels / 2 + 0.5)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """The way back; it may leave [-1, 1]."""
        pixels: Tensor = self.decoder(latents)
        return pixels * 2 - 1


class Block(nn.Module):
    """Three convolutions beside what comes in; `grouped` adds what norms of groups see first."""

    def __init__(self, grouped: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [_wide(), nn.ReLU(), _wide(), nn.ReLU(), _wide()]
        self.conv = nn.Sequential(*layers)
        if grouped:
            self.pool = nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False),
            )
        self.grouped = grouped

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) to the same."""
        x = x + self.pool(x) if self.grouped else x
        return torch.relu(x + self.conv(x))


class SoftClamp(nn.Module):
    """Numbers of any size within the magnitude."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.tanh(x / MAGNITUDE) * MAGNITUDE


def filled(encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> Taef2:
    """The network with the weights of its two files, in 32 bits.

    Raises:
        UsageError: they are of another network.
    """
    network = Taef2()
    try:
        network.encoder.load_state_dict(encoder)
        network.decoder.load_state_dict(decoder)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:120]
        raise UsageError(f"these are no weights of TAEF2: {why}") from error
    return network


def _wide(given: int = WIDTH, out: int = WIDTH, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(given, out, 3, padding=1, bias=bias)


def _halving() -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)


def _blocks(count: int, grouped: bool) -> list[nn.Module]:
    return [Block(grouped) for _ in range(count)]
