"""What measures the quality of pictures: CLIP and the heads that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import ImageEmbedder, TextEmbedder
from humanverse.models.clip import (
    TOWER,
    ClipImages,
    ClipTexts,
    Library,
    check_images,
    check_texts,
)
from humanverse.models.heads import Head, aesthetic_head, nsfw_head
from humanverse.models.store import weight_path
from humanverse.models.torched import How

Aesthetic = Literal["v2", "v1", "table"]

LISTED: Final = {
    ("v2", 768): "aesthetic/v2_l14",
    ("v1", 768): "aesthetic/v1_l14",
    ("v1", 512): "aesthetic/v1_b32",
}
"""LAION's heads in the store, by the width of the embeddings they take."""

Scores = NDArray[np.float32]
"""(n,), NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """CLIP and its heads, as a recipe names them."""

    clip: Path | None = None
    library: Library = "timm"
    tower: str = TOWER
    aesthetic: Aesthetic = "v2"
    aesthetic_head: Path | None = None
    nsfw_head: Path | None = None
    embedding: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of n pictures; None for what this choice does not measure."""

    aesthetic: Scores | None
    nsfw: Scores | None
    similarity: Scores | None


@dataclass(frozen=True, slots=True)
class Scorer:
    """CLIP and its heads, loaded."""

    images: ImageEmbedder
    texts: TextEmbedder | None
    aesthetic: Head | None
    nsfw: Head | None

    def measure(self, embeddings: NDArray[np.float32], captions: Sequence[str | None]) -> Measured:
        """The scores of pictures with these embeddings (n, width) and captions.

        One without a caption has no similarity to it.
        """
        return Measured(
            self.aesthetic(embeddings) if self.aesthetic else None,
            self.nsfw(embeddings) if self.nsfw else None,
            self._alike(embeddings, captions) if self.texts else None,
        )

    def _alike(self, found: NDArray[np.float32], captions: Sequence[str | None]) -> Scores:
        assert self.texts is not None
        have = [at for at, caption in enumerate(captions) if caption and caption.strip()]
        out = np.full(len(captions), np.nan, np.float32)
        out[have] = (found[have] * self.texts.embed([captions[at] or "" for at in have])).sum(-1)
        return out


def check_scorer(choice: Choice) -> None:
    """Refuse what cannot work, before anything is written; a tower is not loaded.

    Raises:
        UsageError: a file or a package is missing, a head is for another tower, or a setting is
            of no use.
    """
    if choice.clip is None:
        _refuse_alone(choice)
        return
    check_images(choice.clip, choice.tower)
    if choice.clip.is_dir():
        check_texts(choice.clip)
    elif choice.library != "timm":
        raise UsageError(f"quality.library={choice.library} takes a folder: {choice.clip} is none")
    _heads(choice)


def make_scorer(choice: Choice, how: How) -> Scorer | None:
    """CLIP and its heads with their weights loaded; None where no CLIP is at hand.

    Raises:
        UsageError: as `check_scorer`, or the weights are others.
    """
    check_scorer(choice)
    if choice.clip is None:
        return None
    images = ClipImages(choice.clip, choice.tower, choice.library, how)
    texts = ClipTexts(choice.clip, how) if choice.clip.is_dir() else None
    return Scorer(images, texts, *_heads(choice))


def _heads(choice: Choice) -> tuple[Head | None, Head | None]:
    """The heads for aesthetics and for what is not safe, each fit for the tower.

    Raises:
        UsageError: one is for embeddings of another width.
    """
    assert choice.clip is not None
    width = check_images(choice.clip, choice.tower)
    aesthetic = nsfw = None
    if choice.aesthetic != "table" or choice.aesthetic_head:
        file = choice.aesthetic_head or _listed(choice.aesthetic, width)
        aesthetic = _fit(aesthetic_head(file), width, "aesthetic_head", file)
    if choice.nsfw_head:
        nsfw = _fit(nsfw_head(choice.nsfw_head), width, "nsfw_head", choice.nsfw_head)
    return aesthetic, nsfw


def _listed(version: str, width: int) -> Path:
    if (version, width) not in LISTED:
        raise UsageError(
            f"LAION has no aesthetic head {version} for embeddings of {width} numbers: give "
            "quality.aesthetic_head, or quality.aesthetic=table"
        )
    return weight_path(LISTED[version, width])


def _fit(head: Head, width: int, setting: str, file: Any) -> Head:
    if head.width != width:
        raise UsageError(
            f"quality.{setting} takes embeddings of {head.width} numbers, quality.clip gives "
            f"{width}: {file} is for another tower"
        )
    return head


def _refuse_alone(choice: Choice) -> None:
    """Refuse settings that mean nothing without CLIP: somebody forgot it."""
    for name in ("aesthetic_head", "nsfw_head", "embedding"):
        if getattr(choice, name):
            raise UsageError(f"quality.{name} needs quality.clip: a file or folder with CLIP")
