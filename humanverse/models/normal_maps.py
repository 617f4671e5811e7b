"""What adapters of normals share: unit vectors in our axes, channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from humanverse.models.axes import Axes

if TYPE_CHECKING:
    import torch

SHORT = 1e-6
"""Length below which a vector has no direction: it faces the viewer."""


def unit(vectors: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Vectors (3, H, W) of a source with such axes as unit vectors of ours."""
    ours = vectors * vectors.new_tensor(axes)[:, None, None]
    # On a CPU `norm` over the first of three dimensions takes thirty times as long.
    length = ours.square().sum(dim=0, keepdim=True).sqrt()
    pointed = length > SHORT
    ours.mul_(pointed / length.clamp_min(SHORT))
    ours[2].add_(~pointed[0])
    return ours


def channels_last(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, H, W) as (H, W, 3)."""
    return np.ascontiguousarray(normals.transpose(1, 2, 0))
