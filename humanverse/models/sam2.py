"""Masks of people by SAM 2 (arXiv 2408.00714), through transformers, prompted with their boxes.

Code and the published weights, 2 and 2.1, tiny to large, are under Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Image, Owners
from humanverse.models.hub_folder import check_folder, load_model, load_processor
from humanverse.models.hub_pixels import prepared
from humanverse.models.owners import laid_over
from humanverse.models.torched import Engine, How

if TYPE_CHECKING:
    import torch

KINDS: Final = ("sam2", "sam2_video")
"""Model types of a config. Published folders are of the second: the same network, and a memory."""
PROMPTS: Final = 16
"""Most boxes of one pass of the decoder, whose maps take 16 MB a box."""

Asked = tuple[Image, NDArray[np.float32]]
"""An image and the boxes of its people (n, 4), at least one."""


class Sam2Segmenter:
    """Finds people's pixels with SAM 2.

    It is asked for one mask a box, as its authors advise for boxes, which leave little open. Where
    that one is not stable, the network takes the best of its three others.
    """

    def __init__(self, folder: Path, how: How | None = None) -> None:
        """Load a folder with `config.json`, `model.safetensors`, `preprocessor_config.json`.

        Raises:
            UsageError: the folder holds no such model.
        """
        check(folder)
        model = load_model(folder, "Sam2Model")
        self._processor = load_processor(folder, "Sam2ImageProcessor")
        size = self._processor.size
        if not (self._processor.do_resize and size.get("height") and size.get("width")):
            raise UsageError(f"{folder} resizes to no fixed height and width")
        self._size: tuple[int, int] = (size["height"], size["width"])
        self._engine = Engine(_prompted(model), how)

    def segment(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Owners]:
        """For boxes (n, 4) of each image, best first, whose pixel each of its pixels is."""
        pairs = list(zip(images, boxes, strict=True))
        asked = [pair for pair in pairs if len(pair[1])]
        found = iter(self._engine.in_batches(asked, self._step))
        return [
            laid_over(
                (image.shape[0], image.shape[1]),
                _masks(image, next(found)[0]) if len(people) else (),
            )
            for image, people in pairs
        ]

    def _step(self, asked: Sequence[Asked]) -> tuple[list[torch.Tensor]]:
        pixels = self.inputs([image for image, _ in asked])
        prompts = [self._engine.upload(self.prompts(*pair)) for pair in asked]
        return (self._engine(pixels, prompts=prompts),)

    def inputs(self, images: Sequence[Image]) -> torch.Tensor:
        """Images as the network's input (n, 3, height, width), by the folder's own processor."""
        return prepared(self._processor, self._engine, images)

    def prompts(self, image: Image, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4) in pixels of the network's input."""
        height, width = image.shape[:2]
        scale = np.array([self._size[1] / width, self._size[0] / height], np.float32)
        return np.asarray(boxes * np.tile(scale, 2), np.float32)


def _prompted(model: Any) -> torch.nn.Module:
    """A model as a network from pictures and a list of prompts (n, 4) to a list of logits."""
    import torch

    class Prompted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, pixels: torch.Tensor, prompts: Sequence[torch.Tensor]
        ) -> list[torch.Tensor]:
            seen = self.model.get_image_embeddings(pixels)
            return [
                torch.cat(
                    [self._of(seen, row, some) for some in torch.split(boxes, PROMPTS)]
                ).float()
                for row, boxes in enumerate(prompts)
            ]

        def _of(self, seen: Any, row: int, boxes: torch.Tensor) -> torch.Tensor:
            given = self.model(
                image_embeddings=[level[row : row + 1] for level in seen],
                input_boxes=boxes[None],
                multimask_output=False,
            )
            logits: torch.Tensor = given.pred_masks[0, :, 0]
            return logits

    return Prompted()


def _masks(image: Image, logits: NDArray[np.float32]) -> Iterator[NDArray[np.bool_]]:
    """Where logits (n, h, w) are positive, at the image's size."""
    height, width = image.shape[:2]
    for one in logits:
        yield cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) > 0


def check(folder: Path | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type.
    """
    check_folder(folder, "people.segmenter=sam2", KINDS)
