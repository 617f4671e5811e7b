"""The ledger: one row for every input row, what became of it and why.

It is a view over the plan, the committed layers and the selection; nothing is stored. The sums over
reasons equal the rows planned, which is checked whenever it is made.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from humanverse import plan, schema
from humanverse.errors import DataError, UsageError
from humanverse.layers.commit import Layer, read_layer
from humanverse.layers.commits import Commits, tally
from humanverse.layers.sealed import sealed, unsealed
from humanverse.layers.selected import STAGE, in_force, rejected
from humanverse.layers.store import Store

RECIPE = "recipe.json"
_SCHEMA = schema.schema_of(schema.LEDGER)


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many rows came how far, from the plan and the commits alone."""

    rows: int
    """All input rows."""
    kept: int
    pending: int
    reasons: dict[str, Counter[str]]
    """Stage to reason to rows; the plan is the first stage."""
    units: int
    committed: int
    """Units through every stage."""
    through: dict[str, int]
    """Units through each stage and all before it, in order."""


def stage_names(store: Store) -> list[str]:
    """The stages of the root's recipe, in order."""
    return [stage["name"] for stage in recipe_of(store)["stages"]]


def stage_marks(store: Store) -> dict[str, str]:
    """The fingerprint of each stage of the root's recipe: a layer with another one is stale."""
    return {stage["name"]: stage["fingerprint"] for stage in recipe_of(store)["stages"]}


def recipe_of(store: Store) -> dict[str, Any]:
    """The resolved recipe that a root was made with.

    Raises:
        UsageError: the folder is no root.
        DataError: the file was damaged.
    """
    if not store.exists(RECIPE):
        raise UsageError(f"{store.root} holds no dataset: `humanverse build` makes one")
    return unsealed(store.read(RECIPE), RECIPE)


def keep_recipe(store: Store, resolved: str) -> None:
    """Write the resolved recipe, given as JSON, beside the data."""
    store.replace(RECIPE, sealed(json.loads(resolved)))


def ledger(store: Store) -> pa.Table:
    """One row for every input row, columns of `schema.LEDGER`, sorted as planned.

    Raises:
        DataError: rows are missing or doubled.
    """
    stages, commits = stage_marks(store), Commits.read(store)
    reasons = all_reasons(store)
    replaced, tables = plan.read_replaced(store), []
    for unit in plan.units(store):
        table = unit_rows(store, unit, stages, commits, reasons)
        tables.append(replaced[unit.name].rest(table) if unit.name in replaced else table)
    for generation, table in plan.read_unplanned(store):
        tables.append(_with_outcome(table, generation, None, table["reason"], "plan", reasons))
    out = pa.concat_tables([_SCHEMA.empty_table(), *map(_fitted, tables)])
    wanted = sum(manifest["rows"] for manifest in plan.manifests(store))
    if out.num_rows != wanted:
        raise DataError(f"the ledger has {out.num_rows} rows of {wanted}: run `humanverse verify`")
    selection = in_force(store, stages)
    return out if selection is None else _selected(out, rejected(store, selection), reasons)


def _selected(table: pa.Table, gone: pa.Table, reasons: dict[str, schema.Reason]) -> pa.Table:
    """The ledger with what the selection says of the rows that all stages kept."""
    place = pc.index_in(table["key"], gone["key"].combine_chunks())
    # A key may stand in several rows, but all stages kept one of them at most.
    mine = pc.and_(pc.is_valid(place), pc.equal(table["status"], "kept"))
    reason = gone["reason"].take(place)
    of = pa.array(list(reasons), pa.string())
    status = pa.array([reason.status for reason in reasons.values()], pa.string())
    told = {"status": status.take(pc.index_in(reason, of)), "reason": reason, "stage": STAGE}
    for name, value in told.items():
        at = table.column_names.index(name)
        table = table.set_column(at, _SCHEMA.field(name), pc.if_else(mine, value, table[name]))
    return table


def funnel(store: Store) -> Funnel:
    """Counts from the plan, the commits and the selection, without reading layers (but those made
    anew since some of their rows were tried again).
    """
    stages, replaced = stage_marks(store), plan.read_replaced(store)
    units = plan.units(store)
    counted = tally(store, units, stages)
    seen = np.logical_and.accumulate(counted.current, axis=1)  # (units, stages): up to a stale one
    complete, left = seen.all(axis=1), units.sizes()
    apart = np.asarray(pc.is_in(units.names(), pa.array(list(replaced), pa.string())))
    reasons = {name: Counter[str]() for name in ["plan", *stages]}
    for _, table in plan.read_unplanned(store, ["reason"]):
        for told in pc.value_counts(table["reason"]).to_pylist():
            reasons["plan"][told["values"]] += told["counts"]
    at, of = (np.asarray(counted.ends[name]) for name in ("unit", "stage"))
    mine = seen[at, of] & ~apart[at]
    np.subtract.at(left, at[mine], np.asarray(counted.ends["rows"])[mine])
    for stage, reason, rows in _summed(counted.ends.filter(pa.array(mine)), list(stages)):
        reasons[stage][reason] += rows
    commits = Commits.read(store) if apart.any() else Commits()
    for place in np.flatnonzero(apart).tolist():
        unit = units[place]
        for (stage, reason), rows in _counts(store, unit, stages, commits, replaced).items():
            reasons[stage][reason] += rows
            left[place] -= rows
        left[place] -= len(replaced[unit.name].keys)
    kept, pending = int(left[complete].sum()), int(left[~complete].sum())
    if selection := in_force(store, stages):
        reasons[STAGE] = Counter(selection.reasons)
        kept -= reasons[STAGE].total()
    total = sum(manifest["rows"] for manifest in plan.manifests(store))
    through = dict(zip(stages, seen.sum(axis=0).tolist(), strict=True))
    return Funnel(total, kept, pending, reasons, len(units), int(complete.sum()), through)


def unselected(store: Store) -> bool:
    """Whether the recipe selects, and has not since the layers changed."""
    wanted = "select" in recipe_of(store)
    return wanted and in_force(store, stage_marks(store)) is None


def _summed(ends: pa.Table, stages: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Rows by stage and reason, in the order in which these come first."""
    sums = ends.group_by(["stage", "reason"], use_threads=False).aggregate([("rows", "sum")])
    for row in sums.to_pylist():
        yield stages[row["stage"]], row["reason"], row["rows_sum"]


def layers_mark(layers: Mapping[str, Layer], stages: Iterable[str], last: str) -> str:
    """12 hex digits that change with the content of any of a unit's layers up to a stage."""
    upto = list(stages)
    names = [layers[name].parquet.name for name in upto[: upto.index(last) + 1] if name in layers]
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]


def all_reasons(store: Store) -> dict[str, schema.Reason]:
    """The schema's reasons, and those that the recipe's own stages bring."""
    own = recipe_of(store).get("reasons", {})
    return schema.REASONS | {name: schema.Reason("rejected", doc) for name, doc in own.items()}


def _counts(
    store: Store,
    unit: plan.Unit,
    stages: Mapping[str, str],
    commits: Commits,
    replaced: Mapping[str, plan.Replaced],
) -> Counter[tuple[str, str]]:
    """Rows by stage and reason of their end, of a unit some of whose rows later units hold."""
    layers, gone = commits.layers(unit.name), replaced[unit.name]
    seen = _current(layers, stages)
    ended = {(n, reason): rows for n in seen for reason, rows in layers[n].reasons.items()}
    if all(layers_mark(layers, stages, stage) == mark for stage, mark in gone.marks):
        return Counter(ended) - gone.ends
    table = gone.rest(unit_rows(store, unit, stages, commits, all_reasons(store)))
    ends = zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return Counter(end for end in ends if end[0] is not None)


def _current(layers: Mapping[str, Layer], stages: Mapping[str, str]) -> Iterator[str]:
    """The stages, from the first, whose layers are there and not stale."""
    for name, mark in stages.items():
        if name not in layers or layers[name].fingerprint != mark:
            return
        yield name


def unit_rows(
    store: Store,
    unit: plan.Unit,
    stages: Mapping[str, str],
    commits: Commits,
    reasons: dict[str, schema.Reason],
) -> pa.Table:
    """All rows of a unit with their outcome, also those that later units hold again."""
    table, layers = plan.read_unit(store, unit), commits.layers(unit.name)
    reason = stage = pa.nulls(unit.rows, pa.string())
    seen = list(_current(layers, stages))
    for name in seen:
        fields = read_layer(store, layers[name])
        mine = pc.and_(pc.is_null(reason), pc.is_valid(fields["reason"]))
        reason = pc.if_else(mine, fields["reason"], reason)
        stage = pc.if_else(mine, name, stage)
        for column in fields.column_names:
            if column in _SCHEMA.names and column not in ("key", "reason"):
                table = table.append_column(column, fields[column])
    complete = len(seen) == len(stages)
    generation = int(unit.name.partition("-")[0])
    return _with_outcome(table, generation, unit.name, reason, stage, reasons, complete=complete)


def _with_outcome(
    table: pa.Table,
    generation: int,
    unit: str | None,
    reason: Any,
    stage: Any,
    reasons: dict[str, schema.Reason],
    *,
    complete: bool = True,
) -> pa.Table:
    rows = table.num_rows
    alive = "kept" if complete else "pending"
    status = [alive if r is None else reasons[r].status for r in reason.to_pylist()]
    columns = {
        "generation": pa.array([generation] * rows, pa.int32()),
        "unit": pa.array([unit] * rows, pa.string()),
        "status": pa.array(status, pa.string()),
        "reason": reason,
        "stage": pa.array([stage] * rows, pa.string()) if isinstance(stage, str) else stage,
    }
    present = [name for name in table.column_names if name not in columns]
    return pa.table({name: table[name] for name in present} | columns)


def _fitted(table: pa.Table) -> pa.Table:
    """The ledger's columns in its order and types; what no layer gave is null."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in _SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)
