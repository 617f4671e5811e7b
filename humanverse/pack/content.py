"""What one shard is made of: the kept rows of some units, out of their layers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from humanverse import plan, schema
from humanverse.layers.commit import Layer, read_layer, read_members
from humanverse.layers.store import Store
from humanverse.pack.sample import UNINDEXED, members_of
from humanverse.pack.settings import Caption

VERSION = 3
"""Raise it when equal layers give other shards."""


@dataclass(frozen=True)
class Content:
    """Complete units, and what else decides which of their rows are samples, and of what words."""

    store: Store
    stages: Sequence[str]
    units: Sequence[tuple[plan.Unit, Mapping[str, Layer]]]
    replaced: Mapping[str, plan.Replaced]
    chosen: pa.Table | None
    """The rows that the selection keeps, where a recipe selects."""
    caption: Caption

    def source(self) -> str:
        """A fingerprint of all that decides the shard's bytes."""
        # Shards of before captions could be chosen need not be made anew.
        said = "" if self.caption == "web" else f".{self.caption}"
        digest = hashlib.sha256(f"humanverse.shard.{VERSION}{said}".encode())
        for unit, layers in self.units:
            for name in self.stages:
                mark, sha256 = layers[name].fingerprint, layers[name].parquet.sha256
                # A tar may also hold bytes of rejected rows, which do not reach the shard: what the
                # kept ones are follows from the tables, in which the bytes' own hashes stand.
                digest.update(f"{unit.name} {name} {mark} {sha256}".encode())
        if self.chosen is not None:
            for row in zip(*(column.to_pylist() for column in self.chosen.columns), strict=True):
                digest.update(" ".join(row).encode())
        return digest.hexdigest()[:16]

    def samples(self, tables: list[pa.Table]) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of every member, sorted within each sample.

        Unit by unit the samples' fields are added to `tables`, so that layers are read once.
        """
        for unit, layers in self.units:
            mine = [layers[name] for name in self.stages]
            kept = self._kept(unit, mine)
            tables.append(kept)
            binary = _binary(self.store, mine, kept["key"].to_pylist())
            told = kept.drop_columns([name for name in UNINDEXED if name in kept.column_names])
            for row in told.to_pylist():
                files = binary[row["key"]] | members_of(row, self.caption)
                for extension, data in sorted(_packed(files).items()):
                    yield f"{row['key']}.{extension}", data

    def _kept(self, unit: plan.Unit, layers: Sequence[Layer]) -> pa.Table:
        """The kept rows of a unit that count there: their fields."""
        table = plan.read_unit(self.store, unit).drop_columns("location")
        alive: Any = pa.array([True] * unit.rows)
        for layer in layers:
            fields = read_layer(self.store, layer)
            alive = pc.and_(alive, pc.is_null(fields["reason"]))
            for name in fields.column_names:
                if name not in ("key", "reason"):
                    table = table.append_column(name, fields[name])
        kept, replaced = table.filter(alive), self.replaced.get(unit.name)
        kept = replaced.rest(kept) if replaced else kept
        return kept if self.chosen is None else _chosen(kept, self.chosen)


def _binary(
    store: Store, layers: Sequence[Layer], keys: Sequence[str]
) -> dict[str, dict[str, bytes]]:
    """By key, the members that the layers hold of some rows."""
    binary: dict[str, dict[str, bytes]] = {key: {} for key in keys}
    for layer in layers:
        for key, files in read_members(store, layer).items():
            if key in binary:
                binary[key] |= files
    return binary


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
