"""Repair: what `verify` finds damaged is marked to be made again, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse import plan
from humanverse.errors import DataError, HumanverseError
from humanverse.layers.commit import DAMAGED, FOLDER, Commit, Layer, publish, receipt_of
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import RECIPE, stage_names
from humanverse.layers.rolled import (
    SOME,
    commits_of,
    is_whole,
    read_rolled,
    receipt_names,
    roll_up,
    rolled_names,
)
from humanverse.layers.selected import discard
from humanverse.layers.store import Store
from humanverse.layers.verify import UNREADABLE, damaged_layers, damaged_lists, damaged_shards
from humanverse.layers.verify_select import damaged_selection
from humanverse.pack.listing import DATASET, FORMER, packed_so_far


def repair(store: Store) -> Iterator[str]:
    """Do it; a line for each thing done. The next build and pack make up for it.

    A damaged layer is marked by a commit of its own, with the layers of later stages, which may
    have seen what is lost. Of a damaged shard what is left is removed.
    """
    yield from _repair_receipts(store)
    try:
        order = stage_names(store)
    except HumanverseError:
        yield f"{RECIPE} will be written again; then repair what is left"
        return
    commits = Commits.read(store)
    units = {unit.name: unit for unit in plan.units(store)}
    broken: dict[str, list[str]] = {}
    for unit, layer, _ in damaged_layers(store, commits):
        broken.setdefault(unit, []).append(layer)
    for unit, names in broken.items():
        layers = commits.layers(unit)
        first = min(order.index(name) if name in order else len(order) for name in names)
        # What is damaged may also be of a stage that the recipe has no more.
        wanted = dict.fromkeys([*order[first:], *names])
        marked = {n: _marked(layers[n]) for n in wanted if n in layers}
        for file in (f for n in names for f in layers[n].files):
            if store.exists(file.name) and store.sha256(file.name) != file.sha256:
                store.remove(file.name)
        number = commits.next_number(unit)
        if not publish(store, Commit(unit, number, units[unit].rows, marked)):
            raise DataError(f"unit {unit} was committed by another run meanwhile: repair it again")
        yield f"unit {unit}: {', '.join(marked)} will be made again"
    if broken:
        roll_up(store)
    yield from _repair_selection(store)
    yield from _repair_shards(store)


def _repair_selection(store: Store) -> Iterator[str]:
    """What is derived from the layers is made again from them."""
    try:
        damaged = any(damaged_selection(store))
    except UNREADABLE:
        damaged = True
    if damaged:
        discard(store)
        yield "the selection will be made again"


def _repair_receipts(store: Store) -> Iterator[str]:
    """Receipts and roll-ups are copies of each other; a receipt that is sealed is the truth."""
    broken = [rolled for rolled in rolled_names(store) if not is_whole(store, rolled)]
    for rolled in rolled_names(store):
        if rolled in broken:
            continue
        with store.open(rolled) as f:
            for commit in commits_of(pq.ParquetFile(f).iter_batches(SOME)):
                name, data = receipt_of(commit.unit, commit.number), commit.to_json()
                if not _is_sealed(store, name):
                    store.replace(f"{FOLDER}/{name}", data)
                    yield f"{FOLDER}/{name} was written again"
                elif store.read(f"{FOLDER}/{name}") != data and rolled not in broken:
                    broken.append(rolled)
    for rolled in broken:
        store.remove(rolled)
        yield f"{rolled} will be rolled up again"
    yield from _repair_tail(store)
    if broken:
        roll_up(store)


def _repair_tail(store: Store) -> Iterator[str]:
    """A receipt without a copy is as if it had not been made: its unit's work is done again."""
    listed = pa.array((n for n in store.names(FOLDER) if n.endswith(".json")), pa.string())
    rolled = pc.unique(receipt_names(read_rolled(store, ["unit", "number"])))
    for name in sorted(listed.filter(pc.invert(pc.is_in(listed, rolled))).to_pylist()):
        if not _is_sealed(store, name):
            store.remove(f"{FOLDER}/{name}")
            yield f"{FOLDER}/{name} was removed: what it named will be made again"


def _is_sealed(store: Store, receipt: str) -> bool:
    """Whether a receipt is there, and what was written under its name."""
    try:
        commit = Commit.from_json(store.read(f"{FOLDER}/{receipt}"))
    except (DataError, FileNotFoundError):
        return False
    return receipt_of(commit.unit, commit.number) == receipt


def _repair_shards(store: Store) -> Iterator[str]:
    try:
        packed_so_far(store)
        broken = {shard.number: shard for shard, _ in damaged_shards(store)}
    except UNREADABLE:  # the list itself: which shards are whole is found anew
        store.remove(DATASET)
        store.remove(FORMER)
        yield "all shards will be packed again"
        return
    for number, shard in broken.items():
        store.remove(shard.tar)
        store.remove(shard.parquet)
        yield f"shard {number:05d} will be packed again"
    if not broken and any(damaged_lists(store)):
        yield "index, card and checksums will be written again"


def _marked(layer: Layer) -> Layer:
    return dataclasses.replace(layer, fingerprint=DAMAGED)
