"""The two sets: each a packed root, or a folder of pictures with what lies beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

import humanverse
from humanverse.codec import decode_depth, decode_normals
from humanverse.errors import DataError, UsageError
from humanverse.evaluate.choose import chosen
from humanverse.load.dataset import Dataset
from humanverse.load.view import Sample, largest

PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp")
BESIDE: Final = (".depth", ".normal", ".refined")
"""What the name of a file that is no picture of the set ends with, before `.png`."""
OVERVIEW: Final = "grid"
"""`humanverse sample` writes one beside its samples."""


class PictureSet(Protocol):
    """Pictures by key."""

    @property
    def place(self) -> str:
        """The folder or address, as it was told."""
        ...

    def keys(self) -> list[str]:
        """Of all pictures."""
        ...

    def fingerprint(self, keys: Sequence[str]) -> str:
        """Differs between sets whose pictures under these keys may differ."""
        ...

    def sample(self, key: str, columns: Iterable[str]) -> Sample:
        """What a dataset's sample is, of those of the columns that there are.

        Raises:
            DataError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Chosen:
    """Which pictures of the two sets are measured."""

    real: tuple[str, ...]
    made: tuple[str, ...]
    paired: bool
    """Whether they are the same keys."""


class Root:
    """A packed root."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._dataset = humanverse.open(place, ["image"])
        self._holding: dict[tuple[str, ...], Dataset] = {}

    def keys(self) -> list[str]:
        """Of all samples."""
        keys: list[str] = self._dataset.to_table(["key"])["key"].to_pylist()
        return keys

    def fingerprint(self, keys: Sequence[str]) -> str:  # noqa: ARG002 - the index tells it
        """That of the index, in which each member's checksum stands."""
        return f"root {self._dataset.fingerprint()}"

    def sample(self, key: str, columns: Iterable[str]) -> Sample:
        """As the dataset has it."""
        wanted = tuple(columns)
        if wanted not in self._holding:
            self._holding[wanted] = self._dataset.only(wanted)
        return self._holding[wanted][key]


class Folder:
    """Pictures of a folder, and what `humanverse sample` writes beside them."""

    def __init__(self, place: str) -> None:
        """List a folder.

        Raises:
            UsageError: it holds no pictures, or two of one name.
        """
        self.place = place
        self._files: dict[str, Path] = {}
        self._known: dict[tuple[str, ...], str] = {}
        for path in sorted(Path(place).iterdir()):
            if path.suffix.lower() not in PICTURES or path.stem.endswith(BESIDE):
                continue
            if path.stem in self._files:
                raise UsageError(f"{place} has two pictures {path.stem}: which one is meant?")
            if path.stem != OVERVIEW:
                self._files[path.stem] = path
        if not self._files:
            raise UsageError(f"{place} is no packed root, and holds no {', '.join(PICTURES)}")

    def keys(self) -> list[str]:
        """The files' names, without their endings."""
        return list(self._files)

    def fingerprint(self, keys: Sequence[str]) -> str:
        """Of the chosen files' bytes."""
        if tuple(keys) not in self._known:
            whole = hashlib.sha256()
            for key in keys:
                with self._files[key].open("rb") as file:
                    whole.update(hashlib.file_digest(file, "sha256").digest())
            self._known[tuple(keys)] = f"folder {whole.hexdigest()}"
        return self._known[tuple(keys)]

    def sample(self, key: str, columns: Iterable[str]) -> Sample:
        """Picture, `{key}.txt`, `{key}.depth.png` with `{key}.json`, and `{key}.normal.png`."""
        path, sample = self._files[key], Sample(key=key)
        for column in columns:
            if column == "image":
                sample["image"] = _pixels(path)
            elif column in BESIDES and (beside := _beside(path, BESIDES[column])).is_file():
                sample |= _parsed(column, beside)
        return sample


BESIDES: Final = {"caption": ".txt", "depth": ".depth.png", "normals": ".normal.png"}


def opened(place: str) -> PictureSet:
    """A set by its place.

    Raises:
        UsageError: there is none.
    """
    if "://" in place or (Path(place) / "shards").is_dir():
        return Root(place)
    if not Path(place).is_dir():
        raise UsageError(f"there is no folder {place}: give a packed root, or pictures")
    return Folder(place)


def choose(real: PictureSet, made: PictureSet, count: int | None, seed: int) -> Chosen:
    """The pictures that are measured: equally many of both, and the same keys where sets share any.

    Raises:
        UsageError: there are too few.
    """
    first, second = set(real.keys()), set(made.keys())
    shared = first & second
    there = len(shared) if shared else min(len(first), len(second))
    wanted = there if count is None else count
    if wanted > there:
        what = "in both sets" if shared else f"in {real.place if first < second else made.place}"
        raise UsageError(f"--count {wanted}: there are {there} pictures {what}")
    if wanted < 2:
        raise UsageError(f"{wanted} pictures cannot be measured: 2 or more are wanted")
    if shared:
        keys = tuple(chosen(shared, wanted, seed))
        return Chosen(keys, keys, True)
    return Chosen(
        tuple(chosen(first, wanted, seed)), tuple(chosen(second, wanted, seed)), paired=False
    )


def seen(pictures: PictureSet, key: str, columns: Iterable[str], side: int) -> Sample:
    """A sample's middle square at a side: means of areas where it shrinks, linear where it grows.

    Raises:
        DataError: it cannot be read.
    """
    sample = pictures.sample(key, columns)
    size = sample["image"].shape[:2]
    for name in ("depth", "normals"):
        if name in sample and sample[name].shape[:2] != size:
            raise DataError(f"{pictures.place}: the {name} of {key} are not of its picture's size")
    return largest(size, (side, side))(sample)


def _pixels(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) sRGB, upright; what is transparent is shown as it would be opaque."""
    read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if read is None:
        raise DataError(f"{path} cannot be read as a picture")
    return np.ascontiguousarray(read[..., ::-1], np.uint8)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.stem + ending)


def _parsed(column: str, path: Path) -> dict[str, Any]:
    if column == "caption":
        return {"caption": path.read_text(errors="replace").strip()}
    try:
        if column == "normals":
            return {"normals": decode_normals(path.read_bytes())}
        beside = path.with_name(path.name.removesuffix(BESIDES["depth"]) + ".json")
        told = json.loads(beside.read_bytes())["depth"]
        depth = decode_depth(path.read_bytes(), told["scale"], told["offset"])
        return {"depth": depth, "depth_kind": str(told["kind"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}): paint the sample anew") from error
