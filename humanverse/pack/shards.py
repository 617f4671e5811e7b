"""Pack: the kept rows of a fixed range of units become one tar and one Parquet.

A shard's bytes follow from its units' layers alone. Its Parquet has one row a sample with all
metadata and the place of each member, so a reader needs no tar header. A shard whose layers have
not changed is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, islice

import pyarrow as pa

from humanverse import plan
from humanverse.layers.commit import write_tar
from humanverse.layers.commits import Commits, are_current
from humanverse.layers.selected import Selection, staying
from humanverse.layers.store import Store, write_parquet
from humanverse.pack.content import Content
from humanverse.pack.encoded import encoded
from humanverse.pack.index import with_places, write_index
from humanverse.pack.listing import DATASET, FOLDER, FORMER, Shard, close, fitting
from humanverse.pack.settings import Caption


def pack(
    store: Store,
    marks: Mapping[str, str],
    units_per_shard: int,
    leave: Collection[int] = (),
    caption: Caption = "web",
    selection: Selection | None = None,
) -> list[Shard]:
    """Pack every complete unit; shards that are up to date stay as they are.

    Args:
        store: the root.
        marks: the recipe's stages with their fingerprints; a unit is complete when it has a layer
            of each. Layers of other settings do not belong together and are not packed.
        units_per_shard: units of one shard, a fixed range of their numbers.
        leave: numbers of shards that stay as they are, if they are there, whatever their layers.
        selection: which rows stay, where a recipe selects. Rows it does not know are left out:
            they are for the next selection to judge.
        caption: whose words become a sample's text.
    """
    commits, replaced, before = Commits.read(store), plan.read_replaced(store), fitting(store)
    shards: list[Shard] = []
    empty: list[Shard] = []
    for number, units in ranges(plan.units(store), units_per_shard):
        complete = [(u, commits.layers(u.name)) for u in units]
        complete = [(u, layers) for u, layers in complete if are_current(layers, marks)]
        chosen = staying(store, selection, (u.name for u, _ in complete)) if selection else None
        content = Content(store, list(marks), complete, replaced, chosen, caption)
        if number in before and (number in leave or before[number].source == content.source()):
            shards.append(before[number])
        elif complete:
            close(store)
            shard = _write(store, number, content)
            (shards if shard.samples else empty).append(shard)
    kept = {shard.number for shard in shards}
    gone = [*empty, *(shard for number, shard in before.items() if number not in kept)]
    if gone:
        close(store)
    for shard in gone:
        store.remove(shard.tar)
        store.remove(shard.parquet)
    _list(store, shards, units_per_shard, caption, selection)
    return shards


def ranges(units: Sequence[plan.Unit], size: int) -> Iterator[tuple[int, list[plan.Unit]]]:
    """Shard numbers and their units. A generation of the plan starts a shard of its own."""
    number = 0
    for _, generation in groupby(units, key=lambda unit: unit.name.partition("-")[0]):
        while members := list(islice(generation, size)):
            yield number, members
            number += 1


def _write(store: Store, number: int, content: Content) -> Shard:
    base, tables = f"{number:05d}", list[pa.Table]()
    with store.attempt(FOLDER) as attempt:
        places = write_tar(attempt.file, content.samples(tables))
        tar_sha256, tar_bytes = attempt.sha256(), attempt.file.tell()
        attempt.publish(f"{base}.tar")
    table = pa.concat_tables(tables, promote_options="permissive")
    with store.attempt(FOLDER) as attempt:
        write_parquet(attempt.file, with_places(table, places))
        parquet_sha256 = attempt.sha256()
        attempt.publish(f"{base}.parquet")
    return Shard(number, table.num_rows, content.source(), tar_sha256, tar_bytes, parquet_sha256)


def _list(
    store: Store,
    shards: Sequence[Shard],
    units_per_shard: int,
    caption: Caption,
    selection: Selection | None,
) -> None:
    """Write the index, then the list of shards: what makes the dataset readable."""
    index_sha256, splits = write_index(store, shards, list(selection.splits) if selection else None)
    body = {
        "schema": "humanverse.dataset.v1",
        "samples": sum(shard.samples for shard in shards),
        "units_per_shard": units_per_shard,
        "caption": caption,
        "index_sha256": index_sha256,
        **encoded(store, shards),
        **({"selection": selection.table.sha256, "splits": splits} if selection else {}),
        "shards": [{name: getattr(shard, name) for name in shard.__slots__} for shard in shards],
    }
    store.replace(DATASET, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
    store.remove(FORMER)
