"""Inputs that kill a stage: found by their own guilt, set aside alone.

Before each batch of a fragile stage its keys are noted at the root. A worker that dies, of a crash
in a library, an endless loop, or by chance, leaves the note behind; whoever takes the unit up again
gives those rows, one by one, to a child that may die. Twice dead of a row, that row is `poison`;
the others keep their answers. A row at which the stage raises an error ends the same way, as long
as the stage can answer others of the unit: else it is the stage that is broken.
"""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from humanverse.errors import DataError, HumanverseError
from humanverse.layers.store import Store
from humanverse.run.answers import checked, cuts, set_aside
from humanverse.run.judge import Judge
from humanverse.stage import Stage

STDERR = 2
FOLDER = "inflight"
POISON = "poison"
MANY = 8
"""Rows that do not all kill a stage by chance: beyond, it is the stage that cannot run here."""


@dataclass
class Suspects:
    """What one unit's worker is at, noted at the root."""

    store: Store
    unit: str

    def of(self, stage: Stage) -> list[str]:
        """The keys that a dead worker was at, in this stage of the unit."""
        try:
            return self.store.read(self._name(stage)).decode("ascii", "ignore").split()
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def noted(self, stage: Stage, batch: pa.Table, before: Sequence[str] = ()) -> Iterator[None]:
        """Note a batch, and who was suspect before, for as long as it takes; too long, and this
        process ends.

        The note stays where the process dies, and also where an error comes through: what raised
        it may have been on its way to a crash.
        """
        keys = [*before, *batch["key"].to_pylist()]
        self.store.note(self._name(stage), "\n".join(keys).encode())
        # Its thread needs no GIL, which a library that hangs may hold.
        faulthandler.dump_traceback_later(stage_deadline(stage), exit=True, file=STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def clear(self, stage: Stage) -> None:
        """The stage is through the unit."""
        self.store.remove(self._name(stage))

    def _name(self, stage: Stage) -> str:
        return f"{FOLDER}/{self.unit}.{stage.name}"


@dataclass
class Answers:
    """The answers of a fragile stage for the rows of a unit."""

    stage: Stage
    suspects: Suspects
    errors: list[Exception] = field(default_factory=list)
    _answered: int = 0

    def __call__(self, alive: pa.Table) -> Iterator[pa.Table]:
        """Answer every row, suspects first, in a child.

        Raises:
            Exception: the stage's own, if it answered none of them.
        """
        # Who was judged is not forgotten before the unit is through: another batch may kill, too.
        before = self.suspects.of(self.stage)
        mask = pc.is_in(alive["key"], value_set=pa.array(before, pa.string()))
        if before:
            yield from self._judged(alive.filter(mask))
            alive = alive.filter(pc.invert(mask))
        for batch in cuts(alive, getattr(self.stage, "batch_rows", 64)):
            with self.suspects.noted(self.stage, batch, before):
                yield from self._tried(batch)
        if self.errors and not self._answered:
            raise self.errors[0]
        self.suspects.clear(self.stage)

    def _judged(self, table: pa.Table) -> Iterator[pa.Table]:
        with Judge(self.stage, stage_deadline(self.stage)) as judge:
            for row in cuts(table, 1):
                answer = judge.answer(row)
                self._answered += answer is not None
                yield set_aside(self.stage, row, POISON) if answer is None else answer
        if judge.errors > 1:  # a single row is judged by the errors that others do not have
            told = f"stage {self.stage.name} raised an error at each of {judge.errors} rows"
            self.errors.append(DataError(f"{told} of unit {self.suspects.unit}, and answered none"))
        elif table.num_rows > MANY:  # counts only if no row at all is answered
            told = f"stage {self.stage.name} died of each of {table.num_rows} rows"
            self.errors.append(DataError(f"{told} of unit {self.suspects.unit}: does it run here?"))

    def _tried(self, batch: pa.Table) -> Iterator[pa.Table]:
        """A batch's answer; where that fails, row by row."""
        try:
            answer = checked(self.stage, batch, self.stage(batch))
            self._answered += batch.num_rows
            yield answer
        except HumanverseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises at its input
            if batch.num_rows > 1:
                for row in cuts(batch, 1):
                    yield from self._tried(row)
            else:
                self.errors.append(error)
                yield set_aside(self.stage, batch, POISON)


def stage_deadline(stage: Stage) -> float:
    """Seconds that one call may take."""
    return float(getattr(stage, "deadline", 900.0))
