"""Depth by networks of the transformers library: DPT, Depth Anything, ZoeDepth, Depth Pro.

DPT is arXiv 2103.13413 (MiDaS' weights are of it), Depth Anything V2 is 2406.09414, ZoeDepth
2302.12288, Depth Pro 2410.02073. What their numbers mean is read from the config where it stands
there, and is never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import DepthKind, Image
from humanverse.models.dense import DenseNetwork, Size
from humanverse.models.hub_folder import (
    PREPROCESSOR,
    check_folder,
    load_model,
    load_processor,
    read_json,
)
from humanverse.models.torched import How

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Family:
    """What a model type is called in transformers, and what its processor takes."""

    model: str
    kind: DepthKind | None = None
    """What all of its checkpoints give; None where they differ."""
    least: int = 1
    """Pixels of the shortest side that its processor takes."""


FAMILIES: Final = {
    "dpt": Family("DPTForDepthEstimation"),
    "depth_anything": Family("DepthAnythingForDepthEstimation"),
    # Its reflected margin is wider than a picture of fewer than 5 pixels.
    "zoedepth": Family("ZoeDepthForDepthEstimation", "metric", least=5),
    "depth_pro": Family("DepthProForDepthEstimation", "metric"),
}
"""By the model type of a config, which is also the name of the setting."""

DEPTH_ANYTHING: Final[dict[str, DepthKind]] = {"relative": "disparity", "metric": "metric"}
"""`depth_estimation_type` decides the head; what the library calls relative is inverse depth."""


class HubDepth:
    """`DepthEstimator` out of a folder of the transformers library."""

    kind: DepthKind

    def __init__(self, folder: Path, kind: DepthKind | None = None, how: How | None = None) -> None:
        """Load a folder with `config.json`, `model.safetensors`, `preprocessor_config.json`.

        `kind` is what the numbers mean, for checkpoints whose config does not tell.

        Raises:
            UsageError: the folder holds no such model, or its kind is neither known nor told.
        """
        config = check_folder(folder, "this depth.model", tuple(FAMILIES))
        self.folder, self.kind = folder, kind_of(config, folder, kind)
        _refuse_oblongs(config, folder)
        family = FAMILIES[config["model_type"]]
        model = load_model(folder, family.model)
        self._processor = load_processor(folder, "AutoImageProcessor")
        self.network = DenseNetwork(model, self._processor, self._restored, how, family.least)

    def estimate(
        self,
        images: Sequence[Image],
        boxes: Sequence[NDArray[np.float32]],  # noqa: ARG002  # the protocol's
    ) -> list[NDArray[np.float32]]:
        """One (H, W) map an image, in the unit that `kind` tells; boxes are left aside."""
        return self.network.maps(images)

    def _restored(self, output: Any, sizes: list[Size]) -> Sequence[torch.Tensor]:
        output.predicted_depth = output.predicted_depth.float()
        found = self._processor.post_process_depth_estimation(output, sizes)
        # It drops the sides of pictures that are one pixel wide.
        return [one["predicted_depth"].reshape(s) for one, s in zip(found, sizes, strict=True)]


def kind_of(config: dict[str, Any], folder: Path, told: DepthKind | None) -> DepthKind:
    """What a checkpoint's numbers mean, by its config or else by its user.

    Raises:
        UsageError: the config does not say and nobody else did, or the two differ.
    """
    known = FAMILIES[config["model_type"]].kind
    if config["model_type"] == "depth_anything":
        # Folders of before this field are of the first kind: that is the head they load with.
        known = DEPTH_ANYTHING.get(config.get("depth_estimation_type", "relative"))
    if known is not None and told not in (None, known):
        raise UsageError(f"depth.kind={told}: {folder} gives {known}, by its config")
    if known is None and told is None:
        raise UsageError(
            f"the config of {folder} does not say what it gives: set depth.kind to disparity "
            "(MiDaS), relative, or metric (tuned on NYU or KITTI)"
        )
    kind = known or told
    assert kind is not None
    return kind


def _refuse_oblongs(config: dict[str, Any], folder: Path) -> None:
    """A DPT with a trunk of its own takes the square it was made for and nothing else."""
    own = config["model_type"] == "dpt" and (config.get("is_hybrid") or not _has_backbone(config))
    if own and read_json(folder / PREPROCESSOR).get("keep_aspect_ratio"):
        raise UsageError(
            f"{folder / PREPROCESSOR} keeps the aspect, and this DPT takes squares alone: "
            "set keep_aspect_ratio to false in it"
        )


def _has_backbone(config: dict[str, Any]) -> bool:
    return bool(config.get("backbone_config") or config.get("backbone"))


def check(name: str, folder: Path | None, kind: DepthKind | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, the model is of another type, or its kind is
            neither known nor told.
    """
    config = check_folder(folder, f"depth.model={name}", (name,))
    assert folder is not None
    kind_of(config, folder, kind)
    _refuse_oblongs(config, folder)
