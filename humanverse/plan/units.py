"""What a root's plan holds: generations, their units, and the rows of each.

A generation is a manifest `plan/NN.json` that names Parquet files, one row group a unit.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse import schema
from humanverse.layers.sealed import unsealed
from humanverse.layers.store import Store, write_parquet

FOLDER = "plan"
PLANNED = schema.schema_of(schema.PLAN)
UNPLANNED = PLANNED.append(pa.field("reason", pa.string()))
UNITS_PER_FILE = 256
"""Units of one file at most: its footer, which who reads a unit has to read first, names them all.
Parsed it takes 15 KB of memory a unit."""
OPEN_FILES = 2
"""Whose footers are kept, since units are read in order."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Some thousand planned rows: what is worked on, fails and is committed together."""

    name: str
    file: str
    group: int
    rows: int


def manifests(store: Store) -> list[dict[str, Any]]:
    """The plan's generations, oldest first."""
    names = [f"{FOLDER}/{name}" for name in manifest_names(store)]
    return [unsealed(store.read(name), name) for name in names]


def manifest_names(store: Store) -> list[str]:
    """Names of the manifests, oldest first: as numbers, since the hundred-and-first has a digit
    more.
    """
    names = [n for n in store.names(FOLDER) if n.endswith(".json")]
    return sorted(names, key=lambda name: (len(name), name))


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of units."""

    generation: int
    first: int
    """Number of its first unit in its generation."""
    file: str
    rows: int
    unit_rows: int

    @property
    def units(self) -> int:
        return -(-self.rows // self.unit_rows)

    def unit(self, group: int) -> Unit:
        rows = min(self.unit_rows, self.rows - group * self.unit_rows)
        return Unit(f"{self.generation:02d}-{self.first + group:07d}", self.file, group, rows)

    def names(self) -> pa.Array:
        numbers = pa.array(range(self.first, self.first + self.units), pa.int64())
        digits = pc.utf8_lpad(numbers.cast(pa.string()), 7, "0")
        return pc.binary_join_element_wise(f"{self.generation:02d}", digits, "-")

    def sizes(self) -> NDArray[np.int64]:
        sizes = np.full(self.units, self.unit_rows, np.int64)
        sizes[-1:] -= self.units * self.unit_rows - self.rows
        return sizes


class Units(Sequence[Unit]):
    """All units of all generations, in order. Each is made when it is asked for: there may be
    millions, and what a plan holds of them is a line a file.
    """

    def __init__(self, generations: Sequence[dict[str, Any]]) -> None:
        self._parts = [part for n, m in enumerate(generations) for part in _parts_of(n, m)]
        self._ends = list(accumulate(part.units for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Unit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Unit]: ...
    def __getitem__(self, index: int | slice) -> Unit | list[Unit]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # counts from the end, and refuses what is not there
        part = bisect_right(self._ends, place)
        return self._parts[part].unit(place - (self._ends[part] - self._parts[part].units))

    def __iter__(self) -> Iterator[Unit]:
        return (part.unit(group) for part in self._parts for group in range(part.units))

    def names(self) -> pa.ChunkedArray:
        """The name of each."""
        return pa.chunked_array([part.names() for part in self._parts], pa.string())

    def sizes(self) -> NDArray[np.int64]:
        """The rows of each."""
        return np.concatenate([np.zeros(0, np.int64), *(part.sizes() for part in self._parts)])


def units(store: Store) -> Units:
    """All units of all generations, in order."""
    return Units(manifests(store))


def read_unit(store: Store, unit: Unit, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a unit, sorted by key; all their columns, or some."""
    name = f"{FOLDER}/{unit.file}"
    with store.open(name) as f:
        footer = _footer_of(f, store.place(name))
        return pq.ParquetFile(f, metadata=footer, page_checksum_verification=True).read_row_group(
            unit.group, columns
        )


def read_unplanned(
    store: Store, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """Rows that no unit holds, with `reason`, by generation; all their columns, or some."""
    for number, manifest in enumerate(manifests(store)):
        for name in (part["unplanned"] for part in manifest["parts"] if "unplanned" in part):
            with store.open(f"{FOLDER}/{name}") as f:
                yield number, pq.read_table(f, columns=columns, page_checksum_verification=True)


def _parts_of(generation: int, manifest: dict[str, Any]) -> Iterator[_Part]:
    first = 0
    for listed in manifest["parts"]:
        part = _Part(generation, first, listed["file"], listed["rows"], manifest["unit_rows"])
        yield part
        first += part.units


_footers: dict[str, pq.FileMetaData] = {}
"""By place of the file. What lies there never changes: its name follows from its content."""


_parsing = threading.Lock()
"""One thread parses a footer, and the others that wait for the same file have it too."""


def _footer_of(file: BinaryIO, place: str) -> pq.FileMetaData:
    with _parsing:
        if place not in _footers:
            footer = pq.read_metadata(file)
            for former in list(_footers)[: 1 - OPEN_FILES]:
                del _footers[former]
            _footers[place] = footer
        return _footers[place]


def put(
    store: Store, base: str, table: pa.Table, row_group_size: int | None = None
) -> tuple[str, str]:
    """Write a file of the plan under a name of its content: name and sha256.

    Two plans that are made at once cannot write over each other's rows.
    """
    with store.attempt("plan") as attempt:
        write_parquet(attempt.file, table, row_group_size)
        digest = attempt.sha256()
        name = f"{base}.{digest[:12]}.parquet"
        attempt.publish(name)
    return name, digest
