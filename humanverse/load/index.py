"""The index of a packed root: rows chosen by filters, and what reading a sample needs of its row.

Nothing of it is read before it is asked for: a filter reads the columns it names, a sample those
columns of its row group that say where its members lie. These stay in memory, 24 bytes a sample and
12 more for each member.

It takes no locks, so that a fork at any moment leaves no child waiting: two threads that need the
same row group may both read it, and either's is kept.
"""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse.errors import UsageError

Numbers = NDArray[np.int64]
Filters = Any
"""pyarrow's tuples, a `pyarrow.compute.Expression`, or an SQL condition over the columns."""
NOWHERE = -1
WORDS = pa.dictionary(pa.int8(), pa.string())


class Place(NamedTuple):
    """Where a member lies in its shard's tar."""

    offset: int
    length: int
    crc32: int
    """Of its bytes; 0 in shards of before it was kept."""


@dataclass(frozen=True, slots=True)
class Group:
    """Row group: the columns that were asked for, as small as they can be."""

    keys: bytes
    """16 a row."""
    numbers: dict[str, NDArray[Any]]
    """By column. Offsets are in blocks of a tar, and `NOWHERE` where there is no member."""
    words: dict[str, pa.DictionaryArray]

    def key(self, row: int) -> str:
        """32 hex digits."""
        return self.keys[16 * row : 16 * row + 16].hex()

    def place(self, member: str, row: int) -> Place | None:
        """Of a member such as `depth_png`; None if the sample has none."""
        blocks = self.numbers.get(f"{member}_offset")
        if blocks is None or (start := blocks.item(row)) == NOWHERE:
            return None
        crc = self.numbers.get(f"{member}_crc32")
        length = self.numbers[f"{member}_length"].item(row)
        return Place(start * tarfile.BLOCKSIZE, length, 0 if crc is None else crc.item(row))


class Index:
    """A table of samples on disk, of any length."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Open it. `columns` are those that reading needs, of them those that there are."""
        self.path = path
        self._metadata = pq.read_metadata(path)
        self.schema: pa.Schema = self._metadata.schema.to_arrow_schema()
        self._columns = [name for name in columns if name in self.schema.names]
        counts = [
            self._metadata.row_group(number).num_rows
            for number in range(self._metadata.num_row_groups)
        ]
        self._starts: list[int] = [0, *np.cumsum(counts).tolist()]
        self._groups: dict[int, Group] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    @cached_property
    def table(self) -> pads.Dataset:
        """All of it as an Arrow dataset, from which DuckDB and others read what they need."""
        return pads.dataset(self.path, format="parquet")

    def at(self, row: int) -> tuple[Group, int]:
        """The row group of a row, and its number there."""
        number = bisect_right(self._starts, row) - 1
        group = self._groups.get(number)
        if group is None:
            group = self._groups[number] = self._read(number)
        return group, row - self._starts[number]

    def select(self, filters: Filters) -> Numbers:
        """The rows that a filter keeps, ascending.

        Raises:
            UsageError: it is not understood, or names what is not there.
        """
        try:
            if isinstance(filters, str):
                return self._by_sql(filters)
            wanted = (
                filters
                if isinstance(filters, pads.Expression)
                else pq.filters_to_expression(filters)
            )
            return self._by_expression(wanted)
        except (pa.ArrowException, duckdb.Error, ValueError, TypeError) as error:
            raise UsageError(f"filters={filters!r}: {str(error).splitlines()[0]}") from error

    def columns(self, names: Sequence[str], rows: Numbers | None) -> pa.Table:
        """Columns of some rows, ascending or not; of all if None.

        Raises:
            UsageError: there is no such column.
        """
        if unknown := [name for name in names if name not in self.schema.names]:
            known = ", ".join(self.schema.names)
            raise UsageError(f"no column {', '.join(unknown)} in {self.path}: choose of {known}")
        table = self.table.to_table(columns=list(names))
        return table if rows is None else table.take(pa.array(rows))

    def find(self, key: str) -> int | None:
        """The row of a key; row groups whose range leaves it out are not read."""
        rows = self._by_expression(pads.field("key") == key)
        return int(rows[0]) if len(rows) else None

    def _by_expression(self, wanted: pads.Expression) -> Numbers:
        (whole,) = self.table.get_fragments()
        parts = whole.split_by_row_group(wanted, schema=self.schema)
        if not parts:
            return np.empty(0, np.int64)
        numbers = [part.row_groups[0].id for part in parts]
        rows = np.concatenate([np.arange(*self._starts[n : n + 2]) for n in numbers])
        some = pads.FileSystemDataset(parts, self.schema, whole.format, whole.filesystem)
        kept = some.to_table(columns={"kept": wanted})["kept"].fill_null(False)
        return np.asarray(rows[kept.to_numpy()], np.int64)

    def _by_sql(self, condition: str) -> Numbers:
        path = str(self.path).replace("'", "''")
        rows = duckdb.connect().execute(
            f"SELECT file_row_number FROM read_parquet('{path}', file_row_number = true) "
            f"WHERE ({condition}) ORDER BY file_row_number"
        )
        return np.asarray(rows.fetchnumpy()["file_row_number"], np.int64)

    def _read(self, number: int) -> Group:
        with pq.ParquetFile(
            self.path, metadata=self._metadata, page_checksum_verification=True
        ) as file:
            read = file.read_row_group(number, ["key", *self._columns], use_threads=False)
        numbers, words = {}, {}
        for name in self._columns:
            column = read[name].combine_chunks()
            if pa.types.is_string(column.type):
                words[name] = column.dictionary_encode().cast(WORDS)
            else:
                numbers[name] = _numbers(name, column)
        return Group(_keys(read["key"]), numbers, words)


def _numbers(name: str, column: pa.Array) -> NDArray[Any]:
    """A column in as few bytes as hold it, apart from Arrow's memory."""
    if name in ("height", "width"):
        return np.array(column, np.uint16)  # a JPEG's sides have no more
    if name.endswith(("_crc32", "_length")):
        return np.array(column.fill_null(0), np.uint32)
    if pa.types.is_integer(column.type) and name.endswith("_offset"):
        filled = np.asarray(column.fill_null(NOWHERE * tarfile.BLOCKSIZE))
        return (filled // tarfile.BLOCKSIZE).astype(np.int32)
    return np.array(column)


def _keys(column: pa.ChunkedArray) -> bytes:
    """16 bytes for each key's 32 digits."""
    digits = column.combine_chunks().cast(pa.large_string())
    _, starts, text = digits.buffers()
    ends = np.frombuffer(starts, np.int64)[[digits.offset, digits.offset + len(digits)]]
    return bytes.fromhex(str(text[ends[0] : ends[1]], "ascii"))
