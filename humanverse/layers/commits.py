"""All commits of a root: what the newest of them say of a unit, and of all units at a time."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from humanverse import plan
from humanverse.layers.commit import DAMAGED, Commit, File, Layer
from humanverse.layers.rolled import SOME, commits_of, layer_of, read_rows, to_rows
from humanverse.layers.store import Store

_FEW = ("unit", "number", "layer", "fingerprint", "reasons")
"""What can be told of all units without the names of their files."""
SLAB = 65_536
"""Names that are objects at a time."""


class Commits:
    """All commits of a root, as they stood when it was made. They stay rows of a table until a
    unit is asked for: of millions of them, objects would fill the memory.
    """

    def __init__(self, commits: Iterable[Commit] = ()) -> None:
        self._take(to_rows(commits))

    @classmethod
    def read(cls, store: Store) -> Commits:
        """The roll-ups and the tail that is in none of them."""
        made = cls()
        made._take(read_rows(store))
        return made

    def of(self, unit: str) -> list[Commit]:
        """The commits of a unit, oldest first."""
        first = bisect_left(range(len(self._names)), unit, key=self._unit)
        last = bisect_right(range(len(self._names)), unit, first, key=self._unit)
        rows = self._rows.slice(first, last - first)
        return [*commits_of(rows.to_batches()), *self._added.get(unit, ())]

    def units(self) -> list[str]:
        """The units that have commits, sorted."""
        return sorted({*pc.unique(self._rows["unit"]).to_pylist(), *self._added})

    def layers(self, unit: str) -> dict[str, Layer]:
        """The unit's layers, each from the newest commit that names it."""
        out: dict[str, Layer] = {}
        for commit in self.of(unit):
            out |= commit.layers
        return out

    def sound(self, unit: str) -> dict[str, Layer]:
        """Those of the unit's layers that are not marked as damaged."""
        layers = self.layers(unit).items()
        return {name: layer for name, layer in layers if layer.fingerprint != DAMAGED}

    def all_layers(self, unit: str) -> Iterator[Layer]:
        """Every layer that a commit of the unit names, also those since replaced."""
        for commit in self.of(unit):
            yield from commit.layers.values()

    def next_number(self, unit: str) -> int:
        """The number of the unit's next commit."""
        return max((commit.number for commit in self.of(unit)), default=-1) + 1

    def add(self, commit: Commit) -> None:
        """Take up a commit made meanwhile."""
        self._added.setdefault(commit.unit, []).append(commit)

    def files(self) -> Iterator[File]:
        """Every file that a commit names, also of layers since replaced."""
        for batch in self._rows.to_batches(SOME):
            for row in batch.to_pylist():
                yield from layer_of(row).files if row["layer"] else ()
        for commits in self._added.values():
            yield from (f for c in commits for layer in c.layers.values() for f in layer.files)

    def units_with(self, reason: str) -> list[str]:
        """The units of which any commit ever set rows aside for a reason, sorted."""
        found = {
            commit.unit
            for commits in self._added.values()
            for commit in commits
            if any(reason in layer.reasons for layer in commit.layers.values())
        }
        rows, told = _flat(self._rows["reasons"])
        rows = rows[np.asarray(pc.equal(pc.struct_field(told, "reason"), reason))]
        return sorted(found | set(self._rows["unit"].take(pa.array(rows)).to_pylist()))

    def __iter__(self) -> Iterator[Commit]:
        yield from commits_of(self._rows.to_batches(SOME))
        for commits in self._added.values():
            yield from commits

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _take(self, rows: pa.Table) -> None:
        self._rows = rows
        self._names = rows["unit"].combine_chunks()
        self._added: dict[str, list[Commit]] = {}

    def _unit(self, row: int) -> str:
        return str(self._names[row])


def are_current(layers: Mapping[str, Layer], marks: Mapping[str, str]) -> bool:
    """Whether a unit's layers are all there and of these settings."""
    return all(name in layers and layers[name].fingerprint == mark for name, mark in marks.items())


@dataclass(frozen=True)
class Tally:
    """What the commits say of all planned units, without their files: arrays by unit and stage."""

    present: NDArray[np.bool_]
    """(units, stages): whether there is such a layer, and it is not marked as damaged."""
    current: NDArray[np.bool_]
    """(units, stages): whether it was made with the settings of today."""
    numbers: NDArray[np.int64]
    """(units,): the number of the next commit."""
    ends: pa.Table
    """Rows set aside by the newest layers: places of unit and stage, reason, rows."""


def tally(store: Store, units: plan.Units, marks: Mapping[str, str]) -> Tally:
    """Count over all commits.

    Args:
        store: the root.
        units: of its plan.
        marks: stages with their fingerprints.
    """
    rows = read_rows(store, _FEW)
    at = _places(rows["unit"], units.names())
    of = _places(rows["layer"], pa.array(list(marks), pa.string()))
    numbers = np.zeros(len(units), np.int64)
    planned = at >= 0
    np.maximum.at(numbers, at[planned], np.asarray(rows["number"])[planned] + 1)
    known = np.flatnonzero(planned & (of >= 0))
    newest = _newest(at, of, known, (len(units), len(marks)))
    fresh = np.zeros(rows.num_rows + 1, bool)  # the last one is for layers that are not there
    wanted = pa.array(list(marks.values()), pa.string()).take(pa.array(of[known]))
    fresh[known] = np.asarray(pc.equal(rows["fingerprint"].take(pa.array(known)), wanted))
    damaged = np.ones(rows.num_rows + 1, bool)
    damaged[:-1] = np.asarray(pc.fill_null(pc.equal(rows["fingerprint"], DAMAGED), False))
    present = ~damaged[newest]
    return Tally(present, fresh[newest], numbers, _ends(rows["reasons"], newest))


def content(store: Store, units: plan.Units, marks: Mapping[str, str]) -> str:
    """16 hex digits that change with the layers of any unit that is through all stages.

    Args:
        store: the root.
        units: of its plan.
        marks: stages with their fingerprints.
    """
    rows = read_rows(store, ("unit", "number", "layer", "fingerprint", "parquet_name"))
    at = _places(rows["unit"], units.names())
    of = _places(rows["layer"], pa.array(list(marks), pa.string()))
    known = np.flatnonzero((at >= 0) & (of >= 0))
    newest = _newest(at, of, known, (len(units), len(marks)))
    wanted = pa.array(list(marks.values()), pa.string()).take(pa.array(of[known]))
    current = np.zeros(rows.num_rows + 1, bool)
    current[known] = np.asarray(pc.equal(rows["fingerprint"].take(pa.array(known)), wanted))
    complete = newest[current[newest].all(axis=1)].ravel()
    # Rows that are tried again count in a later generation of the plan alone.
    digest = hashlib.sha256(f"{len(plan.manifest_names(store))}".encode())
    for start in range(0, len(complete), SLAB):
        names = rows["parquet_name"].take(pa.array(complete[start : start + SLAB]))
        digest.update("".join(f"\n{name}" for name in names.to_pylist()).encode())
    return digest.hexdigest()[:16]


def _newest(
    at: NDArray[np.int64], of: NDArray[np.int64], known: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """(units, stages): the row of each one's newest layer; -1 if there is none."""
    newest = np.full(shape, -1)
    newest[at[known], of[known]] = known  # rows are sorted by number: the last one stays
    return newest


def _ends(reasons: pa.ChunkedArray, newest: NDArray[np.int64]) -> pa.Table:
    unit, stage = np.nonzero(newest >= 0)
    entry, told = _flat(reasons.take(pa.array(newest[unit, stage])))
    columns = {"unit": pa.array(unit[entry]), "stage": pa.array(stage[entry])}
    return pa.table(columns | {name: pc.struct_field(told, name) for name in ("reason", "rows")})


def _places(values: pa.ChunkedArray, known: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Where each value stands among the known ones; -1 if nowhere."""
    return np.asarray(pc.fill_null(pc.index_in(values, known), -1)).astype(np.int64)


def _flat(lists: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.StructArray]:
    """The entries of a column of lists, and the row of each."""
    whole = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    return np.asarray(pc.list_parent_indices(whole)), pc.list_flatten(whole)
