"""Which rows of a root a list names: by the plan, and by what its layers know of the pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from humanverse import plan
from humanverse.collect.blocked import ALIKE, Blocklist, host_of
from humanverse.errors import DataError
from humanverse.layers.commit import Layer
from humanverse.layers.commits import Commits
from humanverse.layers.store import Store

TAKEN_DOWN = "taken_down"
"""The reason of a row that was removed."""
LATER = ("sha1", "md5")
"""Kinds that are known only while the bytes as served are at hand."""
HOSTS = 100_000
"""Hosts whose verdict is remembered."""
SLAB = 1024
"""Perceptual hashes that are held against a unit's at a time."""

COLUMNS = {"key": "key", "url": "host", "final_host": "host", "sha256": "sha256", "phash": "phash"}
"""A column, and the kind of entry that names its values."""
OF_PICTURES = ("final_host", "sha256", "phash")
"""Those of them that a layer has."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hit:
    """The rows of one unit that a list names."""

    unit: plan.Unit
    keys: dict[str, set[str]]
    """The column by which, and the keys of the rows: `key` and `url` are the plan's, the others
    what the picture was."""
    left: set[str]
    """Keys of those that are collected and not taken down yet."""

    @property
    def all_keys(self) -> set[str]:
        """Of the rows, by whatever they are named."""
        return set().union(*self.keys.values())


@dataclass
class Names:
    """The entries of a list, ready to be held against tables; it notes those that name a row."""

    named: Mapping[str, frozenset[str]]
    seen: set[str] = field(default_factory=set)
    """Entries that named a row so far, as lines of a list."""

    def __post_init__(self) -> None:
        hosts = Blocklist(entries=self.lines(("host",)))
        self._naming = lru_cache(HOSTS)(hosts.naming_host)  # a host has rows in all units
        self._sorted = {kind: pa.array(sorted(v), pa.string()) for kind, v in self.named.items()}
        self._phashes = _numbers(self._sorted["phash"].to_pylist())

    @classmethod
    def of(cls, entries: Iterable[str]) -> Names:
        """From the lines of a list."""
        return cls(Blocklist(entries=entries).named)

    @property
    def of_pictures(self) -> bool:
        """Whether any kind is known from layers alone."""
        return any(self.named[kind] for kind in ("host", "sha256", "phash"))

    def entries(self) -> set[str]:
        """All entries."""
        return self.lines(self.named)

    def lines(self, kinds: Iterable[str]) -> set[str]:
        """The entries of some kinds."""
        return {f"{kind} {value}" for kind in kinds for value in self.named[kind]}

    def find(self, table: pa.Table) -> Iterator[tuple[str, set[str]]]:
        """Columns, of those the table has, and the keys of the rows whose value is named."""
        tests = {"phash": self._alike, "host": self._under}
        for column, kind in COLUMNS.items():
            if column in table.column_names and self.named[kind]:
                mask = tests.get(kind, self._equal)(kind, table[column])
                if mask.any():
                    yield column, set(table["key"].filter(pa.array(mask)).to_pylist())

    def _equal(self, kind: str, column: pa.ChunkedArray) -> Mask:
        place = pc.index_in(column, value_set=self._sorted[kind], skip_nulls=True)
        for found in pc.unique(place.drop_null()).to_pylist():
            self.seen.add(f"{kind} {self._sorted[kind][found]}")
        return np.asarray(pc.is_valid(place))

    def _alike(self, kind: str, column: pa.ChunkedArray) -> Mask:
        known = np.asarray(pc.is_valid(column))
        values = _numbers(column.drop_null().to_pylist())
        hit = np.zeros(len(values), bool)
        for start in range(0, len(self._phashes), SLAB):
            slab = self._phashes[start : start + SLAB]
            alike = np.bitwise_count(values[:, None] ^ slab) <= ALIKE  # (rows, entries)
            hit |= alike.any(1)
            self.seen |= {f"{kind} {slab[n]:016x}" for n in np.flatnonzero(alike.any(0))}
        mask = np.zeros(len(known), bool)
        mask[known] = hit
        return mask

    def _under(self, kind: str, column: pa.ChunkedArray) -> Mask:
        """Of URLs or hosts; each host is looked at once."""
        texts = column.combine_chunks().dictionary_encode()
        hosts = [host_of(t) if "/" in t else t for t in texts.dictionary.to_pylist()]
        verdicts = {host: self._naming(host) for host in set(hosts)}
        self.seen |= {f"{kind} {name}" for name in verdicts.values() if name}
        named = pa.array([verdicts[host] is not None for host in hosts], pa.bool_())
        return np.asarray(pc.fill_null(named.take(texts.indices), False))


def hits(store: Store, names: Names, commits: Commits, order: Iterable[str]) -> Iterator[Hit]:
    """The units of which rows are named; also by layers that were replaced but are still there.

    Args:
        store: the root.
        names: the entries.
        commits: the root's commits.
        order: the stages in order; the first says what was taken down.
    """
    stages = list(order)
    columns = ["key", "url"] if names.named["host"] else ["key"]
    for unit in plan.units(store):
        keys = defaultdict[str, set[str]](set)
        for table in _tables(store, unit, columns, names, commits):
            for column, found in names.find(table):
                keys[column] |= found
        if keys:
            present = _present(store, commits.sound(unit.name), stages)
            yield Hit(unit, dict(keys), set().union(*keys.values()) & present)


def first_layer(layers: Mapping[str, Layer], order: Iterable[str]) -> str:
    """Name of a unit's first layer, by the order of stages."""
    return next((name for name in order if name in layers), min(layers))


def _tables(
    store: Store, unit: plan.Unit, columns: list[str], names: Names, commits: Commits
) -> Iterator[pa.Table]:
    yield plan.read_unit(store, unit, columns)
    if not names.of_pictures:
        return
    files = {layer.parquet.name for layer in commits.sound(unit.name).values()}
    former = {layer.parquet.name for layer in commits.all_layers(unit.name)} - files
    for file in sorted(files | {name for name in former if store.exists(name)}):
        try:
            table = _columns(store, file, OF_PICTURES)
        except DataError:
            if file in files:
                raise
            continue  # nobody can tell what it held, and nobody needs it
        if table is not None:
            yield table


def _columns(store: Store, file: str, wanted: Iterable[str]) -> pa.Table | None:
    """Key and some columns of a layer; None if it has none of them."""
    with store.parquet(file) as f:
        parquet = pq.ParquetFile(f)
        known = set(parquet.schema_arrow.names)
        there = [name for name in wanted if name in known]
        return parquet.read(["key", *there]) if there else None


def _present(store: Store, layers: Mapping[str, Layer], order: Iterable[str]) -> set[str]:
    """The keys of a unit's rows that are collected and not taken down."""
    if not layers:
        return set()
    first = layers[first_layer(layers, order)]
    table = store.read_table(first.parquet.name, ["key", "reason"])
    gone = pc.fill_null(pc.equal(table["reason"], TAKEN_DOWN), False)
    return set(table["key"].filter(pc.invert(gone)).to_pylist())


def _numbers(phashes: list[Any]) -> NDArray[np.uint64]:
    """Hashes of 16 hex digits as numbers."""
    return np.frombuffer(bytes.fromhex("".join(phashes)), ">u8").astype(np.uint64)
