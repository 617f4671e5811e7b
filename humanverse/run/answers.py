"""What a stage is asked, in batches, and whether its answer is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from humanverse.errors import DataError
from humanverse.stage import Stage, reasons_of, telemetry_of

BATCH_BYTES = 256 << 20
"""Most bytes of one call of a stage, unless a single row is larger."""


def cuts(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """Batches of at most so many rows and, beyond one row, `BATCH_BYTES`."""
    start = 0
    while start < table.num_rows:
        batch = table.slice(start, rows)
        while batch.num_rows > 1 and batch.nbytes > BATCH_BYTES:
            batch = batch.slice(0, batch.num_rows // 2)
        yield batch
        start += batch.num_rows


def answer_schema(stage: Stage) -> pa.Schema:
    """The columns of a stage's answer."""
    head, tail = pa.field("key", pa.string()), pa.field("reason", pa.string())
    return pa.schema([head, *stage.writes, *telemetry_of(stage), tail])


def checked(stage: Stage, batch: pa.Table, answer: pa.Table) -> pa.Table:
    """A stage's answer in its declared columns, or a clear word on what is wrong with the stage."""
    if "reason" not in answer.column_names:
        answer = answer.append_column("reason", pa.nulls(answer.num_rows, pa.string()))
    wanted = answer_schema(stage)
    if missing := set(wanted.names) - set(answer.column_names):
        raise DataError(f"stage {stage.name} did not give {', '.join(sorted(missing))}")
    answer = answer.select(wanted.names).cast(wanted)
    keys = pc.unique(answer["key"])
    if len(keys) != answer.num_rows or pc.any(pc.is_null(pc.index_in(keys, batch["key"]))).as_py():
        raise DataError(f"stage {stage.name} gave keys twice, or keys it was not asked about")
    known = reasons_of([stage])
    allowed = known if isinstance(stage.reasons, Mapping) else stage.reasons
    given = set(pc.unique(answer["reason"]).to_pylist()) - {None}
    if undeclared := given - set(allowed):
        raise DataError(f"stage {stage.name} gave undeclared reasons {', '.join(undeclared)}")
    return answer


def set_aside(stage: Stage, rows: pa.Table, reason: str) -> pa.Table:
    """An answer in the stage's place: nothing but a reason."""
    kind = answer_schema(stage)
    columns = {field.name: pa.nulls(rows.num_rows, field.type) for field in kind}
    columns |= {"key": rows["key"], "reason": pa.array([reason] * rows.num_rows, pa.string())}
    return pa.table(columns, schema=kind)
