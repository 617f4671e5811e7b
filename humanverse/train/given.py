"""What a network is told of a picture: caption, maps such as the pose's, original size and crop."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Given:
    """The conditions of B pictures, and which of them are told."""

    text: Tensor
    """(B, T) tokens of an encoder that is trained along, or (B, T, W) what an encoder gave."""
    said: Tensor
    """(B, T) bool, false where the caption has ended."""
    maps: Tensor
    """(B, K, 3, H, W), -1 to 1: the maps that the network reads, each a picture."""
    size: Tensor
    """(B, 6): height and width of the whole picture; top, left, height, width of the crop."""
    told: Tensor
    """(B, 2 + K) bool: whether caption, size and each map are told."""

    def none(self) -> Given:
        """The same with nothing told."""
        return replace(self, told=torch.zeros_like(self.told))

    def beside(self, other: Given) -> Given:
        """Both, one behind the other."""
        parts = (torch.cat([getattr(g, f.name) for g in (self, other)]) for f in fields(self))
        return Given(*parts)

    def to(self, device: torch.device) -> Given:
        """On a device."""
        return Given(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def __len__(self) -> int:
        return len(self.text)
