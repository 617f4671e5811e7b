"""KID on the features of a fixed network with random weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

SUBSETS, OF = 100, 128


def features(pixels: Tensor) -> np.ndarray:
    """Pictures (N, 3, H, W) in [-1, 1] as (N, 512): means and spreads of random convolutions."""
    generator = torch.Generator().manual_seed(2)
    sizes, x, out = (3, 64, 128, 128), pixels, []
    with torch.no_grad():
        for inputs, outputs in pairwise(sizes):
            weight = torch.empty(outputs, inputs, 5, 5)
            nn.init.orthogonal_(weight, 2**0.5, generator=generator)
            x = torch.relu(nn.functional.conv2d(x, weight, stride=2, padding=2))
            x = x / x.square().mean().sqrt()
        for x_part in (x.mean((2, 3)), x.std((2, 3)), *_quarters(x)):
            out.append(x_part)
    return torch.cat(out, 1).double().numpy()


def kid(one: np.ndarray, other: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Its mean over subsets, and the standard deviation of that mean (Binkowski 2018)."""
    rng = np.random.default_rng(seed)
    # As Inception's features are taken: each divided by the spread among the real ones.
    spread = other.std(0) + 1e-9
    one, other = one / spread, other / spread
    values = []
    for _ in range(SUBSETS):
        x, y = (part[rng.choice(len(part), OF, replace=False)] for part in (one, other))
        xx, yy, xy = (_kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
        off = OF * (OF - 1)
        same = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / off
        values.append(same - 2 * xy.mean())
    return float(np.mean(values)), float(np.std(values) / len(values) ** 0.5)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _quarters(x: Tensor) -> list[Tensor]:
    """Means of the upper and the lower half, since a person has a head and feet."""
    half = x.shape[2] // 2
    return [x[:, :, :half].mean((2, 3)), x[:, :, half:].mean((2, 3))]
