"""The transformer block, and where tokens lie.

A block is DiT's (arXiv 2212.09748): layer norms without weights, modulated by the condition, each
path closed at first. Queries and keys are normalised (arXiv 2302.05442), and turned by where they
lie (arXiv 2104.09864, along both axes).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

BASE: Final = 100.0
"""Slowest turn over fastest: pictures are a hundred tokens wide, not ten thousand."""


class Block(nn.Module):
    """Attention and a perceptron, both modulated by the condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = closed(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor, turns: Tensor) -> Tensor:
        """Tokens (B, N, D), a condition (B, D), and how far each is turned (N, D / heads / 2)."""
        parts = self.modulation(functional.silu(condition))[:, None].chunk(6, dim=2)  # 6 (B, 1, D)
        shift, scale, gate = parts[:3]
        x = x + gate * self.attend(self.norm(x) * (1 + scale) + shift, turns)
        shift, scale, gate = parts[3:]
        out: Tensor = x + gate * self.perceptron(self.norm(x) * (1 + scale) + shift)
        return out

    def attend(self, x: Tensor, turns: Tensor) -> Tensor:
        """Attention of tokens (B, N, D) to each other."""
        parts = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind()  # (B, heads, N, D / heads)
        q, k = turned(self.query_norm(q), turns), turned(self.key_norm(k), turns)
        mixed = functional.scaled_dot_product_attention(q, k, v.to(q.dtype))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Head(nn.Module):
    """Tokens to the numbers of their patches; nothing at first."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = closed(nn.Linear(width, 2 * width))
        self.out = closed(nn.Linear(width, numbers))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, N, D) and (B, D) to (B, N, numbers)."""
        shift, scale = self.modulation(functional.silu(condition))[:, None].chunk(2, dim=2)
        out: Tensor = self.out(self.norm(x) * (1 + scale) + shift)
        return out


def closed(layer: nn.Linear) -> nn.Linear:
    """A layer that gives nothing until it has learned something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def places(height: int, width: int, across: float, device: torch.device | None = None) -> Tensor:
    """Where tokens of a grid lie, (height * width, 2), y and x, the longer side `across` long.

    A grid of twice as many tokens reaches as far, so a network reads a larger picture as a finer
    one.
    """
    unit = across / max(height, width)
    y = (torch.arange(height, device=device) + 0.5) * unit
    x = (torch.arange(width, device=device) + 0.5) * unit
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).reshape(-1, 2)


def angles(places: Tensor, numbers: int) -> Tensor:
    """How far the pairs of `numbers` are turned at places (N, 2): (N, numbers / 2) radians.

    Half of the pairs tell y, half x.
    """
    count = numbers // 4
    speeds = BASE ** -(torch.arange(count, device=places.device) / count)
    return (places[..., None] * speeds).flatten(1)


def turned(x: Tensor, by: Tensor) -> Tensor:
    """Pairs of numbers (B, heads, N, d), the first half with the second, turned by (N, d / 2)."""
    cos, sin = by.cos(), by.sin()
    one, other = x.float().chunk(2, dim=-1)
    return torch.cat([one * cos - other * sin, one * sin + other * cos], dim=-1).to(x.dtype)
