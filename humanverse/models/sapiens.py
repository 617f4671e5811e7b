"""Normals of people by Sapiens2 (arXiv 2604.21681), through transformers.

It knows people; what it says of what surrounds them was hardly trained. The weights are under a
licence of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.axes import SAPIENS
from humanverse.models.base import Image
from humanverse.models.dense import DenseNetwork, Size
from humanverse.models.hub_folder import CONFIG, check_folder, load_model, load_processor, read_json
from humanverse.models.normal_maps import channels_last, unit
from humanverse.models.torched import How

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "Sapiens2ForNormalEstimation"


class SapiensNormals:
    """`NormalEstimator` out of a folder of the transformers library."""

    def __init__(self, folder: Path, how: How | None = None) -> None:
        """Load a folder with `config.json`, `model.safetensors`, `preprocessor_config.json`.

        Raises:
            UsageError: the folder holds no such model.
        """
        check(folder)
        self._processor = load_processor(folder, "Sapiens2ImageProcessor")
        self.network = DenseNetwork(
            load_model(folder, ARCHITECTURE), self._processor, self._restored, how=how
        )

    def estimate(
        self,
        images: Sequence[Image],
        boxes: Sequence[NDArray[np.float32]],  # noqa: ARG002  # the protocol's
    ) -> list[NDArray[np.float32]]:
        """One (H, W, 3) map of unit vectors an image; boxes are left aside."""
        return [channels_last(one) for one in self.network.maps(images)]

    def _restored(self, output: Any, sizes: list[Size]) -> Sequence[torch.Tensor]:
        output.normals = output.normals.float()
        sides = {"source_sizes": sizes} if self._processor.do_pad else {"target_sizes": sizes}
        found = self._processor.post_process_normal_estimation(output, **sides)
        return [unit(one["normals"], SAPIENS) for one in found]


def check(folder: Path | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type or task.
    """
    check_folder(folder, "normals.model=sapiens2", ("sapiens2",))
    assert folder is not None
    tasks = read_json(folder / CONFIG).get("architectures") or [ARCHITECTURE]
    if ARCHITECTURE not in tasks:
        raise UsageError(f"{folder} holds a {tasks[0]}; normals.model=sapiens2 takes normals")
