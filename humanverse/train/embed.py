"""Numbers, captions and maps as tokens or conditions."""

from __future__ import annotations

from math import log, log2

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanverse.train.blocks import closed

TIME_SCALE = 1000.0
"""Times are 0 to 1; waves are made for numbers up to thousands."""


class Numbers(nn.Module):
    """Some numbers as a condition: waves of each, then a perceptron."""

    def __init__(self, count: int, width: int, waves: int = 64) -> None:
        super().__init__()
        self.waves = waves
        self.perceptron = nn.Sequential(
            nn.Linear(count * waves, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, numbers: Tensor) -> Tensor:
        """(B, count) to (B, D)."""
        out: Tensor = self.perceptron(waves(numbers, self.waves).flatten(1))
        return out


class Captions(nn.Module):
    """What a text encoder gives as tokens and, their mean, as a condition.

    Where nothing is said, behind a caption's end or because it is not told, stands one learned
    token, so that no attention needs a mask.
    """

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Linear(text_width, width)
        self.silence = nn.Parameter(torch.randn(width) * 0.02)
        self.whole = nn.Linear(width, width)

    def forward(self, text: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, text_width) and (B, T) bool to (B, T, D) and (B, D)."""
        tokens = self.tokens(text)
        tokens = torch.where(said[..., None], tokens, self.silence.to(tokens.dtype))
        return tokens, self.whole(tokens.mean(1))


class Stem(nn.Module):
    """A map as tokens: convolutions of stride 2 down to the tokens' grid; nothing at first."""

    def __init__(self, stride: int, width: int) -> None:
        super().__init__()
        self.stride = stride
        halvings = int(log2(stride))
        sizes = [3] + [min(32 * 2**level, 128) for level in range(halvings + 1)]
        layers: list[nn.Module] = []
        for level in range(halvings + 1):
            down = 1 if level == halvings else 2
            layers += [nn.Conv2d(sizes[level], sizes[level + 1], 3, down, 1), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.out = closed(nn.Linear(sizes[-1], width))
        self.absent = nn.Parameter(torch.zeros(width))

    def forward(self, pixels: Tensor, told: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, 3, H, W), (B,) bool and the tokens' grid (h, w) to (B, h * w, D)."""
        size = (grid[0] * self.stride, grid[1] * self.stride)
        if pixels.shape[2:] != size:
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        tokens = self.out(self.convolutions(pixels).flatten(2).transpose(1, 2))
        return torch.where(told[:, None, None], tokens, self.absent.to(tokens.dtype))


def waves(numbers: Tensor, count: int, longest: float = 10_000.0) -> Tensor:
    """Numbers (...) as cosines and sines (..., count) of wave lengths from 2 pi to `longest`."""
    half = count // 2
    speeds = torch.exp(-log(longest) * torch.arange(half, device=numbers.device) / half)
    phases = numbers.float()[..., None] * speeds
    return torch.cat([phases.cos(), phases.sin()], dim=-1)
