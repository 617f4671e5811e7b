"""One unit through its stages: the only place where what a stage gives meets the rows it was given.

The state of a unit is one Arrow table sorted by key: the planned columns, what the stages wrote so
far, and `reason` and `stage`, which are null for a row still alive.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from humanverse import schema
from humanverse.errors import DataError
from humanverse.layers import failpoints
from humanverse.layers.commit import (
    Commit,
    Layer,
    publish,
    read_layer,
    read_members,
    read_receipt,
    write_layer,
)
from humanverse.layers.store import Store
from humanverse.layers.timings import FOLDER as TELEMETRY
from humanverse.layers.timings import Timing, note_timings, worker
from humanverse.plan import Unit, read_unit
from humanverse.run.answers import answer_schema, checked, cuts
from humanverse.run.suspects import Answers, Suspects
from humanverse.stage import Stage, telemetry_of


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done with one unit."""

    unit: Unit
    number: int
    """Of the commit it will make."""
    todo: dict[str, str]
    """Stages to run, name to fingerprint, in order."""
    done: dict[str, Layer]
    """Stages before the last of these that are committed already."""
    keep_rejected: bool
    timings: list[Timing] = field(default_factory=list, compare=False)
    """What its stages took so far; it grows as they are run."""


def start(store: Store, task: Task) -> pa.Table:
    """The state of a unit before its first stage."""
    table = read_unit(store, task.unit)
    nulls = pa.nulls(table.num_rows, pa.string())
    return table.append_column("reason", nulls).append_column("stage", nulls)


def advance(store: Store, task: Task, table: pa.Table, stages: Sequence[Stage]) -> pa.Table:
    """The state after some stages, each run anew or taken from its committed layer."""
    for stage in stages:
        if stage.name in task.done:
            table = _restored(store, task, table, stage)
        elif stage.name in task.todo:
            begun, rows = time.time(), table["reason"].null_count
            table = apply(table, stage, Suspects(store, task.unit.name))
            took = Timing(stage.name, stages[0].name, worker(), begun, time.time() - begun, rows)
            task.timings.append(took)
    return table


def apply(table: pa.Table, stage: Stage, suspects: Suspects | None = None) -> pa.Table:
    """The state after one (opened) stage. No row is lost, whatever the stage gives.

    `suspects` is for a fragile stage: who kills it is found and set aside.
    """
    table = _without_bytes_deferred(table, stage)
    alive = table.filter(pc.is_null(table["reason"])).select(["key", *stage.reads])
    if suspects is not None and getattr(stage, "fragile", False):
        answers = list(Answers(stage, suspects)(alive))
    else:
        batches = cuts(alive, getattr(stage, "batch_rows", 64))
        answers = [checked(stage, batch, stage(batch)) for batch in batches]
    failpoints.here("answered")
    answer = pa.concat_tables([answer_schema(stage).empty_table(), *answers])
    place = pc.index_in(table["key"], value_set=answer["key"].combine_chunks())
    lost = pc.and_(pc.is_null(table["reason"]), pc.is_null(place))
    reason = pc.if_else(lost, "no_result", answer["reason"].take(place))
    columns = answer.drop_columns(["key", "reason"])
    if not answer["key"].equals(table["key"]):  # most often it is, and pictures need no copy
        columns = columns.take(place)
    return _join(table, stage, columns, reason)


def commit(store: Store, task: Task, table: pa.Table, stages: Sequence[Stage]) -> Commit:
    """Write the layers that were to be made and publish them together.

    The members of rows that were set aside are left out unless the task keeps them. If another
    process has published this commit first, its layers count and ours are orphans.
    """
    unit = task.unit
    if table.num_rows != unit.rows:
        raise DataError(f"unit {unit.name} has {table.num_rows} rows of {unit.rows} planned")
    last = stages[-1].name
    if last in task.todo and "image" in table.column_names:
        table = _without_bytes(table, last)  # where no stage looks at pictures after the filter
    if not task.keep_rejected:
        table = drop_dead_members(table)
    layers = {}
    for stage in stages:
        if stage.name in task.todo:
            columns = table.select(["key", *stage.writes.names])
            mine = pc.if_else(pc.equal(table["stage"], stage.name), table["reason"], None)
            mark = task.todo[stage.name]
            layers[stage.name] = write_layer(store, unit.name, stage.name, columns, mark, mine)
    made = Commit(unit.name, task.number, unit.rows, layers)
    failpoints.here("layers")
    if not publish(store, made):
        made = read_receipt(store, unit.name, task.number)
    failpoints.here("committed")
    _keep_telemetry(store, task, table, stages)
    failpoints.here("recorded")
    return made


def _keep_telemetry(store: Store, task: Task, table: pa.Table, stages: Sequence[Stage]) -> None:
    """Write down how it went, outside of what a commit makes real and verifies."""
    names = [n for s in stages if s.name in task.todo for n in telemetry_of(s).names]
    if names:
        name = f"{TELEMETRY}/{task.unit.name}.g{task.number}.parquet"
        store.replace_table(name, table.select(["key", *names]))
    note_timings(store, task.unit.name, task.number, task.timings)


def drop_dead_members(table: pa.Table) -> pa.Table:
    """The state without the bytes of rows set aside, which need not travel further."""
    dead = pc.is_valid(table["reason"])
    for name in table.column_names:
        if name in schema.MEMBERS:
            column = pc.if_else(dead, pa.scalar(None, table.schema.field(name).type), table[name])
            table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _restored(store: Store, task: Task, table: pa.Table, stage: Stage) -> pa.Table:
    layer = task.done[stage.name]
    fields = read_layer(store, layer)
    if not fields["key"].equals(table["key"]):
        raise DataError(
            f"layer {stage.name} of unit {task.unit.name} holds other keys than its plan"
        )
    members = [name for name in stage.writes.names if name in schema.MEMBERS]
    table = _join(table, stage, fields.drop_columns("reason"), fields["reason"])
    return _join_members(table, stage, read_members(store, layer), members) if members else table


def _join(table: pa.Table, stage: Stage, columns: pa.Table, reason: Any) -> pa.Table:
    for name in columns.column_names:
        if name != "key":
            table = table.append_column(name, columns[name])
    decided = pc.and_(pc.is_null(table["reason"]), pc.is_valid(reason))
    return _set_reason(table, decided, reason, stage.name)


def _set_reason(table: pa.Table, where: Any, reason: Any, stage: str) -> pa.Table:
    reasons = pc.if_else(where, reason, table["reason"]).cast(pa.string())
    stages = pc.if_else(where, stage, table["stage"]).cast(pa.string())
    table = table.set_column(table.schema.get_field_index("reason"), "reason", reasons)
    return table.set_column(table.schema.get_field_index("stage"), "stage", stages)


def _join_members(
    table: pa.Table, stage: Stage, members: dict[str, dict[str, bytes]], columns: Sequence[str]
) -> pa.Table:
    keys = table["key"].to_pylist()
    for name in columns:
        extension = schema.MEMBERS[name]
        values = [members.get(key, {}).get(extension) for key in keys]
        table = table.append_column(name, pa.array(values, stage.writes.field(name).type))
    return table


def _without_bytes_deferred(table: pa.Table, stage: Stage) -> pa.Table:
    """Set aside rows that a looser filter brought back to life but whose bytes were not kept."""
    return _without_bytes(table, stage.name) if "image" in stage.reads else table


def _without_bytes(table: pa.Table, stage: str) -> pa.Table:
    missing = pc.and_(pc.is_null(table["reason"]), pc.is_null(table["image"]))
    return _set_reason(table, missing, "bytes_missing", stage)
