"""Verify the selection: its files, and that ledger and shards say what it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from humanverse import plan, schema
from humanverse.errors import DataError
from humanverse.layers.commit import damaged_files
from humanverse.layers.ledger import funnel, stage_marks
from humanverse.layers.selected import (
    FOLDER,
    SELECTION,
    STAGE,
    Selection,
    files_of,
    in_force,
    read_selection,
    staying,
    summed,
)
from humanverse.layers.store import Store
from humanverse.pack.listing import DATASET, read_shards
from humanverse.pack.shards import ranges


def damaged_selection(store: Store) -> Iterator[str]:
    """Findings on the selection's own files; `pack` can make all of them again."""
    try:
        selection = read_selection(store)
    except DataError as error:
        yield str(error)
        return
    if selection is None:
        if "selection" in _packed(store) or store.names(FOLDER):
            yield f"{SELECTION} is missing: `humanverse pack` makes it again"
        return
    findings = list(damaged_files(store, files_of(selection), SELECTION))
    yield from findings
    if not findings:
        told = summed(store.read_table(selection.table.name), selection.splits)
        for name, value in told.items():
            if value != getattr(selection, name):
                yield f"{SELECTION}: {name} is {getattr(selection, name)}, its table says {value}"


def unlike_selection(store: Store) -> Iterator[str]:
    """Findings on what stands on the selection: the ledger, and shards packed since."""
    holds = in_force(store, stage_marks(store))
    if holds is not None:
        counts = funnel(store)
        there = counts.kept + counts.reasons.get(STAGE, Counter()).total()
        if there != holds.rows:
            yield f"{SELECTION}: it is of {holds.rows} rows, all stages kept {there}"
    selection, packed = read_selection(store), _packed(store)
    if selection is not None and packed.get("selection") == selection.table.sha256:
        size = packed["units_per_shard"]
        yield from _shards(store, selection, size, every=holds is not None)


def _shards(store: Store, selection: Selection, size: int, *, every: bool) -> Iterator[str]:
    """Whether each shard holds what was selected of its units: some of it at least, or every row.

    In the middle of a redo shards keep only what is complete.
    """
    shards = {shard.number: shard for shard in read_shards(store)}
    for number, units in ranges(plan.units(store), size):
        wanted = _rows(staying(store, selection, (unit.name for unit in units)))
        found = set()
        if number in shards:
            if not store.exists(shards[number].parquet):
                continue  # the shard's own finding
            found = _rows(store.read_table(shards[number].parquet, ["key", *schema.SELECTED]))
        wrong = found - wanted | (wanted - found if every else set())
        if wrong:
            first = min(wrong)[0]
            yield f"shard {number:05d}: {len(wrong)} samples, {first} first, are not as selected"


def _rows(table: Any) -> set[tuple[str, ...]]:
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _packed(store: Store) -> dict[str, Any]:
    """The list of shards; nothing where it cannot be read, which is its own finding."""
    try:
        return dict(json.loads(store.read(DATASET))) if store.exists(DATASET) else {}
    except (ValueError, TypeError):
        return {}
