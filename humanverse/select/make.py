"""Select: from the layers of all complete units to the selection on disk.

What is selected follows from the layers, the settings and the benchmarks alone, so making it again
makes the same bytes; while none of these has changed it is left as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse import plan, schema
from humanverse.errors import UsageError
from humanverse.layers.commit import Layer
from humanverse.layers.commits import Commits, are_current, content
from humanverse.layers.selected import (
    Selection,
    files_of,
    put,
    read_selection,
    summed,
    tidy,
    write_selection,
)
from humanverse.layers.store import Store
from humanverse.select.choose import ALONE, Choice, Rows, choose
from humanverse.select.known import Known, known, mark
from humanverse.select.settings import EMBEDDING, Select
from humanverse.stage import settings

VERSION = 1
"""Raise it when equal layers and settings give another selection."""
READERS = 8
"""Units that are read at a time: in an object store each file takes round trips."""
AT_A_TIME = 256
OF_PICTURES = ("phash", "sha256", "width", "height", "original_width", "original_height")


def select(store: Store, wanted: Select, marks: Mapping[str, str]) -> Selection:
    """Make the selection, unless the one that is there fits.

    Args:
        store: the root.
        wanted: the settings.
        marks: the recipe's stages with their fingerprints. A unit takes part when it has a layer of
            each.

    Raises:
        UsageError: the layers lack the column that it needs, or a benchmark cannot be read.
    """
    units, former = plan.units(store), read_selection(store)
    pictures = mark(wanted.benchmarks)
    fingerprint = _fingerprint(wanted, pictures)
    layers = content(store, units, marks)
    if (
        former is not None
        and (former.fingerprint, former.layers) == (fingerprint, layers)
        and all(store.exists(file.name) for file in files_of(former))
    ):
        tidy(store, former)
        return former
    same = former is not None and former.settings.get("benchmarks") == pictures
    theirs = known(store, wanted.benchmarks, former if same else None)
    rows, names = _read(store, units, wanted, marks)
    choice = choose(
        rows,
        max_distance=wanted.max_distance,
        min_cosine=wanted.min_cosine,
        shares=wanted.shares(),
        benchmarks=theirs.hashes,
        max_benchmark_distance=wanted.max_benchmark_distance,
    )
    table = _table(names, choice, theirs, wanted)
    made = Selection(
        fingerprint=fingerprint,
        layers=layers,
        table=put(store, "", table),
        settings=json.loads(json.dumps(settings(wanted))) | {"benchmarks": pictures},
        benchmarks=theirs.file,
        pictures=theirs.pictures,
        unreadable=theirs.unreadable,
        **summed(table, wanted.shares()),
    )
    write_selection(store, made)
    return made


def _fingerprint(wanted: Select, pictures: str) -> str:
    identity = {"version": VERSION, "settings": settings(wanted), "benchmarks": pictures}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _read(
    store: Store, units: Sequence[plan.Unit], wanted: Select, marks: Mapping[str, str]
) -> tuple[Rows, pa.Table]:
    """What is known of the rows that all stages kept, and their keys and units."""
    commits, replaced = Commits.read(store), plan.read_replaced(store)
    columns = (*OF_PICTURES, EMBEDDING) if wanted.by == "embedding" else OF_PICTURES
    names, arrays = [], []

    def read(unit: plan.Unit) -> pa.Table | None:
        layers = commits.layers(unit.name)
        if not are_current(layers, marks):
            return None
        table = _kept(store, [layers[name] for name in marks], columns)
        return replaced[unit.name].rest(table) if unit.name in replaced else table

    waiting = iter(units)
    with ThreadPoolExecutor(READERS, thread_name_prefix="select") as pool:
        while some := list(islice(waiting, AT_A_TIME)):
            for unit, table in zip(some, pool.map(read, some), strict=True):
                if table is not None:
                    unit_names = pa.array([unit.name] * table.num_rows, pa.string())
                    names.append(pa.table({"key": table["key"], "unit": unit_names}))
                    arrays.append(_arrays(table, int(unit.name.partition("-")[0]), wanted.by))
    empty = pa.table({name: pa.array([], pa.string()) for name in ("key", "unit")})
    return _joined(arrays), pa.concat_tables([empty, *names]).combine_chunks()


def _kept(store: Store, layers: Sequence[Layer], columns: Sequence[str]) -> pa.Table:
    """Key and some columns of the rows that no layer set aside."""
    found: dict[str, Any] = {}
    alive: Any = None
    for layer in layers:
        with store.parquet(layer.parquet.name) as f:
            file = pq.ParquetFile(f, page_checksum_verification=True)
            there = [name for name in columns if name in file.schema_arrow.names]
            table = file.read(["key", "reason", *there])
        here = pc.is_null(table["reason"])
        alive = here if alive is None else pc.and_(alive, here)
        found |= {name: table[name] for name in ("key", *there)}
    return pa.table(found).filter(alive)


def _arrays(table: pa.Table, generation: int, by: str) -> Rows:
    """The rows of one unit.

    Raises:
        UsageError: the column that is wanted is not there.
    """
    needed = EMBEDDING if by == "embedding" else "phash"
    if needed not in table.column_names:
        raise UsageError(
            f"select.by={by}: the layers have no column {needed}; run the stage that writes it"
        )
    count = table.num_rows
    sizes = {name: _numbers(table, name) for name in OF_PICTURES[2:]}
    keys = _hex(table["key"].to_pylist(), 16).reshape(count, 2)
    # What has no hash of its bytes is like nothing else.
    own = [key[16:] for key in table["key"].to_pylist()]
    digests = table["sha256"].to_pylist() if "sha256" in table.column_names else [None] * count
    hashes = table["phash"].to_pylist() if "phash" in table.column_names else [None] * count
    return Rows(
        keys=keys,
        generation=np.full(count, generation, np.int32),
        pixels=sizes["width"] * sizes["height"],
        original=sizes["original_width"] * sizes["original_height"],
        phash=_hex([value or "0" * 16 for value in hashes], 8)[:, 0],
        sha256=_hex([(d or k)[:16] for d, k in zip(digests, own, strict=True)], 8)[:, 0],
        embedding=_vectors(table[EMBEDDING]) if by == "embedding" else None,
    )


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return np.asarray(pc.fill_null(table[name].cast(pa.int64()), 0))


def _hex(texts: Sequence[str], size: int) -> NDArray[np.uint64]:
    """(n, size / 8) numbers of texts of twice `size` hex digits each."""
    raw = np.frombuffer(bytes.fromhex("".join(texts)), ">u8")
    return raw.astype(np.uint64).reshape(len(texts), size // 8)


def _vectors(column: pa.ChunkedArray) -> NDArray[np.floating[Any]]:
    """(n, d); zeros for nulls."""
    lists = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    values, known = np.asarray(lists.drop_null().flatten()), len(lists) - lists.null_count
    width = len(values) // max(known, 1)
    out = np.zeros((len(lists), width), values.dtype)
    out[np.asarray(pc.is_valid(lists))] = values.reshape(known, width)
    return out


def _joined(parts: Sequence[Rows]) -> Rows:
    if not parts:
        none, hashes = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        keys = np.zeros((0, 2), np.uint64)
        return Rows(keys, none.astype(np.int32), none, none, hashes, hashes)
    wide = max((part.embedding.shape[1] for part in parts if part.embedding is not None), default=0)
    parts = [_with_width(part, wide) for part in parts]
    names = [name for name in Rows.__slots__ if getattr(parts[0], name) is not None]
    return Rows(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def _with_width(rows: Rows, width: int) -> Rows:
    """A unit none of whose rows has a vector does not know how long one is."""
    if rows.embedding is None or rows.embedding.shape[1]:
        return rows
    none = np.zeros((len(rows.keys), width), rows.embedding.dtype)
    return dataclasses.replace(rows, embedding=none)


def _table(names: pa.Table, choice: Choice, theirs: Known, wanted: Select) -> pa.Table:
    """What is written: columns of `schema.SELECTION`, in the order of the plan."""
    gone = (choice.duplicate_of != ALONE) & (wanted.near_duplicates == "drop")
    reason = np.where(choice.benchmark != ALONE, 2, np.where(gone, 1, 0))
    reasons = pa.array([None, "near_duplicate", "benchmark"], pa.string())
    columns = {
        "key": names["key"],
        "unit": names["unit"],
        "cluster": _at(names["key"], choice.cluster),
        "duplicate_of": _at(names["key"], choice.duplicate_of),
        "benchmark": _at(pa.array(theirs.names, pa.string()), choice.benchmark),
        "reason": reasons.take(pa.array(reason)),
        "split": pa.array(list(wanted.shares()), pa.string()).take(pa.array(choice.split)),
    }
    return pa.table(columns, schema=schema.schema_of(schema.SELECTION)).combine_chunks()


def _at(values: Any, places: NDArray[np.int64]) -> Any:
    """The values at some places, null where there is none."""
    return values.take(pa.array(places, mask=places == ALONE))
