"""What a root needs to be read: its list of shards, its index on this machine, a way to its bytes.

Unlike a file's, none of it has a position: all who read a root share one.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.load.cache import Content, DiskCache
from humanverse.load.decode import MEMBERS
from humanverse.load.index import Index
from humanverse.load.members import Members
from humanverse.load.ranges import LocalRanges, Ranges, StoreRanges

INDEX, DATASET = "shards/index.parquet", "shards/dataset.json"
DEPTH = ("depth_kind", "depth_scale", "depth_offset")


@dataclass(frozen=True)
class Opening:
    """How a root is read: see `humanverse.open`."""

    place: str | Path
    columns: tuple[str, ...]
    decode: bool
    verify: bool
    cache: Path | None
    cache_bytes: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was opened by it: another process opens its own."""
        return Opening, tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def holding(self, columns: tuple[str, ...], decode: bool) -> Opening:
        """The same root for other columns. It shares what is open, and an index that was fetched,
        which stays for as long as one of them reads it.
        """
        other = replace(self, columns=columns, decode=decode)
        shared = ("_store", "_ranges", "_index_path", "listed")
        other.__dict__.update({name: vars(self)[name] for name in shared if name in vars(self)})
        other.__dict__["_lender"] = self
        return other

    @cached_property
    def root(self) -> Path | str:
        """The folder, or the address of an object store."""
        return self._store.root

    @cached_property
    def listed(self) -> dict[str, Any]:
        """The list of shards.

        Raises:
            UsageError: there is none.
        """
        if not self._store.exists(INDEX):
            raise UsageError(f"{self.place} holds no shards: run `humanverse pack` on it first")
        if not self._store.exists(DATASET):
            raise UsageError(
                f"{self.place} is being packed, or packing broke off: run `humanverse pack`"
            )
        listed: dict[str, Any] = json.loads(self._store.read(DATASET))
        return listed

    @cached_property
    def index(self) -> Index:
        """The table of samples."""
        return Index(self._index_path, _index_columns(self._extensions))

    @cached_property
    def members(self) -> Members:
        """Their bytes."""
        return Members(self._ranges, self.root, self._extensions, verify=self.verify)

    def close(self) -> None:
        """Close the files it holds open. They are opened again if need be."""
        self._ranges.close()

    @cached_property
    def _store(self) -> Store:
        return Store(self.place)

    @cached_property
    def _extensions(self) -> list[str]:
        return list(dict.fromkeys(MEMBERS[column] for column in self.columns))

    @cached_property
    def _ranges(self) -> Ranges:
        if self._store.folder:
            return LocalRanges(self._store.folder)
        afar = StoreRanges(self._store)
        if self.cache is None:
            return afar
        content = {
            f"shards/{shard['number']:05d}.tar": Content(shard["tar_sha256"], shard["tar_bytes"])
            for shard in self.listed["shards"]
        }
        return DiskCache(afar, self.cache, self.cache_bytes, content)

    @cached_property
    def _index_path(self) -> Path:
        """Where the index lies on this machine: fetched, if the root is elsewhere."""
        if self._store.folder:
            return self._store.folder / INDEX
        if self.cache is None:
            scratch = tempfile.mkdtemp(prefix="humanverse-")
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            return self._store.fetched(INDEX, Path(scratch))
        kept = self.cache / f"index-{self.listed['index_sha256'][:32]}.parquet"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            self._store.fetched(INDEX, kept.parent).replace(kept)
        return kept


def _index_columns(extensions: Sequence[str]) -> list[str]:
    """What reading members needs of the index."""
    names = [extension.replace(".", "_") for extension in extensions]
    places = [f"{name}_{what}" for name in names for what in ("offset", "length", "crc32")]
    return ["shard", "height", "width", *places, *(DEPTH if "depth.png" in extensions else ())]
