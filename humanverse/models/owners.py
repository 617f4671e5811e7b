"""Masks of people laid over one picture: a pixel is one person's, or nobody's.

So the pixels of any number of people add up to those of their union, and a picture's masks take two
bytes a pixel, however many people it shows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Owners


def laid_over(shape: tuple[int, int], masks: Iterable[NDArray[np.bool_]]) -> Owners:
    """Whose each pixel of a picture (H, W) is, from masks (H, W), the first of them on top."""
    owners = np.zeros(shape, np.uint16)
    for number, mask in enumerate(masks, start=1):
        owners[mask & (owners == 0)] = number
    return owners


def shares(owners: Owners, people: int) -> NDArray[np.float32]:
    """The share of the picture that each of so many people has, (people,)."""
    pixels = np.bincount(owners.ravel(), minlength=people + 1)[1 : people + 1]
    return (pixels / owners.size).astype(np.float32)
