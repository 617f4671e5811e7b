"""What is worth another try: rows that ended for a reason that may have passed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from humanverse import plan
from humanverse.errors import UsageError
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import all_reasons, layers_mark, stage_marks, unit_rows
from humanverse.layers.store import Store

TRANSIENT = "transient"


def named(store: Store, wanted: str) -> set[str]:
    """The reasons of a list with commas; `transient` stands for all that may pass.

    Raises:
        UsageError: it names no known reason.
    """
    known = all_reasons(store)
    names = {name.strip() for name in wanted.split(",")} - {""}
    if TRANSIENT in names:
        names = names - {TRANSIENT} | {name for name, reason in known.items() if reason.transient}
    if (strange := sorted(names - known.keys())) or not names:
        raise UsageError(
            f"--retry: no reason {', '.join(strange) or repr(wanted)}: "
            f"say {TRANSIENT}, or reasons of `status`"
        )
    return names


def retry(store: Store, names: Iterable[str], unit_rows: int) -> int:
    """Plan once more what ended for one of these reasons; returns how many rows.

    Rows that are planned again but not done yet are not planned a third time, so a run that was
    broken off goes on with the same command.

    Args:
        store: the root.
        names: the reasons.
        unit_rows: rows of a unit.
    """
    return plan.plan_again(store, _ended(store, set(names)), unit_rows)


def _ended(store: Store, names: set[str]) -> Iterator[pa.Table]:
    """The rows of each unit that ended so, with what their replacement has to know."""
    stages, commits = stage_marks(store), Commits.read(store)
    reasons, replaced = all_reasons(store), plan.read_replaced(store)
    values = pa.array(sorted(names), pa.string())
    for unit in plan.units(store):
        layers = commits.layers(unit.name)
        if not any(names & layer.reasons.keys() for layer in layers.values()):
            continue
        outcome = unit_rows(store, unit, stages, commits, reasons)
        ended = pc.is_in(outcome["reason"], values)
        outcome = outcome.filter(ended)
        rows = plan.read_unit(store, unit).filter(ended)
        for name in ("unit", "stage", "reason"):
            rows = rows.append_column(name, outcome[name])
        last = {s: layers_mark(layers, stages, s) for s in set(rows["stage"].to_pylist())}
        marks = pa.array([last[stage] for stage in rows["stage"].to_pylist()], pa.string())
        rows = rows.append_column("mark", marks)
        if unit.name in replaced:
            rows = replaced[unit.name].rest(rows)
        if rows.num_rows:
            yield rows
