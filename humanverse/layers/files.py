"""Files under a local folder, durable when they have their names."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from humanverse.errors import UsageError
from humanverse.layers import failpoints

ATTEMPT = ".attempt"


class LocalFiles:
    """What `Store` needs of a local folder. Names are relative and use forward slashes."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Make the folder, or say why it cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(f"cannot write to {self.root}: {error.strerror}") from error

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

    def dated(self, folder: str) -> list[tuple[str, float]]:
        """The same names, each with the time of its last change in seconds since 1970."""
        dated = []
        for name in self.names(folder):
            with contextlib.suppress(FileNotFoundError):  # merged or swept meanwhile
                dated.append((name, (self.root / folder / name).stat().st_mtime))
        return dated

    def open(self, name: str) -> BinaryIO:
        """A file for reading."""
        return (self.root / name).open("rb")

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self.root / name).read_bytes()

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes of a file from `start` to before `end`, or to its own end."""
        with self.open(name) as file:
            file.seek(start)
            return file.read(end - start)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.root / name).stat().st_size

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def fetched(self, name: str, scratch: Path) -> Path:  # noqa: ARG002 - others need a place
        """A path under which other engines can open the file."""
        return self.root / name

    @contextlib.contextmanager
    def attempt(self, folder: str) -> Iterator[BinaryIO]:
        """A file to write, which leaves no trace unless it gets a name."""
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        path = self.root / folder / f".{uuid.uuid4().hex}{ATTEMPT}"
        try:
            with path.open("w+b") as file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    def name(self, file: BinaryIO, name: str) -> None:
        """Give an attempt its name, over anything of that name."""
        _sync(file)
        target = self.root / name
        Path(file.name).replace(target)
        _sync_folder(target.parent)

    def create(self, file: BinaryIO, name: str) -> bool:
        """Give an attempt its name unless something has it; False if something does."""
        _sync(file)
        target = self.root / name
        try:
            # A file opened exclusively and then written could be left empty; a link is whole.
            os.link(file.name, target)
        except FileExistsError:
            return False
        _sync_folder(target.parent)
        return True

    def note(self, name: str, data: bytes) -> None:
        """A small file, quickly: it outlives the process, but maybe not the machine."""
        path = self.root / name
        try:
            path.write_bytes(data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def attempts(self) -> list[str]:
        """Names of all files that are being written, or whose writer died."""
        found = self.root.rglob(f".*{ATTEMPT}")
        return sorted(path.relative_to(self.root).as_posix() for path in found)


def _sync(file: BinaryIO) -> None:
    failpoints.here("written")
    file.flush()
    os.fsync(file.fileno())
    failpoints.here("synced")


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
