"""One table over all shards: what is known of each sample, and where its members lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import schema
from humanverse.layers.store import Store
from humanverse.pack.listing import FOLDER, Shard
from humanverse.pack.sample import CANVAS_FIELDS, UNINDEXED

LARGE = ("boxes", "box_scores", "mask_areas", "keypoints")
"""Fields that stand in a sample's members alone."""


def place_columns(extension: str) -> tuple[str, str]:
    """Names of the columns that hold a member's offset and length in its tar."""
    name = extension.replace(".", "_")
    return f"{name}_offset", f"{name}_length"


def with_places(table: pa.Table, places: dict[str, tuple[int, int]]) -> pa.Table:
    """The fields of samples that readers filter by, and where each member lies."""
    keys = table["key"].to_pylist()
    table = table.drop_columns([c for c in (*LARGE, *CANVAS_FIELDS) if c in table.column_names])
    for extension in sorted({name.partition(".")[2] for name in places}):
        found = [places.get(f"{key}.{extension}", (None, None)) for key in keys]
        for column, values in zip(place_columns(extension), zip(*found, strict=True), strict=True):
            table = table.append_column(column, pa.array(values, pa.int64()))
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
            writer = writer or pq.ParquetWriter(attempt.file, table.schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            told = schema.SAMPLE | (schema.SELECTED if splits is not None else {})
            empty = schema.schema_of(told).append(pa.field("shard", pa.int32()))
            writer = pq.ParquetWriter(attempt.file, empty, compression="zstd")
        writer.close()
        sha256 = attempt.sha256()
        attempt.publish("index.parquet")
    return sha256, counts


def _tables(store: Store, shards: Sequence[Shard]) -> Iterator[pa.Table]:
    """The rows of each shard, with its number."""
    for shard in shards:
        with store.open(shard.parquet) as f:
            names = [name for name in pq.read_schema(f).names if name not in UNINDEXED]
        table = store.read_table(shard.parquet, names)
        yield table.append_column("shard", pa.array([shard.number] * table.num_rows, pa.int32()))
