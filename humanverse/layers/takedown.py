"""Removing rows from the layers of a unit, and then the files that held them."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from humanverse.errors import DataError
from humanverse.layers.commit import (
    Commit,
    Layer,
    members_in,
    publish,
    read_layer,
    write_files,
)
from humanverse.layers.commits import Commits
from humanverse.layers.listed import TAKEN_DOWN, first_layer
from humanverse.layers.store import Store
from humanverse.plan import Unit


def remove_rows(
    store: Store, unit: Unit, commits: Commits, keys: Collection[str], order: Sequence[str]
) -> Commit:
    """Commit the unit's layers anew, as they are but without some rows.

    The rows stay, as rows of the ledger must: in the first layer they get the reason `taken_down`,
    and everything else that a layer tells of them becomes null. Fingerprints stay, so nothing is
    run again.

    Raises:
        DataError: another process commits this unit at the same time.
    """
    layers = commits.sound(unit.name)
    first = first_layer(layers, order)
    made = {
        name: _without(store, unit.name, name, layer, keys, TAKEN_DOWN if name == first else None)
        for name, layer in layers.items()
    }
    changed = {name: layer for name, layer in made.items() if layer != layers[name]}
    commit = Commit(unit.name, commits.next_number(unit.name), unit.rows, changed)
    if not publish(store, commit):
        raise DataError(
            f"unit {unit.name} was committed by another run meanwhile: "
            "when that has ended, run the same command again"
        )
    commits.add(commit)
    return commit


def has_takedown(commits: Commits, unit: str) -> bool:
    """Whether rows of a unit were ever taken down, by its receipts alone."""
    return any(TAKEN_DOWN in layer.reasons for layer in commits.all_layers(unit))


def former_files(
    store: Store, commits: Commits, keys: Mapping[str, Collection[str]], order: Sequence[str]
) -> Iterator[str]:
    """Files that tell of rows and are no current layer's: replaced ones, or named by no commit.

    Args:
        store: the root.
        commits: its commits.
        keys: name of a unit to the keys of the rows.
        order: the stages.
    """
    files = (f for unit in keys for layer in commits.all_layers(unit) for f in layer.files)
    folders = {file.name.partition("/")[0] for file in files} | set(order)
    current = {unit: _current_files(commits, unit) for unit in keys}
    for folder in sorted(folders) if keys else ():
        for base in sorted(store.names(folder)):
            name, unit = f"{folder}/{base}", base.partition(".")[0]
            if unit in keys and name not in current[unit] and _may_tell(store, name, keys[unit]):
                yield name


def _may_tell(store: Store, name: str, keys: Collection[str]) -> bool:
    """As `_tells`; of a damaged file nobody knows, and as no current layer's nobody needs it."""
    try:
        return _tells(store, name, keys)
    except (DataError, tarfile.TarError):
        return True


def _tells(store: Store, name: str, keys: Collection[str]) -> bool:
    """Whether a layer's file holds anything of these rows but that they were taken down."""
    if name.endswith(".tar"):
        with store.open(name) as f, tarfile.open(fileobj=f, mode="r:") as tar:
            return any(member.partition(".")[0] in keys for member in tar.getnames())
    table = store.read_table(name)
    table = table.filter(pc.is_in(table["key"], pa.array(sorted(keys), pa.string())))
    reasons = pc.unique(table["reason"].drop_null()).to_pylist()
    others = table.drop_columns(["key", "reason"])
    return bool(set(reasons) - {TAKEN_DOWN}) or any(c.null_count < len(c) for c in others.columns)


def taken_keys(store: Store, commits: Commits, unit: str, order: Sequence[str]) -> set[str]:
    """The keys of a unit's rows that are taken down."""
    layers = commits.sound(unit)
    if not layers or not has_takedown(commits, unit):
        return set()
    first = layers[first_layer(layers, order)]
    table = store.read_table(first.parquet.name, ["key", "reason"])
    return set(table["key"].filter(pc.equal(table["reason"], TAKEN_DOWN)).to_pylist())


def _current_files(commits: Commits, unit: str) -> set[str]:
    return {file.name for layer in commits.sound(unit).values() for file in layer.files}


def _without(
    store: Store, unit: str, name: str, layer: Layer, keys: Collection[str], reason: str | None
) -> Layer:
    """A layer without some rows; the very same one where it told nothing of them."""
    fields = read_layer(store, layer)
    gone = pc.is_in(fields["key"], pa.array(sorted(keys), pa.string()))
    kept = pc.if_else(gone, None, pa.array(range(fields.num_rows), pa.int64()))
    emptied = fields.take(kept)
    at = {column: place for place, column in enumerate(fields.column_names)}
    emptied = emptied.set_column(at["key"], fields.schema.field("key"), fields["key"])
    reasons = pc.if_else(gone, pa.scalar(reason, pa.string()), fields["reason"])
    emptied = emptied.set_column(at["reason"], fields.schema.field("reason"), reasons)
    others = None
    if layer.tar is not None:
        others = (m for m in members_in(store, layer) if m[0].partition(".")[0] not in keys)
    return write_files(store, unit, name, emptied, layer.fingerprint, others)
