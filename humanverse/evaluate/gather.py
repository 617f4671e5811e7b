"""Features of a set's pictures, a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from humanverse.evaluate import cached
from humanverse.evaluate.cached import Gathered
from humanverse.evaluate.features import Extractor
from humanverse.evaluate.sets import PictureSet, seen
from humanverse.evaluate.statistics import Statistics

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Some pictures of a set, and how they are looked at."""

    pictures: PictureSet
    keys: tuple[str, ...]
    side: int
    batch: int = 64
    says: Callable[[str], None] = lambda _: None
    """Told of progress."""

    def identity(self) -> dict[str, Any]:
        """What decides which pixels there are."""
        keys = hashlib.sha256("\n".join(self.keys).encode()).hexdigest()
        return {
            "set": self.pictures.fingerprint(self.keys),
            "keys": keys,
            "count": len(self.keys),
            "side": self.side,
        }


def gathered(
    part: Part, extractor: Extractor, *, kept: bool, cache: Path | None = None
) -> Gathered:
    """Statistics of all features, and the features where they are `kept`.

    Memory does not grow with the pictures but for kept features: 4 bytes a number. With a `cache`
    folder, what lies there is read instead, and what does not is put there.

    Raises:
        DataError: a picture cannot be read, or a feature is not finite.
    """
    path = None
    if cache is not None:
        told = part.identity() | {"extractor": extractor.identity}
        path = cache / cached.name_of(told)
        known = cached.read(path, len(part.keys), extractor.width, kept)
        if known is not None:
            return known
    found = _looked_at(part, extractor, kept)
    if path is not None:
        cached.write(path, found)
    return found


def _looked_at(part: Part, extractor: Extractor, kept: bool) -> Gathered:
    statistics, features = Statistics.none(extractor.width), []
    for keys in batches(part.keys, part.batch):
        images = [seen(part.pictures, key, ("image",), part.side)["image"] for key in keys]
        new = extractor(images)
        statistics = statistics.and_of(new)
        if kept:
            features.append(new)
        part.says(f"{extractor.name}: {statistics.count} of {len(part.keys)}")
    return Gathered(statistics, np.concatenate(features) if kept else None)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Items, some at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
