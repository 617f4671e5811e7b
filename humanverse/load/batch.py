"""Samples as a batch: arrays side by side, as NumPy's or as torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from humanverse.errors import UsageError
from humanverse.load.view import Sample

Batch = dict[str, Any]
Tensors = Literal["numpy", "torch"]
PICTURES = ("image", "normals", "pose_map")
"""Columns whose last axis is one of channels."""


def collated(samples: Sequence[Sample]) -> Batch:
    """Samples as a batch: arrays of one shape are stacked, all else stands in lists.

    A column that only some samples have is null for the others. People differ in number, so `poses`
    is a list, unless every sample shows one.
    """
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: _together([sample.get(name) for sample in samples]) for name in names}


def as_torch(batch: Batch, pin: bool) -> Batch:
    """The same with tensors for arrays, and channels before rows: (n, 3, H, W).

    Pictures keep the order in memory that they have, which is torch's `channels_last`. Pinned ones
    can be sent to a GPU beside other work.

    Raises:
        UsageError: there is no torch.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError("tensors='torch' needs torch: pip install 'humanverse[train]'") from error

    def tensor(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [tensor(name, inner) for inner in value]
        if not isinstance(value, np.ndarray):
            return value
        made = torch.from_numpy(value)
        made = made.pin_memory() if pin else made
        return made.movedim(-1, -3) if name in PICTURES else made

    return {name: tensor(name, value) for name, value in batch.items()}


def _together(values: list[Any]) -> Any:
    if values and all(isinstance(value, np.ndarray) for value in values):
        first = values[0]
        if all(v.shape == first.shape and v.dtype == first.dtype for v in values):
            return np.stack(values)
    return values
