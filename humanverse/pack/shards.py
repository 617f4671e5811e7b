"""Pack: the kept rows of a fixed range of units become one tar and one Parquet.

A shard's bytes follow from its units' layers alone. Its Parquet has one row a sample with all
metadata and the place of each member, so a reader needs no tar header. A shard whose layers have
not changed is left as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse import plan, schema
from humanverse.errors import DataError
from humanverse.layers.commit import Layer, read_layer, read_members, write_tar
from humanverse.layers.commits import Commits
from humanverse.layers.selected import Selection, staying
from humanverse.layers.store import Store, write_parquet
from humanverse.pack.sample import CANVAS_FIELDS, UNINDEXED, members_of
from humanverse.pack.settings import Caption

FOLDER = "shards"
INDEX = f"{FOLDER}/index.parquet"
DATASET = f"{FOLDER}/dataset.json"
SUMS = f"{FOLDER}/SHA256SUMS"
FORMER = f"{FOLDER}/dataset.former.json"
"""The list of shards while some are being replaced: until all fit together there is no dataset."""
LARGE = ("boxes", "box_scores", "keypoints")
"""Fields that stand in a sample's members alone."""
VERSION = 1
"""Raise it when equal layers give other shards."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One packed shard."""

    number: int
    samples: int
    source: str
    """Fingerprint of what it was made of: layers, and what the selection says of its rows."""
    tar_sha256: str
    tar_bytes: int
    parquet_sha256: str

    @property
    def tar(self) -> str:
        """Name of its tar."""
        return f"{FOLDER}/{self.number:05d}.tar"

    @property
    def parquet(self) -> str:
        """Name of its Parquet."""
        return f"{FOLDER}/{self.number:05d}.parquet"


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
    commits, stages = Commits.read(store), list(marks)
    replaced = plan.read_replaced(store)
    before = _before(store)
    shards: list[Shard] = []
    empty: list[Shard] = []
    for number, units in ranges(plan.units(store), units_per_shard):
        complete = [(u, commits.layers(u.name)) for u in units]
        complete = [(u, layers) for u, layers in complete if are_current(layers, marks)]
        chosen = staying(store, selection, (u.name for u, _ in complete)) if selection else None
        source = _source(stages, complete, caption, chosen)
        if number in before and (number in leave or before[number].source == source):
            shards.append(before[number])
        elif complete:
            _close(store)
            shard = _write(store, number, source, stages, complete, replaced, caption, chosen)
            (shards if shard.samples else empty).append(shard)
    kept = {shard.number for shard in shards}
    gone = [*empty, *(shard for number, shard in before.items() if number not in kept)]
    if gone:
        _close(store)
    for shard in gone:
        store.remove(shard.tar)
        store.remove(shard.parquet)
    _write_index(store, shards, units_per_shard, caption, selection)
    store.remove(FORMER)
    return shards


def _before(store: Store) -> dict[int, Shard]:
    """The shards that are there as listed, by number; after a crash only those whose bytes fit."""
    whole = store.exists(DATASET)

    def fits(name: str, sha256: str) -> bool:
        return store.exists(name) and (whole or store.sha256(name) == sha256)

    return {
        shard.number: shard
        for shard in _listed(store, DATASET if whole else FORMER)
        if fits(shard.tar, shard.tar_sha256) and fits(shard.parquet, shard.parquet_sha256)
    }


def _close(store: Store) -> None:
    """Take the list of shards away before one of them changes, so that nobody reads a mixture."""
    if store.exists(DATASET):
        store.replace(FORMER, store.read(DATASET))
        store.remove(DATASET)
        store.remove(SUMS)


def are_current(layers: Mapping[str, Layer], marks: Mapping[str, str]) -> bool:
    """Whether a unit's layers are all there and of these settings."""
    return all(name in layers and layers[name].fingerprint == mark for name, mark in marks.items())


def read_shards(store: Store) -> list[Shard]:
    """The shards of a packed root; none if it is not packed."""
    return _listed(store, DATASET)


def packed_so_far(store: Store) -> tuple[list[Shard], int | None]:
    """The shards as they are or, after packing broke off, were listed, and the units of one."""
    name = DATASET if store.exists(DATASET) else FORMER
    return _listed(store, name), _told(store, name).get("units_per_shard")


def caption_so_far(store: Store) -> Caption:
    """Whose words the samples of a packed root have; the web's in older ones, which do not tell."""
    name = DATASET if store.exists(DATASET) else FORMER
    return "generated" if _told(store, name).get("caption") == "generated" else "web"


def _told(store: Store, name: str) -> dict[str, Any]:
    """What a list of shards says, if it is there."""
    read: dict[str, Any] = json.loads(store.read(name)) if store.exists(name) else {}
    return read


def unlisted_shards(store: Store) -> list[str]:
    """Files of shards that no list names: packing broke off before there was one."""
    listed, _ = packed_so_far(store)
    known = {name for shard in listed for name in (shard.tar, shard.parquet)}
    known |= {INDEX} if store.exists(DATASET) else set()
    names = (f"{FOLDER}/{name}" for name in sorted(store.names(FOLDER)))
    return [n for n in names if n.endswith((".tar", ".parquet")) and n not in known]


def _listed(store: Store, name: str) -> list[Shard]:
    if not store.exists(name):
        return []
    try:
        return [Shard(**shard) for shard in json.loads(store.read(name))["shards"]]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{name} is not what was written ({error}): run `humanverse verify --repair`"
        ) from error


def place_columns(extension: str) -> tuple[str, str]:
    """Names of the columns that hold a member's offset and length in its tar."""
    name = extension.replace(".", "_")
    return f"{name}_offset", f"{name}_length"


def ranges(units: Sequence[plan.Unit], size: int) -> Iterator[tuple[int, list[plan.Unit]]]:
    """Shard numbers and their units. A generation of the plan starts a shard of its own."""
    number = 0
    for _, generation in groupby(units, key=lambda unit: unit.name.partition("-")[0]):
        while members := list(islice(generation, size)):
            yield number, members
            number += 1


def _source(
    stages: Sequence[str],
    units: Sequence[tuple[plan.Unit, dict[str, Layer]]],
    caption: Caption,
    chosen: pa.Table | None,
) -> str:
    said = "" if caption == "web" else f".{caption}"  # shards of before need not be made anew
    digest = hashlib.sha256(f"humanverse.shard.{VERSION}{said}".encode())
    for unit, layers in units:
        for name in stages:
            layer = layers[name]
            # A tar may also hold bytes of rejected rows, which do not reach the shard: what the
            # kept ones are follows from the tables, in which the bytes' own hashes stand.
            digest.update(f"{unit.name} {name} {layer.fingerprint} {layer.parquet.sha256}".encode())
    if chosen is not None:
        for row in zip(*(column.to_pylist() for column in chosen.columns), strict=True):
            digest.update(" ".join(row).encode())
    return digest.hexdigest()[:16]


def _write(
    store: Store,
    number: int,
    source: str,
    stages: Sequence[str],
    units: Sequence[tuple[plan.Unit, dict[str, Layer]]],
    replaced: Mapping[str, plan.Replaced],
    caption: Caption,
    chosen: pa.Table | None,
) -> Shard:
    tables: list[pa.Table] = []

    def members() -> Iterator[tuple[str, bytes]]:
        for unit, layers in units:
            mine = [layers[name] for name in stages]
            kept, binary = _kept(store, unit, mine, replaced.get(unit.name), chosen)
            tables.append(kept)
            told = kept.drop_columns([name for name in UNINDEXED if name in kept.column_names])
            for row in told.to_pylist():
                key = row["key"]
                files = binary[key] | members_of(row, caption)
                for extension, data in sorted(_packed(files).items()):
                    yield f"{key}.{extension}", data

    base = f"{number:05d}"
    with store.attempt(FOLDER) as attempt:
        places = write_tar(attempt.file, members())
        tar_sha256, tar_bytes = attempt.sha256(), attempt.file.tell()
        attempt.publish(f"{base}.tar")
    table = pa.concat_tables(tables, promote_options="permissive")
    with store.attempt(FOLDER) as attempt:
        write_parquet(attempt.file, _with_places(table, places))
        parquet_sha256 = attempt.sha256()
        attempt.publish(f"{base}.parquet")
    return Shard(number, table.num_rows, source, tar_sha256, tar_bytes, parquet_sha256)


def _kept(
    store: Store,
    unit: plan.Unit,
    layers: Sequence[Layer],
    replaced: plan.Replaced | None,
    chosen: pa.Table | None,
) -> tuple[pa.Table, dict[str, dict[str, bytes]]]:
    """The kept rows of a unit that count there: their fields, and by key their binary members."""
    table = plan.read_unit(store, unit).drop_columns("location")
    alive: Any = pa.array([True] * unit.rows)
    for layer in layers:
        fields = read_layer(store, layer)
        alive = pc.and_(alive, pc.is_null(fields["reason"]))
        for name in fields.column_names:
            if name not in ("key", "reason"):
                table = table.append_column(name, fields[name])
    kept = table.filter(alive)
    kept = replaced.rest(kept) if replaced else kept
    kept = kept if chosen is None else _chosen(kept, chosen)
    binary: dict[str, dict[str, bytes]] = {key: {} for key in kept["key"].to_pylist()}
    for layer in layers:
        for key, files in read_members(store, layer).items():
            if key in binary:
                binary[key] |= files
    return kept, binary


def _packed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members of a sample, of those that its layers hold."""
    own = {name: data for name, data in files.items() if name not in schema.UNPACKED}
    for name, other in schema.REPLACES.items():
        if name in own:
            own[other] = own.pop(name)
    return own


def _chosen(kept: pa.Table, chosen: pa.Table) -> pa.Table:
    """The rows that stay, with what the selection says of them."""
    place = pc.index_in(kept["key"], chosen["key"].combine_chunks())
    kept, place = kept.filter(pc.is_valid(place)), place.drop_null()
    for name in schema.SELECTED:
        kept = kept.append_column(name, chosen[name].take(place))
    return kept


def _with_places(table: pa.Table, places: dict[str, tuple[int, int]]) -> pa.Table:
    """The fields of samples that readers filter by, and where each member lies."""
    keys = table["key"].to_pylist()
    table = table.drop_columns([c for c in (*LARGE, *CANVAS_FIELDS) if c in table.column_names])
    for extension in sorted({name.partition(".")[2] for name in places}):
        found = [places.get(f"{key}.{extension}", (None, None)) for key in keys]
        for column, values in zip(place_columns(extension), zip(*found, strict=True), strict=True):
            table = table.append_column(column, pa.array(values, pa.int64()))
    return table


def _write_index(
    store: Store,
    shards: Sequence[Shard],
    units_per_shard: int,
    caption: Caption,
    selection: Selection | None,
) -> None:
    """One table over all shards, then the list of shards: what makes the dataset readable."""
    splits = Counter(dict.fromkeys(selection.splits, 0) if selection else {})
    with store.attempt(FOLDER) as attempt:
        writer = None
        for shard in shards:
            with store.open(shard.parquet) as f:
                names = [name for name in pq.read_schema(f).names if name not in UNINDEXED]
            table = store.read_table(shard.parquet, names)
            splits.update(table["split"].to_pylist() if selection else ())
            column = pa.array([shard.number] * table.num_rows, pa.int32())
            table = table.append_column("shard", column)
            writer = writer or pq.ParquetWriter(attempt.file, table.schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            told = schema.SAMPLE | (schema.SELECTED if selection else {})
            empty = schema.schema_of(told).append(pa.field("shard", pa.int32()))
            writer = pq.ParquetWriter(attempt.file, empty, compression="zstd")
        writer.close()
        index_sha256 = attempt.sha256()
        attempt.publish("index.parquet")
    body = {
        "schema": "humanverse.dataset.v1",
        "samples": sum(shard.samples for shard in shards),
        "units_per_shard": units_per_shard,
        "caption": caption,
        "index_sha256": index_sha256,
        **({"selection": selection.table.sha256, "splits": splits} if selection else {}),
        "shards": [{name: getattr(shard, name) for name in shard.__slots__} for shard in shards],
    }
    store.replace(DATASET, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
