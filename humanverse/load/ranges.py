"""Bytes out of the middle of files, of a local folder or through anything that can read ranges.

Nothing here holds a lock, and a file is read without moving a position in it: threads may read side
by side, and so may the children of a fork.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

from humanverse.layers.store import Store

OPEN: Final = 256
"""Files that are kept open; a process may usually have 1,024."""


class Ranges(Protocol):
    """Reads parts of files. Names are relative and use forward slashes."""

    gap: int
    """Bytes between two parts below which one read is cheaper than two."""

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes from `start` to before `stop`, or to the file's end."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


class LocalRanges:
    """Parts of files in a folder, by `pread`."""

    gap = 16 << 10

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._files: OrderedDict[str, _File] = OrderedDict()

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of a file: see `Ranges`."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(f"{self._folder}/{name}")
            if len(self._files) > OPEN:
                self._files.popitem(last=False)
        return os.pread(file.descriptor, stop - start, start)

    def close(self) -> None:
        """Close the files."""
        self._files.clear()


class StoreRanges:
    """Parts of objects in a store, a request each."""

    gap = 512 << 10

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of an object: see `Ranges`."""
        return self._store.read_range(name, start, stop)

    def close(self) -> None:
        """Nothing is held open."""


class _File:
    """An open file. Whoever reads it holds it, so that none is closed under a reader."""

    __slots__ = ("descriptor",)

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
