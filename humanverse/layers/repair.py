"""Repair: what `verify` finds damaged is marked to be made again, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pyarrow.parquet as pq

from humanverse import plan
from humanverse.layers.commit import DAMAGED, FOLDER, Commit, Layer, publish, receipt_of
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import stage_names
from humanverse.layers.rolled import SOME, commits_of, is_whole, roll_up, rolled_names
from humanverse.layers.store import Store
from humanverse.layers.verify import UNREADABLE, damaged_layers, damaged_lists, damaged_shards
from humanverse.pack.shards import DATASET, FORMER


def repair(store: Store) -> Iterator[str]:
    """Do it; a line for each thing done. The next build and pack make up for it.

    A damaged layer is marked by a commit of its own, with the layers of later stages, which may
    have seen what is lost. Of a damaged shard what is left is removed.
    """
    yield from _repair_receipts(store)
    order, commits = stage_names(store), Commits.read(store)
    units = {unit.name: unit for unit in plan.units(store)}
    broken: dict[str, list[str]] = {}
    for unit, layer, _ in damaged_layers(store, commits):
        broken.setdefault(unit, []).append(layer)
    for unit, names in broken.items():
        layers = commits.layers(unit)
        first = min(order.index(name) if name in order else len(order) for name in names)
        marked = {n: _marked(layers[n]) for n in order[first:] if n in layers}
        number = commits.next_number(unit)
        publish(store, Commit(unit, number, units[unit].rows, marked))
        yield f"unit {unit}: {', '.join(marked)} will be made again"
    if broken:
        roll_up(store)
    yield from _repair_shards(store)


def _repair_receipts(store: Store) -> Iterator[str]:
    """Receipts and roll-ups are copies of each other."""
    broken = [rolled for rolled in rolled_names(store) if not is_whole(store, rolled)]
    for rolled in rolled_names(store):
        if rolled in broken:
            continue
        with store.open(rolled) as f:
            for commit in commits_of(pq.ParquetFile(f).iter_batches(SOME)):
                name = f"{FOLDER}/{receipt_of(commit.unit, commit.number)}"
                if not store.exists(name) or store.read(name) != commit.to_json():
                    store.replace(name, commit.to_json())
                    yield f"{name} was written again"
    for rolled in broken:
        store.remove(rolled)
        yield f"{rolled} will be rolled up again"
    if broken:
        roll_up(store)


def _repair_shards(store: Store) -> Iterator[str]:
    try:
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
