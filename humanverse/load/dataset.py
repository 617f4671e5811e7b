"""A packed root as a sequence of samples: a member is one read at a known place."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse.codec import decode_depth, decode_jpeg, decode_normals
from humanverse.errors import DataError, UsageError
from humanverse.layers.store import Store
from humanverse.load.samples import Choose, Samples
from humanverse.load.view import Sample, shape_of

INDEX, DATASET = "shards/index.parquet", "shards/dataset.json"

MEMBERS = {
    "image": "jpg",
    "caption": "txt",
    "meta": "json",
    "poses": "pose.json",
    "depth": "depth.png",
    "normals": "normal.png",
}
"""What a sample can hold, and the member it comes from."""


class Dataset(Samples):
    """Samples by number or key. Reading is safe from several threads and after a fork.

    A sample is a dict with `key` and, of those asked for: `image` (H, W, 3) uint8 sRGB; `caption`
    str; `poses` (people, 133, 3) float32, x and y in pixels and confidence; `depth` (H, W) float32
    with `depth_kind`; `normals` (H, W, 3) float32 unit vectors; `meta`, everything else known.
    """

    def __init__(self, store: Store, table: pa.Table, columns: Sequence[str]) -> None:
        self._store = store
        self.root = store.folder.absolute() if store.folder else store.root
        self.table = table
        self.columns = tuple(columns)
        self._keys: dict[str, int] | None = None
        self._handles: dict[tuple[int, int], int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, which: int | str) -> Sample:
        """A sample by its number, negative ones from the end, or by its key."""
        return self.look(self._number(which) if isinstance(which, str) else self._inside(which))

    def look(self, number: int, choose: Choose | None = None) -> Sample:
        """A sample, or a view of it: see `Samples.look`."""
        row = self.table.slice(number, 1).to_pylist()[0]
        sample: Sample = {"key": row["key"]}
        for column in self.columns:
            data = self._read(row, MEMBERS[column])
            if data is not None:
                sample |= self._decoded(column, data, row)
        shape = shape_of(sample) if choose else None
        return choose(shape)(sample) if choose and shape else sample

    def key(self, number: int) -> str:
        """The key of a sample."""
        return str(self.table["key"][number])

    def close(self) -> None:
        """Close the files it holds open."""
        with self._lock:
            for (pid, _), handle in self._handles.items():
                if pid == os.getpid():
                    os.close(handle)
            self._handles.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """For workers that are spawned: they open files of their own."""
        return Dataset, (Store(self.root), self.table, self.columns)

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _decoded(self, column: str, data: bytes, row: dict[str, Any]) -> Sample:
        try:
            return _decoded(column, data, row)
        except (DataError, ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{row['key']}.{MEMBERS[column]} of shard {row['shard']:05d} in {self.root} cannot "
                f"be read ({str(error).splitlines()[0]}): run `humanverse verify`"
            ) from error

    def _number(self, key: str) -> int:
        if self._keys is None:
            self._keys = {k: n for n, k in enumerate(self.table["key"].to_pylist())}
        if key not in self._keys:
            raise KeyError(f"no sample {key} in {self.root}")
        return self._keys[key]

    def _read(self, row: dict[str, Any], extension: str) -> bytes | None:
        name = extension.replace(".", "_")
        offset, length = row.get(f"{name}_offset"), row.get(f"{name}_length")
        if offset is None or length is None:
            return None
        data = self._range(row["shard"], offset, length)
        if len(data) != length:
            raise DataError(f"shard {row['shard']:05d}.tar ends before {row['key']}.{extension}")
        return data

    def _range(self, shard: int, offset: int, length: int) -> bytes:
        name = f"shards/{shard:05d}.tar"
        try:
            if self._store.folder:
                return os.pread(self._handle(shard, name), length, offset)
            return self._store.read_range(name, offset, offset + length)
        except FileNotFoundError:
            missing = self._store.place(name)
            raise DataError(f"{missing} is missing: run `humanverse verify`") from None

    def _handle(self, shard: int, name: str) -> int:
        """An open file of this process: a descriptor shared over a fork would be closed twice."""
        place = (os.getpid(), shard)
        with self._lock:
            if place not in self._handles:
                self._handles[place] = os.open(Path(self.root) / name, os.O_RDONLY)
            return self._handles[place]


def open(
    root: str | Path,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    split: str | None = None,
) -> Dataset:
    """A packed root for reading.

    Args:
        root: the folder, or the address in an object store, that `build` or `pack` filled.
        columns: what samples shall hold, of `MEMBERS`; all that is there if None.
        filters: pyarrow filters on the index, such as `[("person_count", "<=", 2)]`.
        split: the samples of one split alone, such as `train`.

    Raises:
        UsageError: the root is not packed, or a column or the split is unknown.
    """
    store = Store(root)
    if not store.exists(INDEX):
        raise UsageError(f"{root} holds no shards: run `humanverse pack` on it first")
    if not store.exists(DATASET):
        raise UsageError(f"{root} is being packed, or packing broke off: run `humanverse pack`")
    wanted = tuple(MEMBERS) if columns is None else tuple(columns)
    if unknown := [name for name in wanted if name not in MEMBERS]:
        raise UsageError(f"no column {', '.join(unknown)}: choose of {', '.join(MEMBERS)}")
    if split is not None:
        _check_split(store, split)
    with store.open(INDEX) as f:
        table = pq.read_table(f, filters=filters)
    if split is not None:
        table = table.filter(pc.equal(table["split"], split))
    return Dataset(store, table, wanted)


def _check_split(store: Store, split: str) -> None:
    known = json.loads(store.read(DATASET)).get("splits", {})
    if not known:
        raise UsageError(
            f"{store.root} has no splits: pack it with a recipe that selects (docs/duplicates.md)"
        )
    if split not in known:
        raise UsageError(f"no split {split} in {store.root}: choose of {', '.join(known)}")


def _decoded(column: str, data: bytes, row: dict[str, Any]) -> Sample:
    if column == "image":
        return {"image": decode_jpeg(data)}
    if column == "caption":
        return {"caption": data.decode()}
    if column == "meta":
        return {"meta": json.loads(data)}
    if column == "poses":
        return {"poses": _poses(json.loads(data))}
    if column == "depth":
        depth = decode_depth(data, row["depth_scale"], row["depth_offset"])
        return {"depth": depth, "depth_kind": row["depth_kind"]}
    return {"normals": decode_normals(data)}


def _poses(body: dict[str, Any]) -> NDArray[np.float32]:
    people = [person["keypoints"] for person in body["people"]]
    return np.asarray(people, np.float32).reshape(-1, 133, 3)
