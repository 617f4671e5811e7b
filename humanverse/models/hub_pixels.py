"""What networks of the transformers library are given of pictures, by their own processors.

These work on the device: which of resizing and rescaling comes first differs from one checkpoint to
the next, and rounding between them would be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from humanverse.models.base import Image
from humanverse.models.torched import Engine

if TYPE_CHECKING:
    import torch


def prepared(processor: Any, engine: Engine, images: Sequence[Image]) -> torch.Tensor:
    """Images (H, W, 3) as a network's input (n, 3, height, width), on its device.

    They must come out at one size.
    """
    uploaded = [engine.upload(np.ascontiguousarray(image)) for image in images]
    return pixel_values(processor, [image.permute(2, 0, 1) for image in uploaded])


def pixel_values(processor: Any, images: Sequence[torch.Tensor]) -> torch.Tensor:
    """The same of tensors (3, H, W) where they are; of hollow ones its shape alone."""
    pixels: torch.Tensor = processor(
        list(images),
        device=images[0].device,
        input_data_format="channels_first",
        return_tensors="pt",
    )["pixel_values"]
    return pixels
