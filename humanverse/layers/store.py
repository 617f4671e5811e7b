"""A store of files under one root, with the two atomic acts that everything rests on.

`replace` puts a whole file in place of another; `create` makes a file only if it is not there yet.
Both are durable when they return: the bytes before the name, the name before the return. A root is
a local folder, or an address of an object store (`s3://bucket/folder`, `gs://...`, `az://...`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse.errors import DataError
from humanverse.layers import failpoints
from humanverse.layers.files import LocalFiles


class Files(Protocol):
    """What a kind of storage must offer: see `LocalFiles` for each."""

    @property
    def root(self) -> Path | str: ...
    def prepare(self) -> None: ...
    def exists(self, name: str) -> bool: ...
    def names(self, folder: str) -> list[str]: ...
    def dated(self, folder: str) -> list[tuple[str, float]]: ...
    def open(self, name: str) -> BinaryIO: ...
    def read(self, name: str) -> bytes: ...
    def read_range(self, name: str, start: int, end: int) -> bytes: ...
    def size(self, name: str) -> int: ...
    def remove(self, name: str) -> None: ...
    def fetched(self, name: str, scratch: Path) -> Path: ...
    def attempt(self, folder: str) -> contextlib.AbstractContextManager[BinaryIO]: ...
    def name(self, file: BinaryIO, name: str) -> None: ...
    def create(self, file: BinaryIO, name: str) -> bool: ...
    def note(self, name: str, data: bytes) -> None: ...
    def attempts(self) -> list[str]: ...


class Store:
    """Files under a root. Names are relative and use forward slashes."""

    def __init__(self, root: str | Path) -> None:
        self._files = _files_at(root)

    @property
    def root(self) -> Path | str:
        """The folder, or the address of an object store."""
        return self._files.root

    @property
    def folder(self) -> Path | None:
        """The folder; None for an object store."""
        root = self._files.root
        return root if isinstance(root, Path) else None

    def prepare(self) -> None:
        """Make the root, or say why it cannot be written."""
        self._files.prepare()

    def place(self, name: str) -> str:
        """Where a file lies, for people."""
        return f"{self._files.root}/{name}"

    def fetched(self, name: str, scratch: Path) -> Path:
        """A path under which other engines can open a file: a copy in `scratch` if need be."""
        return self._files.fetched(name, scratch)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return self._files.exists(name)

    def names(self, folder: str) -> list[str]:
        """Names of a folder's files, unsorted, without attempts; none if it is not there."""
        return self._files.names(folder)

    def dated(self, folder: str) -> list[tuple[str, float]]:
        """The same names, each with the time of its last change in seconds since 1970."""
        return self._files.dated(folder)

    def attempts(self) -> list[str]:
        """Names of all files that are being written, or whose writer died."""
        return self._files.attempts()

    def open(self, name: str) -> BinaryIO:
        """A file for reading."""
        return self._files.open(name)

    def read(self, name: str) -> bytes:
        """A whole file."""
        return self._files.read(name)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes of a file from `start` to before `end`, or to its own end."""
        return self._files.read_range(name, start, end)

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A whole Parquet file.

        Raises:
            DataError: it is none, or not as it was written.
        """
        with self.parquet(name) as f:
            return pq.read_table(f, columns=columns, page_checksum_verification=True)

    @contextlib.contextmanager
    def parquet(self, name: str) -> Iterator[BinaryIO]:
        """A Parquet file for reading, with a clear word on one that is damaged."""
        with self.open(name) as f:
            try:
                yield f
            except (pa.ArrowException, OSError) as error:
                if getattr(error, "errno", None) is not None:
                    raise  # of the machine
                raise DataError(
                    f"{self.place(name)} is not what was written "
                    f"({str(error).splitlines()[0]}): run `humanverse verify --repair`"
                ) from error

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._files.size(name)

    def sha256(self, name: str) -> str:
        """Hash of a file's bytes."""
        with self.open(name) as f:
            return hashlib.file_digest(cast(BufferedReader, f), "sha256").hexdigest()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        self._files.remove(name)
        failpoints.here("removed")

    @contextlib.contextmanager
    def attempt(self, folder: str) -> Iterator[Attempt]:
        """A file being written, which gets its name only by `publish`; else it leaves no trace."""
        with self._files.attempt(folder) as file:
            failpoints.here("begun")
            yield Attempt(file, self._files, folder)

    def replace(self, name: str, data: bytes) -> None:
        """Put `data` at `name`, atomically, whatever was there."""
        folder, _, base = name.rpartition("/")
        with self.attempt(folder) as attempt:
            attempt.file.write(data)
            attempt.publish(base)

    def replace_table(self, name: str, table: pa.Table, row_group_size: int | None = None) -> None:
        """Put a Parquet file at `name`, atomically, with the writer settings all files share."""
        folder, _, base = name.rpartition("/")
        with self.attempt(folder) as attempt:
            write_parquet(attempt.file, table, row_group_size)
            attempt.publish(base)

    def note(self, name: str, data: bytes) -> None:
        """Put `data` at `name` for who comes after this process; not for after a power failure."""
        self._files.note(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Put `data` at `name` if nothing is there; False if something else is."""
        with self.attempt(name.rpartition("/")[0]) as attempt:
            attempt.file.write(data)
            created = self._files.create(attempt.file, name)
        failpoints.here("created")
        # An answer may be lost after the work was done; what lies there then is our own.
        return created or self.read(name) == data


class Attempt:
    """A file that has no name yet."""

    def __init__(self, file: BinaryIO, files: Files, folder: str) -> None:
        self.file = file
        self._files = files
        self._folder = folder

    def sha256(self) -> str:
        """Hash of what was written so far."""
        self.file.flush()
        self.file.seek(0)
        digest = hashlib.file_digest(cast(BufferedReader, self.file), "sha256").hexdigest()
        self.file.seek(0, os.SEEK_END)
        return digest

    def publish(self, base: str) -> None:
        """Give it its name in its folder, over anything of that name."""
        self._files.name(self.file, f"{self._folder}/{base}" if self._folder else base)
        failpoints.here("named")


def write_parquet(
    file: BinaryIO | io.BytesIO, table: pa.Table, row_group_size: int | None = None
) -> None:
    """Parquet with fixed settings, so that equal tables are equal bytes."""
    pq.write_table(
        table,
        file,
        row_group_size=row_group_size,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        write_statistics=True,
        write_page_checksum=True,
        store_schema=True,
    )


def _files_at(root: str | Path) -> Files:
    if "://" not in str(root):
        return LocalFiles(root)
    from humanverse.layers.objects import ObjectFiles

    return ObjectFiles(str(root))
