"""Pictures as CLIP is shown them: the shorter side to some 224 pixels, of that the middle square.

Bytes go up to the device as they are, and are resized and normalised there. After resizing they are
rounded to bytes again, as everybody does whose networks were so taught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from humanverse.models.base import Image
from humanverse.models.hub_pixels import prepared
from humanverse.models.torched import Engine, normalised

if TYPE_CHECKING:
    import torch

    Prepare = Callable[[Engine, Sequence[Image]], torch.Tensor]
    """Images (H, W, 3) of any sizes as a network's input (n, 3, side, side), on its device."""

NARROW: Final = 64
"""How many times as long as the other a side may be. Of what is longer the middle is shown, and the
rest would not be seen: it is only kept from filling the memory."""


def by_processor(processor: Any) -> Prepare:
    """As a checkpoint's own image processor of transformers does it."""

    def prepare(engine: Engine, images: Sequence[Image]) -> torch.Tensor:
        return prepared(processor, engine, [trimmed(image) for image in images])

    return prepare


def by_timm(config: dict[str, Any]) -> Prepare:
    """As timm's transform for evaluation does it, from a data config of timm's.

    timm resizes with Pillow, this with torch: a byte may differ by one.
    """
    side = int(config["input_size"][-1])
    shorter = int(side / config["crop_pct"])
    mean, deviation = ([255 * value for value in config[name]] for name in ("mean", "std"))

    def prepare(engine: Engine, images: Sequence[Image]) -> torch.Tensor:
        import torch

        squares = [_middle(_uploaded(engine, image), shorter, side) for image in images]
        return normalised(torch.stack(squares).permute(0, 2, 3, 1), mean, deviation)

    return prepare


def _uploaded(engine: Engine, image: Image) -> torch.Tensor:
    """An image as (3, H, W) bytes on the device, without what lies far from its middle."""
    return engine.upload(np.ascontiguousarray(trimmed(image))).permute(2, 0, 1)


def trimmed(image: Image) -> Image:
    """An image (H, W, 3), or the middle of one that is too long."""
    height, width = image.shape[:2]
    most = NARROW * min(height, width)
    top, left = (max(0, (length - most) // 2) for length in (height, width))
    return image[top : height - top, left : width - left]


def _middle(pixels: torch.Tensor, shorter: int, side: int) -> torch.Tensor:
    """Bytes (3, H, W) with their shorter side resized, of that the middle (3, side, side)."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    resized = functional.resize(
        pixels, [shorter], interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    square: torch.Tensor = functional.center_crop(resized, [side, side])
    return square
