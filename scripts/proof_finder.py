"""A small network that finds the 17 body points of a rendered figure again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

POINTS = 17
SIDE = 32
"""Of its heat maps."""


class Finder(nn.Module):
    """Pictures of 64 x 64 to heat maps of 32 x 32, whose means are the points."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _twice(3, 24, 2)
        self.second = _twice(24, 48, 2)
        self.third = _twice(48, 96, 2)
        self.up = _twice(96 + 48, 48, 1)
        self.last = _twice(48 + 24, 48, 1)
        self.maps = nn.Conv2d(48, POINTS, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, 64, 64) in [-1, 1] to (B, 17, 2): x and y in pixels."""
        one = self.first(pixels)  # (B, 24, 32, 32)
        two = self.second(one)
        three = self.third(two)
        x = self.up(torch.cat([functional.interpolate(three, scale_factor=2), two], 1))
        x = self.last(torch.cat([functional.interpolate(x, scale_factor=2), one], 1))
        weights = self.maps(x).flatten(2).softmax(2).unflatten(2, (SIDE, SIDE))
        places = (torch.arange(SIDE) + 0.5) * (64 / SIDE)
        return torch.stack([(weights.sum(2) * places).sum(2), (weights.sum(3) * places).sum(2)], 2)


def taught(images: np.ndarray, points: np.ndarray, steps: int, seed: int = 0) -> Finder:
    """Learn from pictures (N, 64, 64, 3) uint8 and points (N, 17, 3), x, y and confidence."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    finder = Finder()
    optimizer = torch.optim.AdamW(finder.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        rows = rng.integers(0, len(images), 32)
        truth = torch.from_numpy(points[rows])
        pixels = disturbed(torch.from_numpy(images[rows]).permute(0, 3, 1, 2) / 127.5 - 1)
        away = (finder(pixels) - truth[..., :2]).abs().sum(2)
        loss = (away * (truth[..., 2] > 0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return finder.eval()


def disturbed(pixels: Tensor) -> Tensor:
    """Grain, blur and blocks, since samples are less clean than renders."""
    kind = torch.rand(len(pixels), 1, 1, 1)
    coarse = functional.avg_pool2d(pixels, 2)
    coarse = functional.interpolate(coarse, scale_factor=2, mode="bilinear")
    pixels = torch.where(kind < 0.3, coarse, pixels)
    return pixels + torch.randn_like(pixels) * torch.rand(len(pixels), 1, 1, 1) * 0.15


@torch.no_grad()
def away(finder: Finder, pixels: Tensor, points: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(N,): how far found points are from those meant, mean over the joints in the picture, in
    heights of the figure. Pixels (N, 3, 64, 64), points (N, 17, 3), heights (N,) in pixels.
    """
    found = torch.cat([finder(part) for part in pixels.split(64)]).numpy()
    distance = np.linalg.norm(found - points[..., :2], axis=2)
    seen = points[..., 2] > 0
    return (distance * seen).sum(1) / seen.sum(1) / heights


def _twice(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.GroupNorm(4, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1),
        nn.GroupNorm(4, outputs),
        nn.SiLU(),
    )
