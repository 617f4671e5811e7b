"""Networks of the transformers library that answer a picture with a map of its pixels, in batches.

A checkpoint's own image processor prepares pictures, on the device, and its own code puts answers
back to the picture's size. Most processors keep the aspect, so pictures of one size may share a
forward pass and others may not: the processor is asked beforehand, without pixels, what it makes
of a size, and pictures are sorted by that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image
from humanverse.models.hub_pixels import pixel_values, prepared
from humanverse.models.torched import Engine, How

if TYPE_CHECKING:
    import torch

Size = tuple[int, int]
"""Height and width."""


ANY: Final = 1_000_000
"""A bound that bounds nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Pictures beyond which a processor fails, so that they are stretched before it sees them."""

    least: int = 1
    """Pixels of a side."""
    narrow: int = ANY
    """How many times as long as the other a side may be."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A picture, and the size of what the network is given of it."""

    image: Image
    given: Size


class DenseNetwork:
    """A network, its processor, and how its answers are put back."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        restore: Callable[[Any, list[Size]], Sequence[torch.Tensor]],
        how: How | None = None,
        least: int = 1,
    ) -> None:
        """`restore` makes of an output, and the sizes of n pictures, n maps of those sizes.

        `least` is the shortest side that the processor can take, in pixels.
        """
        self._processor, self._restore = processor, restore
        self.bounds = Bounds(least, narrowest(processor))
        self._engine = Engine(model, how)

    def maps(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """One map an image, as `restore` gives it."""
        given: dict[Size, Size] = {}
        items = []
        for image in images:
            bearable = stretched(image, self.bounds)
            size = _size(bearable)
            if size not in given:
                given[size] = self._given(size)
            items.append(_Item(bearable, given[size]))
        order = sorted(range(len(items)), key=lambda i: items[i].given)
        found = self._engine.in_batches([items[i] for i in order], self._step)
        placed = dict(zip(order, (row[0] for row in found), strict=True))
        return [picked(placed[i], _size(image)) for i, image in enumerate(images)]

    def inputs(self, images: Sequence[Image]) -> torch.Tensor:
        """Images of which the network is given one size, as its input (n, 3, height, width)."""
        return prepared(self._processor, self._engine, images)

    def _step(self, items: Sequence[_Item]) -> tuple[list[torch.Tensor]]:
        groups = (list(group) for _, group in groupby(items, key=lambda item: item.given))
        return ([one for group in groups for one in self._of_one_shape(group)],)

    def _of_one_shape(self, items: list[_Item]) -> Sequence[torch.Tensor]:
        output = self._engine(self.inputs([item.image for item in items]))
        return self._restore(output, [_size(item.image) for item in items])

    def _given(self, size: Size) -> Size:
        """Height and width that the processor makes of a picture's, asked on no device at all."""
        import torch

        hollow = torch.empty(3, *size, dtype=torch.uint8, device="meta")
        height, width = pixel_values(self._processor, [hollow]).shape[-2:]
        return int(height), int(width)


def narrowest(processor: Any) -> int:
    """How many times as long as the other a side may be for a processor to leave some of it."""
    shorter = min(processor.size["height"], processor.size["width"])
    if getattr(processor, "keep_aspect_ratio", False):
        # Half a multiple is rounded to none.
        return max(1, int(2 * shorter / (processor.ensure_multiple_of or 1)) - 1)
    return int(shorter) if getattr(processor, "do_pad", False) else ANY


def stretched(image: Image, bounds: Bounds) -> Image:
    """An image (H, W, 3) within bounds: itself, or with its pixels repeated along short sides."""
    height, width = _size(image)
    least = max(bounds.least, -(-max(height, width) // bounds.narrow))
    if min(height, width) >= least:
        return image
    size = (max(width, least), max(height, least))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def picked(found: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """A map (..., H, W) of a stretched picture at the picture's own size."""
    if found.shape[-2:] == size:
        return found
    rows, columns = (
        ((np.arange(wanted) + 0.5) * have / wanted).astype(int)
        for wanted, have in zip(size, found.shape[-2:], strict=True)
    )
    return np.ascontiguousarray(found[..., rows[:, None], columns])


def _size(image: Image) -> Size:
    return image.shape[0], image.shape[1]
