"""Whole-body pose by ViTPose and ViTPose++ (arXiv 2204.12484, 2212.04246), through transformers.

HyperHuman labelled its pictures with the largest of them. A folder in the library's own layout is
loaded, or a checkpoint of the authors'; cropping, batching and decoding are done here, on the
device. Code and published weights are under Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.keypoints import BODY, COUNT, FLIP
from humanverse.models import vitpose_weights
from humanverse.models.base import Image
from humanverse.models.crops import Window, cut, frames_of, placed, windows_of
from humanverse.models.heatmaps import decode_heatmaps, unmirrored_maps
from humanverse.models.hub_folder import check_folder, load_model, load_processor, normalisation
from humanverse.models.torched import Engine, How, normalised
from humanverse.models.weight_files import check_weights

if TYPE_CHECKING:
    import torch

EXPERTS: Final = {BODY.stop: 0, COUNT: 5}
"""ViTPose++'s expert by the number of keypoints: COCO is its first data set, COCO-WholeBody its
sixth."""


class VitPose:
    """Keypoints of each person by a ViTPose model: 133, or COCO's 17 and 116 of confidence 0."""

    def __init__(
        self, weights: Path, expert: int | None = None, flip: bool = False, how: How | None = None
    ) -> None:
        """Load a folder with `config.json`, `model.safetensors`, `preprocessor_config.json`, or a
        checkpoint of the authors'.

        `expert` is the data set whose expert looks, in a model that has several; None takes that
        of the number of keypoints. `flip` has each person looked at a second time, mirrored.

        Raises:
            UsageError: there is no such model in it.
        """
        check(weights)
        if weights.is_file():
            model, processor = vitpose_weights.load(weights)
        else:
            model = load_model(weights, "VitPoseForPoseEstimation")
            processor = load_processor(weights, "VitPoseImageProcessor")
        self._points: int = model.config.num_labels
        if self._points not in EXPERTS:
            raise UsageError(
                f"{weights} gives {self._points} keypoints, not {COUNT} or {BODY.stop}"
            )
        self._expert = _expert(model.config.backbone_config.num_experts, self._points, expert)
        self._shape: tuple[int, int] = (processor.size["width"], processor.size["height"])
        self._normal = normalisation(processor)
        self._flip = flip
        self._engine = Engine(model, how)

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """For boxes (n, 4) of each image, keypoints (n, 133, 3): x, y in pixels, confidence."""
        frames = [frames_of(one, self._shape) for one in boxes]
        windows = [
            window
            for image, frame in zip(images, frames, strict=True)
            for window in windows_of(image, frame, self._shape, unbiased=True)
        ]
        found = self._engine.in_batches(windows, self._step)
        return placed(found, frames)

    def _step(self, windows: Sequence[Window]) -> tuple[torch.Tensor, ...]:
        pixels = cut(self._engine, windows, self._shape, "cut")
        maps = self._looked_at(normalised(pixels, *self._normal))
        places, scores = decode_heatmaps(maps)
        # The centres of the outer cells lie on the frame's sides.
        cells = self._engine.upload(np.array(maps.shape[:1:-1], np.float32) - 1)
        return places / cells, scores

    def _looked_at(self, inputs: torch.Tensor) -> torch.Tensor:
        """Heat maps of one look, or the mean of two."""
        maps = self._maps(inputs)
        if not self._flip:
            return maps
        partners = self._engine.upload(FLIP[: self._points].copy())
        return (maps + unmirrored_maps(self._maps(inputs.flip(-1)), partners)) * 0.5

    def _maps(self, inputs: torch.Tensor) -> torch.Tensor:
        chosen = {}
        if self._expert is not None:
            chosen["dataset_index"] = self._engine.upload(np.full(len(inputs), self._expert))
        maps: torch.Tensor = self._engine(inputs, **chosen).heatmaps.float()
        return maps


def check(weights: Path | None) -> None:
    """Refuse a file or folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type.
    """
    if weights is not None and weights.is_file():
        check_weights(weights, "pose.model=vitpose")
    else:
        check_folder(weights, "pose.model=vitpose", ("vitpose",))


def _expert(experts: int, points: int, wanted: int | None) -> int | None:
    """Which expert looks; None in a model that has no choice of them.

    Raises:
        UsageError: it has none of that number.
    """
    if experts <= 1:
        return None
    chosen: Any = EXPERTS[points] if wanted is None else wanted
    if not 0 <= chosen < experts:
        raise UsageError(f"pose.expert={chosen}: this model has experts 0 to {experts - 1}")
    return int(chosen)
