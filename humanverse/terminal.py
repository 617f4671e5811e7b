"""What a run says: bars and tables on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from humanverse.layers.commit import Commit
from humanverse.layers.selected import Selection
from humanverse.pack.listing import Shard
from humanverse.run.build import Watcher
from humanverse.terminal_status import funnel

if TYPE_CHECKING:
    from rich.progress import TaskID

    from humanverse.export.folder import Handed
    from humanverse.export.img2dataset import Exported
    from humanverse.run.build import Outcome
    from humanverse.run.takedown import TakenDown

_errors = Console(stderr=True)
NAMED = 5
"""Entries that are told one by one."""


class Progress(Watcher):
    """Tells of a run as it goes, on standard error."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._started = time.monotonic()

    def says(self, message: str) -> None:
        """A line."""
        if _errors.is_terminal:
            _errors.print(message, highlight=False)
        else:
            _json(event="note", message=message)

    def starts(self, units: int, rows: int) -> None:
        """Show a bar over the rows."""
        self._started = time.monotonic()
        if not _errors.is_terminal:
            _json(event="start", units=units, rows=rows)
            return
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeRemainingColumn(),
            console=_errors,
            transient=True,
        )
        self._task = self._bars.add_task("building", total=rows)
        self._bars.start()

    def commits(self, commit: Commit) -> None:
        """Move the bar by a unit."""
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, commit.rows)
            return
        reasons = {name: layer.reasons for name, layer in commit.layers.items() if layer.reasons}
        seconds = round(time.monotonic() - self._started, 1)
        _json(event="commit", unit=commit.unit, rows=commit.rows, reasons=reasons, seconds=seconds)

    def ends(self) -> None:
        """Take the bar away and give the cursor back."""
        if self._bars is not None:
            self._bars.stop()


class Steps:
    """Tells of training as it goes, on standard error."""

    def __init__(self, done: int, steps: int) -> None:
        self._bars: Bars | None = None
        if not _errors.is_terminal:
            _json(event="start", done=done, steps=steps)
            return
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=_errors,
        )
        self._task = self._bars.add_task("training", total=steps, completed=done)
        self._bars.start()

    def tell(self, values: Mapping[str, float]) -> None:
        """Numbers of a step, among them `step` and `loss`."""
        if self._bars is None:
            _json(event="step", **values)
            return
        rate = values["samples_per_second"]
        waited = f"{values['loader_share']:.0%} of it waiting for the loader"
        said = f"loss {values['loss']:.4f}, {rate:.1f} samples/s, {waited}"
        self._bars.update(self._task, completed=values["step"], description=said)

    def close(self) -> None:
        """Give the cursor back."""
        if self._bars is not None:
            self._bars.stop()


def packed(shards: Sequence[Shard]) -> None:
    """How much was packed."""
    samples, size = sum(s.samples for s in shards), sum(s.tar_bytes for s in shards)
    print(f"packed {samples} samples in {len(shards)} shards, {size / 1e6:.1f} MB")


def waiting(left: int, units: int) -> None:
    """That not all of the plan could be packed, if so."""
    if left:
        print(f"{left} of {units} units are not through every stage with these settings: they wait")


def selected(made: Selection) -> None:
    """What of the samples stays, and how it is split."""
    print(f"{made.rows} rows through every stage; {made.clusters} clusters of near-duplicates")
    if made.clusters:
        print(f"the largest cluster has {made.largest} rows")
    for reason, number in made.reasons.items():
        print(f"- {reason:16} {number:10}")
    if made.pictures:
        unreadable = f", {made.unreadable} of them unreadable" if made.unreadable else ""
        print(f"held against {made.pictures} pictures of benchmarks{unreadable}")
    print(f"stay {made.rows - sum(made.reasons.values())}")
    for split, number in sorted(made.splits.items()):
        print(f"  {split:16} {number:10}")


def exported(done: Exported, folder: str) -> None:
    """How much lies in the folder of an export, and what could not be handed on."""
    print(
        f"exported {done.pictures} pictures of {done.rows} rows in {done.shards} shards to "
        f"{folder}, {done.written} of them written now"
    )
    if done.not_kept:
        print(
            f"{done.not_kept} pictures were collected but not kept: run collect as a slice, "
            "or build --keep-rejected"
        )
    if done.waiting:
        print(f"{done.waiting} units are not collected yet: export again once they are")


def handed(done: Handed, folder: str) -> None:
    """How much of a packed root lies in the folder of an export."""
    print(
        f"exported {done.samples} samples with {done.people} people in {done.files} files to "
        f"{folder}, {done.written} of them written now"
    )
    if done.linked:
        print(f"{done.linked} of those are hard links: they share their bytes with the root")


def taken_down(done: TakenDown, *, dry_run: bool) -> None:
    """What a takedown did, what it could not find, and what it cannot reach."""
    would = "would be " if dry_run else ""
    kinds = ", ".join(f"{number} by {kind}" for kind, number in done.by_kind.items())
    print(f"{done.rows} rows {would}taken down{f' ({kinds})' if kinds else ''}")
    freed = "" if dry_run else f"; the root is {done.freed / 1e6:.1f} MB smaller"
    print(f"{done.units} units and {done.shards} shards {would}written anew{freed}")
    if done.waiting:
        print(f"{done.waiting} rows that are named are not collected yet, and will not be")
    if done.unmatched:
        first = ", ".join(done.unmatched[:NAMED])
        more = ", ..." if len(done.unmatched) > NAMED else ""
        print(f"{len(done.unmatched)} entries name nothing here: {first}{more}")
    if done.later:
        print(
            f"{done.later} entries by sha1 or md5 cannot be looked for, since the bytes as served "
            "are not kept; they are honoured in whatever is fetched from now on"
        )
    print(
        "out of reach: copies and exports that were made, programs that hold shards open, and the "
        "input; URL and caption stay in plan and ledger"
    )


def finished(outcome: Outcome, limit: int | None) -> int:
    """The funnel, the shards, and the exit code: 1 while units are left and no limit was set."""
    funnel(outcome.funnel)
    if outcome.shards:
        packed(outcome.shards)
    if outcome.left and limit is not None:
        print(f"stopped at the limit of {limit} rows: {outcome.left} units are left")
    elif outcome.left:
        print(f"unfinished: {outcome.left} units are left; the same command goes on from here")
        return 1
    return 0


def _json(**fields: object) -> None:
    print(json.dumps(fields), file=sys.stderr, flush=True)
