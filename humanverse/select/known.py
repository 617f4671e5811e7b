"""Perceptual hashes of pictures that must not be in the dataset: those of benchmarks.

Hashed once, as `collect` does it, into a table beside the selection, so that neither packing nor a
takedown has to have the pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse.collect.picture import BadPicture, Bounds, normalise
from humanverse.errors import UsageError
from humanverse.layers.commit import File
from humanverse.layers.selected import Selection, put
from humanverse.layers.store import Store
from humanverse.sources import images

COLUMNS = pa.schema([("name", pa.string()), ("phash", pa.string())])
BOUNDS = Bounds(max_side=1024, min_side=1, max_pixels=64_000_000, quality=95)
"""As `Collect` has them, but for the least side."""
THREADS = 4
AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Known:
    """Pictures of benchmarks."""

    file: File | None
    pictures: int
    unreadable: int
    names: list[str]
    """A picture for each hash, by folder and file."""
    hashes: NDArray[np.uint64]
    """Sorted, each once."""


def mark(paths: Iterable[Path]) -> str:
    """Changes with what lies under the paths, by names and sizes: reading it all takes minutes.

    Raises:
        UsageError: nothing lies under one.
    """
    lines = [line for path in paths for line in _lines(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16] if lines else ""


def _lines(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    if not files:
        raise UsageError(f"select.benchmarks: {path} holds no pictures")
    return [f"{f.relative_to(path.parent).as_posix()} {f.stat().st_size}\n" for f in files]


def known(store: Store, paths: Iterable[Path], former: Selection | None) -> Known:
    """The hashes of all pictures under some paths.

    Args:
        store: the root.
        paths: what `Select.benchmarks` may name.
        former: a selection that has hashed the same.

    Raises:
        UsageError: something of it cannot be read as pictures at all.
    """
    file = former.benchmarks if former else None
    if file is not None and store.exists(file.name):
        table = store.read_table(file.name)
    else:
        found = [_pictures(path) for path in paths]
        table = pa.concat_tables([pa.Table.from_pylist([], COLUMNS), *found]).sort_by(
            [("phash", "ascending"), ("name", "ascending")]
        )
        file = put(store, "benchmarks.", table.combine_chunks()) if table.num_rows else None
    told = table.filter(pc.is_valid(table["phash"]))
    values = np.array([int(phash, 16) for phash in told["phash"].to_pylist()], np.uint64)
    hashes, first = np.unique(values, return_index=True)
    names = told["name"].take(pa.array(first)).to_pylist()
    return Known(file, table.num_rows, table.num_rows - told.num_rows, names, hashes)


def _pictures(path: Path) -> pa.Table:
    """Names and hashes of what lies under a path.

    Raises:
        UsageError: nothing does: it is another folder that was meant.
    """
    table = pa.concat_tables([pa.Table.from_pylist([], COLUMNS), *_tables(path)])
    if not table.num_rows:
        raise UsageError(f"select.benchmarks: {path} holds no pictures")
    return table


def _tables(path: Path) -> Iterator[pa.Table]:
    if path.suffix.lower() == ".parquet" and "phash" in _columns(path):
        yield _hashed(path)
        return
    if path.is_file() and not images.holds_images(path):
        raise UsageError(
            f"select.benchmarks: {path} is no folder of pictures, nor Parquet with bytes or phash"
        )
    rows = images.rows(path)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="benchmarks") as pool:
        while some := list(islice(rows, AT_A_TIME)):
            names = [f"{path.name}/{row['file']}" for row in some]
            hashes = list(pool.map(_phash, [row["location"] for row in some]))
            yield pa.table([pa.array(names), pa.array(hashes, pa.string())], schema=COLUMNS)


def _columns(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"select.benchmarks: {path} cannot be read: {error}") from error


def _hashed(path: Path) -> pa.Table:
    """Hashes that somebody made already."""
    try:
        phash = pq.read_table(path, columns=["phash"])["phash"].cast(pa.string())
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())
        raise UsageError(f"select.benchmarks: {path}: phash cannot be read: {told}") from error
    right = pc.match_substring_regex(phash, "^[0-9a-fA-F]{16}$")
    if not pc.all(right, min_count=0).as_py():
        raise UsageError(f"select.benchmarks: {path}: phash has 16 hex digits in every row")
    names = [f"{path.name}/{row}" for row in range(len(phash))]
    columns = [pa.array(names, pa.string()), pc.utf8_lower(phash).combine_chunks()]
    return pa.table(columns, schema=COLUMNS)


def _phash(location: str | None) -> str | None:
    """Of a picture; None if it cannot be read."""
    if location is None:
        return None
    try:
        return normalise(images.read(location), BOUNDS).phash
    except BadPicture:
        return None
