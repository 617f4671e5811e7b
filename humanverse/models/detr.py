"""People by RF-DETR (arXiv 2511.09554) or D-FINE (arXiv 2410.13842), through transformers.

Both find a fixed number of objects and need no suppression. Code and the published weights of
RF-DETR nano to large and of D-FINE are under Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Detections, Image
from humanverse.models.hub_folder import check_folder, load_model, load_processor
from humanverse.models.hub_pixels import prepared
from humanverse.models.torched import Engine, How

if TYPE_CHECKING:
    import torch

CLASSES: Final = {
    "rf_detr": "RfDetrForObjectDetection",
    "d_fine": "DFineForObjectDetection",
}
"""Model type of a config: the model in transformers."""
SETTINGS: Final = {"rfdetr": "rf_detr", "dfine": "d_fine"}
"""Name of a detector here: model type."""


class DetrDetector:
    """Finds people with RF-DETR or D-FINE."""

    def __init__(self, folder: Path, least: float = 0.05, how: How | None = None) -> None:
        """Load a folder with `config.json`, `model.safetensors`, `preprocessor_config.json`.

        `least` is the score above which a box is reported.

        Raises:
            UsageError: the folder holds no such model, or one that knows no people.
        """
        kind = check_folder(folder, "this detector", tuple(CLASSES))["model_type"]
        model = load_model(folder, CLASSES[kind])
        self._processor = load_processor(folder, "AutoImageProcessor")
        self._person = person_class(model.config.id2label, folder)
        if not (self._processor.do_resize and self._processor.size.get("height")):
            raise UsageError(f"{folder} resizes to no fixed height and width")
        self._least = least
        self._engine = Engine(model, how)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        found = self._engine.in_batches(images, self._step)
        return [self._reported(image, *row) for image, row in zip(images, found, strict=True)]

    def _step(self, images: Sequence[Image]) -> tuple[torch.Tensor, ...]:
        given = self._engine(self.inputs(images))
        return strongest(given.logits.float(), given.pred_boxes.float())

    def inputs(self, images: Sequence[Image]) -> torch.Tensor:
        """Images as the network's input (n, 3, height, width), by the folder's own processor."""
        return prepared(self._processor, self._engine, images)

    def _reported(
        self, image: Image, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]
    ) -> Detections:
        chosen = (classes == self._person) & (scores > self._least)
        height, width = image.shape[:2]
        sides = np.array([width, height, width, height], np.float32)
        return Detections(np.clip(boxes[chosen] * sides, 0, sides), scores[chosen])


def strongest(
    logits: torch.Tensor, boxes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The q strongest pairs of query and class: boxes (n, q, 4), xyxy, scores and classes (n, q).

    From logits (n, q, classes) and boxes (n, q, 4) as centre and size; all boxes in fractions
    of the image. A query may stand for two classes, and then another one for none.
    """
    import torch

    count, queries, classes = logits.shape
    scores, index = logits.sigmoid().reshape(count, -1).topk(queries, dim=1)
    chosen = boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4))
    centres, halves = chosen[..., :2], chosen[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], dim=-1), scores, index % classes


def person_class(names: dict[int, str], folder: Path) -> int:
    """The number of the class of people, by its name; the only class counts as people.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [number for number, name in names.items() if name.lower() == "person"]
    if len(names) == 1:
        found = list(names)
    if len(found) != 1:
        raise UsageError(f"{folder} names no class 'person' in the id2label of its config.json")
    return int(found[0])


def check(name: str, folder: Path | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type.
    """
    check_folder(folder, f"people.detector={name}", (SETTINGS[name],))
