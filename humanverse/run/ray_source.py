"""A packed dataset as a `ray.data.Dataset`, read by tasks of neighbouring samples.

Tars stay where they are: a task carries the places of its own samples and reads no others, so that
filters and subsets hold, and counting reads nothing. Every node has to see the dataset's root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from humanverse.errors import DataError
from humanverse.load.dataset import Dataset
from humanverse.load.decode import MEMBERS, Decoder
from humanverse.load.neighbours import COLUMN_OF, spans
from humanverse.run.ray import connected

BLOCK: Final = 256
"""Samples of a block at most: about a hundred megabytes as they lie in a tar."""
TEXT: Final = ("caption", "meta", "poses")
DEPTH: Final = {
    "depth_kind": pa.string(),
    "depth_scale": pa.float32(),
    "depth_offset": pa.float32(),
}


def read(dataset: Dataset, *, decode: bool = False) -> Any:
    """A `ray.data.Dataset` of a dataset's samples and columns, read when Ray comes to it.

    Rows have `key`, `height`, `width` and the columns. Not decoded, `image`, `depth` and `normals`
    are the bytes of JPEG and PNG, `caption` is text, `poses` and `meta` are JSON, and `depth_kind`,
    `depth_scale` and `depth_offset` say what codes of depth stand for. Decoded, columns are what
    they are in `Dataset`, but `meta`, which remains JSON: a dict of other types in each block would
    have no type. Decode late: encoded bytes cost less on their way.

    Raises:
        UsageError: there are no samples, or no Ray.
    """
    made = connected().data.read_datasource(_source(dataset))
    return made.map(partial(_decoded, dataset.columns)) if decode else made


def _source(dataset: Dataset) -> Any:
    """Ray's view of a dataset. Its base is Ray's, which is imported as late as can be."""
    from ray.data import Datasource

    class HumanVerse(Datasource):  # type: ignore[misc]
        """Named so in Ray's plans and its dashboard."""

        def estimate_inmemory_data_size(self) -> int:
            return int(_weights(dataset).sum())

        def get_read_tasks(
            self,
            parallelism: int,
            per_task_row_limit: int | None = None,
            data_context: Any = None,  # noqa: ARG002 - Ray gives it
        ) -> list[Any]:
            return _tasks(dataset, parallelism, per_task_row_limit)

    return HumanVerse()


def _tasks(dataset: Dataset, parallelism: int, limit: int | None) -> list[Any]:
    """About as many as are wanted, each of neighbours, in the dataset's order."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    blocks = _blocks(spans(dataset))
    cuts = np.linspace(0, len(blocks), min(max(1, parallelism), len(blocks)) + 1).astype(int)
    weights, schema, out = _weights(dataset), _schema(dataset), []
    for first, end in pairwise(cuts.tolist()):
        mine = blocks[first:end]
        start, stop = mine[0][0], mine[-1][1]
        own = dataset.subset(np.arange(start, stop))
        ranges = [(a - start, b - start) for a, b in mine]
        size = int(weights[start:stop].sum())
        told = BlockMetadata(num_rows=stop - start, size_bytes=size, exec_stats=None)
        out.append(ReadTask(partial(_tables, own, ranges, schema), told, schema, limit))
    return out


def _blocks(shards: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Samples by their numbers in pieces of one size or less, none of two shards."""
    return [
        (number, min(number + BLOCK, stop))
        for _, start, stop in shards
        for number in range(start, stop, BLOCK)
    ]


def _tables(
    dataset: Dataset, ranges: Sequence[tuple[int, int]], schema: pa.Schema
) -> Iterator[pa.Table]:
    """What a worker reads: a block for each range."""
    stored = list(dict.fromkeys(COLUMN_OF[MEMBERS[column]] for column in dataset.columns))
    raw = dataset.only(stored, decode=False)
    for start, stop in ranges:
        samples = [raw.look(number) for number in range(start, stop)]
        told = raw.subset(np.arange(start, stop)).to_table(_told(raw))
        read = {name: [sample.get(name) for sample in samples] for name in ("key", *stored)}
        columns = {name: told[name] for name in told.column_names}
        columns |= {name: pa.array(_as_text(name, values)) for name, values in read.items()}
        yield pa.table(columns).select(schema.names).cast(schema)


def _as_text(name: str, values: Sequence[Any]) -> Sequence[Any]:
    if name not in TEXT:
        return values
    return [None if value is None else value.decode() for value in values]


def _schema(dataset: Dataset) -> pa.Schema:
    fields = [("key", pa.string()), ("height", pa.int32()), ("width", pa.int32())]
    for column in dict.fromkeys(COLUMN_OF[MEMBERS[column]] for column in dataset.columns):
        fields.append((column, pa.string() if column in TEXT else pa.large_binary()))
    told = [(name, DEPTH[name]) for name in _told(dataset) if name in DEPTH]
    return pa.schema(fields + told)


def _told(dataset: Dataset) -> list[str]:
    """What decoding needs of the index."""
    return ["height", "width", *(DEPTH if "depth" in dataset.columns else ())]


def _weights(dataset: Dataset) -> Any:
    """Bytes of each sample's members, (n,)."""
    known = set(dataset.table.schema.names)
    names = {f"{MEMBERS[column].replace('.', '_')}_length" for column in dataset.columns}
    table = dataset.to_table(sorted(names & known))
    lengths = [column.fill_null(0).to_numpy().astype(np.int64) for column in table.columns]
    return np.sum(lengths, axis=0) if lengths else np.zeros(len(dataset), np.int64)


def _decoded(columns: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its members decoded."""
    stored = {name: row.get(COLUMN_OF[MEMBERS[name]]) for name in columns}
    members = {
        MEMBERS[name]: value.encode() if isinstance(value, str) else value
        for name, value in stored.items()
        if value is not None
    }
    decoder = Decoder(members, {**row, "size": (row["height"], row["width"])}, None)
    out = {name: row[name] for name in ("key", "height", "width")}
    try:
        for name in columns:
            if name == "meta" or MEMBERS[name] not in members:
                out[name] = stored[name]
            else:
                out |= decoder.column(name)
    except (DataError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{row['key']} cannot be read ({str(error).splitlines()[0]}): run `humanverse verify`"
        ) from error
    return out
