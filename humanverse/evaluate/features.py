"""Networks that see pictures as features: the reference Inception, CLIP, and one for tests.

All reckon in fp32, on a GPU too: their numbers are compared with others' tables.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Image
from humanverse.models.clip import ClipImages, ClipTexts, check_images, check_texts
from humanverse.models.hub_folder import check_folder
from humanverse.models.torched import Engine, How, stacked
from humanverse.models.weight_files import load_weights
from humanverse.stage import weights_sha256

if TYPE_CHECKING:
    import torch

INCEPTION: Final = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256: Final = "6726825d"
"""How its hash begins."""
INCEPTION_FROM: Final = "the release v0.2.0 of toshas/torch-fidelity on GitHub"
INCEPTION_WIDTH: Final = 2048

RANDOM: Final = "random"
RANDOM_SEED: Final = 2
RANDOM_SIDE: Final = 64
RANDOM_CHANNELS: Final = (3, 16, 32, 64)


class Extractor(Protocol):
    """Turns pictures into features."""

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def identity(self) -> str:
        """Differs where the same picture has other features."""
        ...

    @property
    def width(self) -> int:
        """Numbers of a feature."""
        ...

    def __call__(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, width) of pictures of one size (side, side, 3)."""
        ...


@dataclass(frozen=True)
class Inception:
    """Inception of 2015 with TensorFlow's weights, as FID's authors used it (2,048 numbers).

    It resizes to 299 by itself, as TensorFlow 1 did: linear, without smoothing.
    """

    engine: Engine
    identity: str
    name: str = "Inception"
    width: int = INCEPTION_WIDTH

    def __call__(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, 2048)"""
        found = self.engine.in_batches(images, self._step)
        return np.array([row[0] for row in found], np.float32).reshape(-1, self.width)

    def _step(self, images: Sequence[Image]) -> tuple[torch.Tensor]:
        given = self.engine(self.engine.upload(stacked(images)).permute(0, 3, 1, 2))
        return (given[0],)


def check_inception(weights: Path | None, begins: str = INCEPTION_SHA256) -> str:
    """The hash of the reference's file, without loading it.

    Raises:
        UsageError: it is missing, or is another one; the message says where it comes from.
    """
    if find_spec("torch_fidelity") is None:
        raise UsageError("Inception needs the extra: pip install 'humanverse[evaluate]'")
    if weights is None:
        raise UsageError(f"--inception FILE is wanted: {INCEPTION}, from {INCEPTION_FROM}")
    if not weights.is_file():
        raise UsageError(f"there is no file {weights}: bring {INCEPTION}, from {INCEPTION_FROM}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(begins):
        raise UsageError(
            f"{weights} has the sha256 {found[:8]}..., and the reference's begins with {begins}: "
            f"bring {INCEPTION}, from {INCEPTION_FROM}"
        )
    return found


def inception(weights: Path | None, how: How, begins: str = INCEPTION_SHA256) -> Inception:
    """The reference's network with its weights.

    Raises:
        UsageError: as `check_inception`, or the file holds more than arrays.
    """
    import torch

    found = check_inception(weights, begins)
    assert weights is not None
    from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-untyped]
        FeatureExtractorInceptionV3,
    )

    # The library unpickles whatever it is given, so it is given what was read as arrays alone.
    arrays = io.BytesIO()
    torch.save(load_weights(weights), arrays)
    arrays.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception", [str(INCEPTION_WIDTH)], arrays)
    except RuntimeError as error:
        raise UsageError(f"{weights} does not hold Inception's weights") from error
    return Inception(Engine(network, replace(how, precision="fp32")), found)


class Clip:
    """Both towers of a CLIP out of a folder of transformers.

    Features are its projected embeddings, of lengths of their own, as in Kynkaanniemi et al.
    (arXiv 2203.06026), who took OpenAI's ViT-B/32.
    """

    def __init__(self, folder: Path, how: How) -> None:
        """Load it.

        Raises:
            UsageError: as `check_clip`.
        """
        self.identity = check_clip(folder)
        plain = replace(how, precision="fp32")
        self._images = ClipImages(folder, library="transformers", how=plain)
        self._texts = ClipTexts(folder, plain)
        self.name, self.width = f"CLIP {folder.resolve().name}", self._images.width

    def __call__(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, width)"""
        return self._images.projected(images)

    def texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(n, width), of length 1; what is longer than 77 tokens is cut."""
        return self._texts.embed(captions)


def check_clip(folder: Path | None) -> str:
    """The hash of a CLIP's folder, without loading it.

    Raises:
        UsageError: it is missing, or is no folder with both towers and a tokeniser.
    """
    if folder is None:
        raise UsageError(
            "--clip FOLDER is wanted: a CLIP as transformers saves it, such as "
            "openai/clip-vit-base-patch32 of the hub"
        )
    check_folder(folder, "--clip", ("clip",))
    check_images(folder)
    check_texts(folder)
    return weights_sha256(folder)


@dataclass(frozen=True)
class Random:
    """Convolutions that learned nothing. FID and KID by them compare with nothing: for tests."""

    engine: Engine
    name: str = "RANDOM"
    identity: str = "random convolutions 1"
    width: int = 2 * RANDOM_CHANNELS[-1]

    def __call__(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, 128): means and spreads over the picture."""
        found = self.engine.in_batches(images, self._step)
        return np.array([row[0] for row in found], np.float32).reshape(-1, self.width)

    def _step(self, images: Sequence[Image]) -> tuple[torch.Tensor]:
        size = (RANDOM_SIDE, RANDOM_SIDE)
        small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
        shown = self.engine.upload(np.stack(small).astype(np.float32)).permute(0, 3, 1, 2)
        seen = self.engine(shown / 127.5 - 1).flatten(2)
        import torch

        return (torch.cat([seen.mean(2), seen.std(2)], 1),)


def random_features(how: How) -> Random:
    """The network for tests: the same everywhere."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(RANDOM_SEED)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(RANDOM_CHANNELS):
        layer = nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False)
        nn.init.orthogonal_(layer.weight, 2**0.5, generator=generator)
        layers += [layer, nn.ReLU()]
    return Random(Engine(nn.Sequential(*layers), replace(how, precision="fp32")))
