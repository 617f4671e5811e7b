"""A store of files under one root, with the two atomic acts that everything rests on.

`replace` puts a whole file in place of another; `create` makes a file only if it is not there yet.
Both are durable when they return: the bytes are synced before the name, the name before the return.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse.errors import UsageError


class Store:
    """Files under a local root. Names are relative and use forward slashes."""

    def __init__(self, root: str | Path) -> None:
        if "://" in str(root):
            raise UsageError(f"{root}: a root is a local folder; object stores come later")
        self.root = Path(root)

    def prepare(self) -> None:
        """Make the root, or say why it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(f"cannot write to {self.root}: {error.strerror}") from error

    def local(self, name: str) -> Path:
        """The path of a file, for engines that open files themselves."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.root / name).exists()

    def names(self, folder: str) -> list[str]:
        """Names of a folder's files, unsorted, without attempts; none if it is not there."""
        try:
            with os.scandir(self.root / folder) as entries:
                return [e.name for e in entries if not e.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open(self, name: str) -> BinaryIO:
        """A file for reading."""
        return (self.root / name).open("rb")

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self.root / name).read_bytes()

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A whole Parquet file."""
        with self.open(name) as f:
            return pq.read_table(f, columns=columns)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.root / name).stat().st_size

    def sha256(self, name: str) -> str:
        """Hash of a file's bytes."""
        with self.open(name) as f:
            return hashlib.file_digest(cast(BufferedReader, f), "sha256").hexdigest()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.root / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def attempt(self, folder: str) -> Iterator[Attempt]:
        """A file being written, which gets its name only by `publish`; else it leaves no trace."""
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        path = self.root / folder / f".{uuid.uuid4().hex}.attempt"
        try:
            with path.open("w+b") as f:
                yield Attempt(f, path)
        finally:
            path.unlink(missing_ok=True)

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

    def create(self, name: str, data: bytes) -> bool:
        """Put `data` at `name` if nothing is there; False if something is."""
        with self.attempt(name.rpartition("/")[0]) as attempt:
            attempt.file.write(data)
            attempt.sync()
            try:
                os.link(attempt.path, self.root / name)
            except FileExistsError:
                return False
            _sync_folder(attempt.path.parent)
            return True


class Attempt:
    """A file that has no name yet."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path

    def sync(self) -> None:
        """Make its bytes durable."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def sha256(self) -> str:
        """Hash of what was written so far."""
        self.file.flush()
        self.file.seek(0)
        digest = hashlib.file_digest(cast(BufferedReader, self.file), "sha256").hexdigest()
        self.file.seek(0, os.SEEK_END)
        return digest

    def publish(self, base: str) -> None:
        """Give it its name in its folder, over anything of that name."""
        self.sync()
        self.path.replace(self.path.with_name(base))
        _sync_folder(self.path.parent)


def write_parquet(file: BinaryIO, table: pa.Table, row_group_size: int | None = None) -> None:
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
        store_schema=True,
    )


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
