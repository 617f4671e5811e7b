"""The selection on disk: what of all samples stays, and in which split.

`select/selection.json`, sealed, names one Parquet by its content and tells from which layers it was
made. It is in force as long as these are the layers: what was decided on others is not heard.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse import plan, schema
from humanverse.errors import DataError
from humanverse.layers.commit import File
from humanverse.layers.commits import content
from humanverse.layers.sealed import sealed, unsealed
from humanverse.layers.store import Store, write_parquet

FOLDER = "select"
SELECTION = f"{FOLDER}/selection.json"
SCHEMA = "humanverse.selection.v1"
STAGE = "select"
"""What the ledger calls it."""
GROUP = 1 << 16
"""Rows of a row group, in the order of the plan: who packs a shard reads those of its units."""
AGAIN = "run `humanverse verify --repair`, then `humanverse pack`"


@dataclass(frozen=True)
class Selection:
    """One selection, and what can be told of it without its table."""

    fingerprint: str
    """Of the settings, and of what the benchmarks hold."""
    layers: str
    """What it was made from, as `commits.content` tells it."""
    table: File
    settings: dict[str, Any]
    rows: int
    reasons: dict[str, int]
    """Rows that do not stay."""
    splits: dict[str, int]
    """Rows that stay, by split; all splits of the settings."""
    clusters: int
    """Of at least two rows."""
    largest: int
    """Rows of the largest cluster."""
    benchmarks: File | None = None
    """Hashes of the pictures that must not be there."""
    pictures: int = 0
    """How many these are."""
    unreadable: int = 0
    """And how many of them could not be read."""
    taking_down: bool = False
    """A takedown is under way that will say of which layers it holds: it was in force before."""


def read_selection(store: Store) -> Selection | None:
    """The selection of a root; None if there is none.

    Raises:
        DataError: it is not what was written.
    """
    if not store.exists(SELECTION):
        return None
    try:
        body = unsealed(store.read(SELECTION), SELECTION)
        files = {n: File(**body[n]) if body[n] else None for n in ("table", "benchmarks")}
        names = [field.name for field in dataclasses.fields(Selection)]
        return Selection(**{name: body[name] for name in names} | files)
    except (DataError, KeyError, TypeError) as error:
        raise DataError(f"{SELECTION} is not what was written: {AGAIN}") from error


def write_selection(store: Store, selection: Selection) -> None:
    """Make a selection whose files lie there the root's, and remove the files of the former."""
    store.replace(SELECTION, sealed({"schema": SCHEMA} | dataclasses.asdict(selection)))
    tidy(store, selection)


def discard(store: Store) -> None:
    """Remove the selection, if there is one."""
    if store.names(FOLDER):
        store.remove(SELECTION)
        tidy(store, None)


def tidy(store: Store, selection: Selection | None) -> None:
    """Remove what no selection names."""
    for name in unnamed(store, selection):
        store.remove(name)


def unnamed(store: Store, selection: Selection | None) -> list[str]:
    """Files of the folder that the selection does not name."""
    named = {SELECTION} | ({file.name for file in files_of(selection)} if selection else set())
    return sorted({f"{FOLDER}/{name}" for name in store.names(FOLDER)} - named)


def files_of(selection: Selection) -> list[File]:
    """The files that it names."""
    return [selection.table, *([selection.benchmarks] if selection.benchmarks else [])]


def put(store: Store, base: str, table: pa.Table) -> File:
    """Write a table under a name of its content."""
    with store.attempt(FOLDER) as attempt:
        write_parquet(attempt.file, table, GROUP)
        digest, size = attempt.sha256(), attempt.file.tell()
        name = f"{base}{digest[:12]}.parquet"
        attempt.publish(name)
    return File(f"{FOLDER}/{name}", digest, size)


def summed(table: pa.Table, splits: Iterable[str]) -> dict[str, Any]:
    """What a selection tells of its table: rows, reasons, splits, clusters, largest."""
    stays = table.filter(pc.is_null(table["reason"]))
    counts = _counted(table["cluster"].drop_null())
    return {
        "rows": table.num_rows,
        "reasons": dict(sorted(_counted(table["reason"].drop_null()).items())),
        "splits": dict.fromkeys(splits, 0) | dict(sorted(_counted(stays["split"]).items())),
        "clusters": len(counts),
        "largest": max(counts.values(), default=0),
    }


def in_force(store: Store, marks: Mapping[str, str]) -> Selection | None:
    """The selection, if it was made from the layers that are there.

    Args:
        store: the root.
        marks: stages with their fingerprints.
    """
    selection = read_selection(store)
    if selection is None or selection.layers != content(store, plan.units(store), marks):
        return None
    return selection


def rejected(store: Store, selection: Selection) -> pa.Table:
    """Key and reason of all rows that do not stay."""
    return _where(store, selection, pc.is_valid(pc.field("reason")), "key", "reason")


def staying(store: Store, selection: Selection, units: Iterable[str]) -> pa.Table:
    """Key, cluster and split of the rows of some units that stay, as samples tell them."""
    mine = pc.field("unit").isin(pa.array(list(units), pa.string()))
    stays = pc.is_null(pc.field("reason"))
    table = _where(store, selection, mine & stays, "key", "cluster", "split")
    cluster = pc.coalesce(table["cluster"], table["key"])
    return table.set_column(1, "cluster", cluster).select(["key", *schema.SELECTED])


def told_of_key(store: Store, key: str) -> dict[str, Any] | None:
    """What the selection says of a row, in force or not; None if nothing."""
    selection = read_selection(store)
    if selection is None:
        return None
    rows = _where(store, selection, pc.field("key") == key, *schema.SELECTION).to_pylist()
    return rows[0] if rows else None


def followers(store: Store, keys: Collection[str]) -> set[str]:
    """Rows that were rejected because one of these stands for them."""
    selection = read_selection(store)
    if selection is None or not keys:
        return set()
    gone = pc.is_valid(pc.field("reason"))
    mine = pc.field("duplicate_of").isin(pa.array(sorted(keys), pa.string()))
    return set(_where(store, selection, gone & mine, "key")["key"].to_pylist())


def begin_takedown(store: Store, keys: Collection[str], marks: Mapping[str, str]) -> None:
    """Take rows out of the selection, before the layers are committed without them.

    What it says of all others stays as it is.
    """
    selection = read_selection(store)
    if selection is None:
        return
    rest = _without(store.read_table(selection.table.name), keys)
    now = selection.taking_down or in_force(store, marks) is not None
    changed: dict[str, Any] = {"table": put(store, "", rest), "taking_down": now}
    changed |= {"layers": "" if now else selection.layers} | summed(rest, selection.splits)
    write_selection(store, dataclasses.replace(selection, **changed))


def end_takedown(store: Store, marks: Mapping[str, str]) -> None:
    """Put a selection from which rows were taken in force again, for the layers as they are now."""
    selection = read_selection(store)
    if selection is not None and selection.taking_down:
        layers = content(store, plan.units(store), marks)
        write_selection(store, dataclasses.replace(selection, layers=layers, taking_down=False))


def _without(table: pa.Table, keys: Collection[str]) -> pa.Table:
    """The table without some rows, of which no other row tells either."""
    gone = pa.array(sorted(keys), pa.string())
    named = pc.is_in(table["key"], gone)
    clusters = pc.unique(table.filter(named)["cluster"].drop_null())
    rest = table.filter(pc.invert(named))
    left: dict[str, list[str]] = {}
    for row in rest.filter(pc.is_in(rest["cluster"], clusters)).to_pylist():
        left.setdefault(row["cluster"], []).append(row["key"])
    heads = [
        min(left[name]) if len(left.get(name, ())) > 1 else None for name in clusters.to_pylist()
    ]
    place = pc.index_in(rest["cluster"], clusters)
    renamed = pa.array(heads, pa.string()).take(place)
    cluster = pc.if_else(pc.is_valid(place), renamed, rest["cluster"])
    other = pc.if_else(pc.is_in(rest["duplicate_of"], gone), None, rest["duplicate_of"])
    at = {name: place for place, name in enumerate(rest.column_names)}
    rest = rest.set_column(at["cluster"], "cluster", cluster)
    return rest.set_column(at["duplicate_of"], "duplicate_of", other).combine_chunks()


def _where(store: Store, selection: Selection, rows: Any, *columns: str) -> pa.Table:
    """Some columns of the rows for which an expression holds, in the order of the plan."""
    with store.parquet(selection.table.name) as f:
        return pq.read_table(
            f, columns=list(columns), filters=rows, page_checksum_verification=True
        )


def _counted(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({told["values"]: told["counts"] for told in pc.value_counts(column).to_pylist()})
