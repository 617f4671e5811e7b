"""What exports share: the samples of a packed root, and a folder that holds one export alone.

The folder is marked with what it holds before anything else lies in it. Files get their names when
they are whole, so an export that broke off goes on with those that are missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow.compute as pc

from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.load.dataset import Dataset
from humanverse.load.dataset import open as open_root

MARK: Final = "humanverse-export.json"
NOT_OURS: Final = (
    "--to {folder} holds {name}, which is not of this export: give an empty or a new folder"
)


@dataclass(frozen=True, slots=True)
class Handed:
    """What lies in the folder now."""

    samples: int
    people: int
    files: int
    """Beside the folder's mark."""
    written: int
    """Those that this export wrote; the others were there."""
    linked: int = 0
    """Of those written, how many share their bytes with the root."""


class Folder:
    """A folder of one export, on this machine."""

    def __init__(
        self, path: str, dataset: Dataset, layout: str, settings: Mapping[str, Any]
    ) -> None:
        """Mark it, unless it is marked so.

        Raises:
            UsageError: it is no place for this export; nothing was touched.
        """
        if "://" in path:
            raise UsageError(f"--to {path} must be a folder on this machine")
        self.path = Path(path)
        target = Store(self.path)
        refuse_overlap(Store(dataset.root), target)
        self._refuse_others(dataset, told := _mark(dataset, layout, settings))
        target.prepare()
        if not target.exists(MARK):
            target.replace(MARK, told)
        self.files = self.written = self.linked = 0

    def lacks(self, name: str, size: int | None = None) -> bool:
        """Whether a file is still to be written: none is there, or none of that many bytes."""
        self.files += 1
        try:
            found = (self.path / name).stat().st_size
        except FileNotFoundError:
            return True
        return size is not None and found != size

    def put(self, name: str, data: bytes) -> None:
        """A small file. It has its name at once, but may not outlive a power failure."""
        part = self._part(name)
        part.write_bytes(data)
        self._name(part, name)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that is written piece by piece, and gets its name at the end."""
        part = self._part(name)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        self._name(part, name)

    def link(self, source: Path, name: str) -> bool:
        """A second name of a file; False where its file system, or another one, cannot."""
        part = self._part(name)
        part.unlink(missing_ok=True)
        try:
            part.hardlink_to(source)
        except OSError:
            return False
        self._name(part, name)
        self.linked += 1
        return True

    def handed(self, dataset: Dataset) -> Handed:
        """What lies here, once all of it does."""
        return Handed(len(dataset), people_of(dataset), self.files, self.written, self.linked)

    def _part(self, name: str) -> Path:
        """Where a file is written: the same each time, so that what broke off is written over."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.part")

    def _name(self, part: Path, name: str) -> None:
        part.replace(self.path / name)
        self.written += 1

    def _refuse_others(self, dataset: Dataset, told: bytes) -> None:
        names = Store(self.path).names("")
        if MARK not in names:
            if names:
                raise UsageError(NOT_OURS.format(folder=self.path, name=min(names)))
        elif (self.path / MARK).read_bytes() != told:
            raise UsageError(
                f"--to {self.path} holds another export, or one of {dataset.root} as it was: "
                "give an empty or a new folder"
            )


def _mark(dataset: Dataset, layout: str, settings: Mapping[str, Any]) -> bytes:
    told = {"schema": "humanverse.export.v1", "layout": layout, "settings": dict(settings)}
    return (json.dumps(told | {"dataset": dataset.fingerprint()}, indent=1) + "\n").encode()


def refuse_overlap(store: Store, target: Store) -> None:
    """Raise a `UsageError` if a root and the folder of its export are not apart."""
    root, folder = (f"{(s.folder.resolve() if s.folder else s.root)}/" for s in (store, target))
    if folder.startswith(root) or root.startswith(folder):
        raise UsageError(f"--to {target.root} and the root {store.root} must lie apart")


def with_poses(root: str, *columns: str) -> Dataset:
    """A packed root for reading poses, boxes, and other columns that it has.

    Raises:
        UsageError: it is not packed, is empty, or has no poses.
    """
    dataset = open_root(root, ["poses", "boxes", *columns])
    if not len(dataset):
        raise UsageError(f"{root} holds no samples: there is nothing to export")
    if "pose_json_offset" not in dataset.table.schema.names:
        raise UsageError(f"{root} has no poses: run `humanverse annotate`, then `pack`")
    return dataset


def parts_of(dataset: Dataset) -> dict[str, Dataset]:
    """The root's splits by name, those with samples; where it has none, all under no name."""
    if not dataset.splits:
        return {"": dataset}
    parts = {name: dataset.where(split=name) for name in dataset.splits}
    return {name: part for name, part in parts.items() if len(part)}


def people_of(dataset: Dataset) -> int:
    """How many people its samples show."""
    return pc.sum(dataset.to_table(["person_count"])["person_count"]).as_py() or 0


def put_pictures(folder: Folder, dataset: Dataset, within: str) -> None:
    """The pictures, byte for byte, as `KEY.jpg`."""
    raw = dataset.only(["image"], decode=False)
    sizes = dataset.to_table(["jpg_length"])["jpg_length"].to_numpy()
    for number in range(len(dataset)):
        name = f"{within}/{dataset.key(number)}.jpg"
        if folder.lacks(name, int(sizes[number])):
            folder.put(name, raw[number]["image"])


def write_json(file: BinaryIO, fields: Mapping[str, Any]) -> None:
    """An object whose values are written at once or, if they are iterators, piece by piece."""
    for number, (name, value) in enumerate(fields.items()):
        file.write(b"{" if number == 0 else b",\n")
        file.write(f"{json.dumps(name)}: ".encode())
        if isinstance(value, Iterator):
            _write_list(file, value)
        else:
            file.write(_compact(value))
    file.write(b"}\n")


def _write_list(file: BinaryIO, values: Iterable[Any]) -> None:
    file.write(b"[")
    for number, value in enumerate(values):
        file.write(b",\n" if number else b"\n")
        file.write(_compact(value))
    file.write(b"]")


def _compact(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()
