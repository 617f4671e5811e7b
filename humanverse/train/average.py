"""A running mean of the weights, which samples better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The mean of a network's weights, of the last steps more than of the first (EMA)."""

    def __init__(self, network: nn.Module, keep: float) -> None:
        self.keep = keep
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 1; early steps forget faster."""
        keep = min(self.keep, step / (step + 10))
        for name, weight in network.named_parameters():
            self.weights[name].lerp_(weight, 1 - keep)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over other weights."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """For a while the network has the mean weights."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    @torch.no_grad()
    def _swap(self, network: nn.Module) -> None:
        for name, weight in network.named_parameters():
            mean = self.weights[name]
            kept = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(kept)
