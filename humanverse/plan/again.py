"""Rows that are tried again: a generation of the plan made of rows that earlier ones hold.

The rows get new units, so nothing that is committed or packed changes: what a second try brings
lies in commits and shards of its own. A table beside the units tells which rows of which earlier
unit they replace; there those rows count no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from humanverse.errors import DataError
from humanverse.layers.sealed import sealed
from humanverse.layers.store import Store
from humanverse.plan.units import FOLDER, PLANNED, UNITS_PER_FILE, UNPLANNED, manifests, put

REPLACED = pa.schema(
    [
        ("key", pa.string()),
        ("unit", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("mark", pa.string()),
    ]
)
"""A row of an earlier unit that is tried again: the stage and reason with which it ended there, and
a mark of the layers that said so."""


PART_ROWS = 500_000
"""Rows of one file of units, about: they are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The rows of one unit that later units hold."""

    keys: set[str] = field(default_factory=set)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many ended at which stage for which reason."""
    marks: set[tuple[str, str]] = field(default_factory=set)
    """Those stages, and the marks of the layers up to them."""

    def rest(self, table: pa.Table) -> pa.Table:
        """The rows of the unit that still count."""
        gone = pc.is_in(table["key"], pa.array(self.keys, pa.string()))
        return table.filter(pc.invert(gone))


def plan_again(store: Store, found: Iterator[pa.Table], unit_rows: int) -> int:
    """Plan rows once more; returns how many.

    Args:
        store: the root.
        found: tables of planned rows with the columns `unit`, `stage`, `reason` and `mark` of
            `REPLACED`, in the order in which they shall be tried.
        unit_rows: rows of a unit.
    """
    number = len(manifests(store))
    parts, files, rows = [], [], 0
    size = max(1, min(UNITS_PER_FILE, PART_ROWS // unit_rows))
    for index, table in enumerate(_cut(found, unit_rows * size)):
        base = f"{number:02d}.{index:04d}"
        planned = _sorted_in_units(table.select(PLANNED.names).cast(PLANNED), unit_rows)
        file, sha256 = put(store, base, planned, unit_rows)
        none, none_sha256 = put(store, f"{base}.unplanned", UNPLANNED.empty_table())
        part = {"file": file, "rows": table.num_rows, "sha256": sha256}
        parts.append(part | {"unplanned": none, "unplanned_sha256": none_sha256})
        gone, gone_sha256 = put(
            store, f"{base}.replaced", table.select(REPLACED.names).cast(REPLACED)
        )
        files.append({"file": gone, "sha256": gone_sha256})
        rows += table.num_rows
    if rows:
        _publish(store, number, parts, files, unit_rows)
    return rows


def read_replaced(store: Store) -> dict[str, Replaced]:
    """What is tried again, by the unit that held it first."""
    out: dict[str, Replaced] = {}
    for manifest in manifests(store):
        for part in manifest.get("replaced", ()):
            table = store.read_table(f"{FOLDER}/{part['file']}")
            for row in table.to_pylist():
                replaced = out.setdefault(row["unit"], Replaced())
                replaced.keys.add(row["key"])
                replaced.ends[row["stage"], row["reason"]] += 1
                replaced.marks.add((row["stage"], row["mark"]))
    return out


def _publish(
    store: Store,
    number: int,
    parts: list[dict[str, Any]],
    files: list[dict[str, str]],
    unit_rows: int,
) -> None:
    """Make the generation real. Its rows are no new input rows, so it counts none."""
    manifest = {"schema": "humanverse.plan.v1", "inputs": [], "rows": 0, "unplanned": 0}
    body = manifest | {"online": False, "parts": parts, "replaced": files, "unit_rows": unit_rows}
    text = sealed(body)
    name = f"{FOLDER}/{number:02d}.json"
    if not store.create(name, text):
        raise DataError("another plan was made meanwhile: run the command again")


def _cut(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly so many, but for the last."""
    waiting: list[pa.Table] = []
    have = 0
    for table in tables:
        waiting.append(table)
        have += table.num_rows
        while have >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            waiting, have = [whole.slice(rows)], have - rows
    if have:
        yield pa.concat_tables(waiting)


def _sorted_in_units(table: pa.Table, unit_rows: int) -> pa.Table:
    starts = range(0, table.num_rows, unit_rows)
    return pa.concat_tables([table.slice(n, unit_rows).sort_by("key") for n in starts])
