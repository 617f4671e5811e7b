"""What a root's plan holds: generations, their units, and the rows of each.

A generation is a manifest `plan/NN.json` that names Parquet files, one row group a unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import schema
from humanverse.layers.sealed import unsealed
from humanverse.layers.store import Store, write_parquet

FOLDER = "plan"
PLANNED = schema.schema_of(schema.PLAN)
UNPLANNED = PLANNED.append(pa.field("reason", pa.string()))


@dataclass(frozen=True, slots=True)
class Unit:
    """Some thousand planned rows: what is worked on, fails and is committed together."""

    name: str
    file: str
    group: int
    rows: int


def manifests(store: Store) -> list[dict[str, Any]]:
    """The plan's generations, oldest first."""
    names = [f"{FOLDER}/{name}" for name in manifest_names(store)]
    return [unsealed(store.read(name), name) for name in names]


def manifest_names(store: Store) -> list[str]:
    """Names of the manifests, oldest first: as numbers, since the hundred-and-first has a digit
    more.
    """
    names = [n for n in store.names(FOLDER) if n.endswith(".json")]
    return sorted(names, key=lambda name: (len(name), name))


def units(store: Store) -> list[Unit]:
    """All units of all generations, in order."""
    return [unit for number, m in enumerate(manifests(store)) for unit in _units_of(number, m)]


def read_unit(store: Store, unit: Unit, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a unit, sorted by key; all their columns, or some."""
    with store.open(f"plan/{unit.file}") as f:
        return pq.ParquetFile(f).read_row_group(unit.group, columns)


def read_unplanned(store: Store) -> Iterator[tuple[int, pa.Table]]:
    """Rows that no unit holds, with `reason`, by generation."""
    for number, manifest in enumerate(manifests(store)):
        for part in manifest["parts"]:
            with store.open(f"plan/{part['unplanned']}") as f:
                yield number, pq.read_table(f)


def _units_of(generation: int, manifest: dict[str, Any]) -> Iterator[Unit]:
    size, number = manifest["unit_rows"], 0
    for part in manifest["parts"]:
        for group, start in enumerate(range(0, part["rows"], size)):
            rows = min(size, part["rows"] - start)
            yield Unit(f"{generation:02d}-{number:07d}", part["file"], group, rows)
            number += 1


def put(
    store: Store, base: str, table: pa.Table, row_group_size: int | None = None
) -> tuple[str, str]:
    """Write a file of the plan under a name of its content: name and sha256.

    Two plans that are made at once cannot write over each other's rows.
    """
    with store.attempt("plan") as attempt:
        write_parquet(attempt.file, table, row_group_size)
        digest = attempt.sha256()
        name = f"{base}.{digest[:12]}.parquet"
        attempt.publish(name)
    return name, digest
