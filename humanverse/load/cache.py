"""What was read from afar, kept on disk up to a number of bytes, for all processes of a machine.

Blocks of files are kept under their content's name, so that a block is never stale and roots that
share a shard share it here. Who needs a block that another process is fetching waits for that one:
locks are the file system's, which a dying process lets go of and a fork does not double.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isal.isal_zlib import crc32

from humanverse.errors import UsageError
from humanverse.load.ranges import Ranges

BLOCK: Final = 4 << 20
"""Bytes fetched at a time: some sixteen samples, which a shuffled order needs near each other."""
LOCKS: Final = 64
ROOM: Final = 0.9
"""Share of the limit that is left full when blocks have to go."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    sha256: str
    size: int


class DiskCache:
    """Reads through a folder of blocks. It grows to `limit` bytes and a few blocks more."""

    gap = BLOCK

    def __init__(
        self, afar: Ranges, folder: Path, limit: int, content: Mapping[str, Content]
    ) -> None:
        """Read `afar` through `folder`.

        Args:
            afar: where files really are.
            folder: for blocks, of this and other datasets.
            limit: bytes, 64 blocks or more.
            content: what each file is; others are not kept.

        Raises:
            UsageError: the folder cannot be written, or the limit is too small.
        """
        if limit < LOCKS * BLOCK:
            raise UsageError(f"a cache of {limit} bytes holds nothing: {LOCKS * BLOCK} or more do")
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot cache in {folder}: {error.strerror}") from error
        self._afar, self._folder, self._limit, self._content = afar, folder, limit, content
        self._unweighed = limit
        """Bytes written since the folder's were summed up: too many, before the first time."""

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of a file: see `Ranges`."""
        if name not in self._content:
            return self._afar.read(name, start, stop)
        stop = min(stop, self._content[name].size)
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        parts = [
            self._part(name, n, max(0, start - n * BLOCK), min(BLOCK, stop - n * BLOCK))
            for n in numbers
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close what lies behind it; the blocks stay."""
        self._afar.close()

    def _part(self, name: str, number: int, start: int, stop: int) -> bytes:
        """Bytes of a block."""
        told = self._content[name]
        path = self._folder / f"{told.sha256[:32]}.{number}"
        size = min(BLOCK, told.size - number * BLOCK)
        if (kept := _kept(path, size, start, stop)) is not None:
            return kept
        with self._locked(crc32(path.name.encode()) % LOCKS):
            if (kept := _kept(path, size, start, stop)) is not None:
                return kept
            data = self._afar.read(name, number * BLOCK, number * BLOCK + size)
            self._keep(path, data)
        return data[start:stop]

    def _keep(self, path: Path, data: bytes) -> None:
        """Put a block down, whole or not at all. A full disk is no reason not to go on."""
        attempt = path.with_name(f".{uuid.uuid4().hex}")
        try:
            attempt.write_bytes(data)
            attempt.replace(path)
        except OSError:
            attempt.unlink(missing_ok=True)
        self._unweighed += len(data)
        if self._unweighed > self._limit * (1 - ROOM) / 2:
            self._unweighed = 0
            self._make_room()

    def _make_room(self) -> None:
        """Remove what was not read for longest, if the folder is too full."""
        blocks = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file():
                    told = entry.stat()
                    blocks.append((told.st_mtime_ns, told.st_size, entry.path))
        held = sum(size for _, size, _ in blocks)
        if held <= self._limit:
            return
        for _, size, path in sorted(blocks):
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
            held -= size
            if held <= self._limit * ROOM:
                return

    @contextlib.contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        """Alone among all processes and threads; closing the file lets go."""
        with (self._folder / "locks" / str(number)).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _kept(path: Path, size: int, start: int, stop: int) -> bytes | None:
    """Bytes of a block that is there, and whole; it is marked as read just now."""
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != size:
                return None
            data = os.pread(file.fileno(), stop - start, start)
            os.utime(file.fileno())
    except FileNotFoundError:
        return None
    return data
