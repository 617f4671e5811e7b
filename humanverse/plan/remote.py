"""Tables that lie in a bucket or on a model hub: told apart without being fetched, then fetched.

`s3://bucket/tables/a.parquet` and its like for other stores, by whatever credentials the store's
own tools use; `hf://datasets/OWNER/NAME/path` by `huggingface_hub` and its token. An address that
ends with a slash stands for the tables directly under it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanverse.errors import UsageError
from humanverse.models.store import offline

if TYPE_CHECKING:
    from humanverse.layers.objects import ObjectFiles

HEAD = 1 << 20
"""Bytes that tell tables apart, with their size."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One table elsewhere."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """Its base name."""
        return self.address.rpartition("/")[2]

    def digest(self) -> str:
        """As of a local copy, so that a table is the same input wherever it lies.

        Raises:
            UsageError: it is not there, or not for us.
        """
        try:
            size = self._folder().size(self.name)
            head = self._folder().read_range(self.name, 0, min(size, HEAD))
        except FileNotFoundError as error:
            raise UsageError(f"no such input: {self}") from error
        return digest(head, size)

    def fetched(self, scratch: Path) -> Path:
        """A copy of its own name in a folder."""
        scratch.mkdir()
        return self._folder().fetched(self.name, scratch).rename(scratch / self.name)

    def expanded(self) -> Iterator[Remote]:
        """Itself, or what lies under it if it is a folder."""
        if self.name:
            yield self
            return
        for name in sorted(self._folder().names("")):
            yield Remote(self.address + name)

    def _folder(self) -> ObjectFiles | _Hub:
        folder = self.address.rpartition("/")[0]
        if folder.startswith("hf://"):
            return _Hub(folder)
        from humanverse.layers.objects import ObjectFiles

        return ObjectFiles(folder)


def input_at(text: str | Path) -> Path | Remote:
    """An input by what a user calls it."""
    return Remote(str(text)) if "://" in str(text) else Path(text)


def digest(head: bytes, size: int) -> str:
    """What tells a file from others of its name: its size and first MiB."""
    return hashlib.sha256(head + str(size).encode()).hexdigest()[:12]


class _Hub:
    """A folder of a repository on Hugging Face's hub."""

    def __init__(self, folder: str) -> None:
        if offline():
            raise UsageError(f"{folder}: the hub is not asked where HUMANVERSE_OFFLINE is set")
        try:
            from huggingface_hub import HfFileSystem
        except ImportError as error:
            raise UsageError(f"{folder} needs pip install huggingface_hub") from error
        self._folder = folder.removeprefix("hf://")
        self._files: Any = HfFileSystem()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self._files.info(f"{self._folder}/{name}")["size"])

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Some of them."""
        return bytes(self._files.cat_file(f"{self._folder}/{name}", start, end))

    def fetched(self, name: str, scratch: Path) -> Path:
        """A copy in a folder."""
        target = scratch / f"fetching-{name}"
        self._files.get_file(f"{self._folder}/{name}", str(target))
        return target

    def names(self, folder: str) -> list[str]:
        """Of the files in the folder, or in one in it."""
        found = self._files.ls(f"{self._folder}/{folder}".rstrip("/"), detail=True)
        return [entry["name"].rpartition("/")[2] for entry in found if entry["type"] == "file"]
