"""One table over all shards: what is known of each sample, and where its members lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import schema
from humanverse.layers.store import Store
from humanverse.pack.listing import FOLDER, Shard
from humanverse.pack.sample import CANVAS_FIELDS, UNINDEXED

LARGE = ("boxes", "box_scores", "mask_areas", "keypoints")
"""Fields that stand in a sample's members alone."""


ROWS = 1 << 16
"""Of a row group, unless a shard has more: readers take one at a time."""


def place_columns(extension: str) -> tuple[str, str]:
    """Names of the columns that hold a member's offset and length in its tar."""
    name = extension.replace(".", "_")
    return f"{name}_offset", f"{name}_length"


def with_places(table: pa.Table, places: dict[str, tuple[int, int, int]]) -> pa.Table:
    """The fields of samples that readers filter by, and where each member lies."""
    keys = table["key"].to_pylist()
    table = table.drop_columns([c for c in (*LARGE, *CANVAS_FIELDS) if c in table.column_names])
    for extension in sorted({name.partition(".")[2] for name in places}):
        found = [places.get(f"{key}.{extension}", (None, None, None)) for key in keys]
        offsets, lengths, sums = zip(*found, strict=True)
        for column, values in zip(place_columns(extension), (offsets, lengths), strict=True):
            table = table.append_column(column, pa.array(values, pa.int64()))
        column = f"{extension.replace('.', '_')}_crc32"
        table = table.append_column(column, pa.array(sums, pa.uint32()))
    return table


def write_index(
    store: Store, shards: Sequence[Shard], splits: Sequence[str] | None
) -> tuple[str, Counter[str]]:
    """Write it; its sha256, and how many samples each of the splits has, if there are any."""
    counts = Counter(dict.fromkeys(splits or (), 0))
    with store.attempt(FOLDER) as attempt:
        writer = None
        for table in _tables(store, shards):
            counts.update(table["split"].to_pylist() if splits is not None else ())
            writer = writer or _writer(attempt.file, table.schema)
            writer.write_table(table.cast(writer.schema), row_group_size=2 * ROWS)
        if writer is None:
            told = schema.SAMPLE | (schema.SELECTED if splits is not None else {})
            empty = schema.schema_of(told).append(pa.field("shard", pa.int32()))
            writer = _writer(attempt.file, empty)
        writer.close()
        sha256 = attempt.sha256()
        attempt.publish("index.parquet")
    return sha256, counts


def _tables(store: Store, shards: Sequence[Shard]) -> Iterator[pa.Table]:
    """The rows of the shards, with their numbers, of several where these are small."""
    waiting: list[pa.Table] = []
    for table in _numbered(store, shards):
        if waiting and sum(t.num_rows for t in waiting) + table.num_rows > ROWS:
            yield pa.concat_tables(waiting, promote_options="permissive")
            waiting = []
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting, promote_options="permissive")


def _numbered(store: Store, shards: Sequence[Shard]) -> Iterator[pa.Table]:
    for shard in shards:
        with store.open(shard.parquet) as f:
            names = [name for name in pq.read_schema(f).names if name not in UNINDEXED]
        table = store.read_table(shard.parquet, names)
        yield table.append_column("shard", pa.array([shard.number] * table.num_rows, pa.int32()))


def _writer(file: BinaryIO, columns: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, columns, compression="zstd", write_page_checksum=True)
