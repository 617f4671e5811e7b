"""An estimate in a terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from humanverse.estimate.interval import Interval
from humanverse.estimate.whole import Estimate, Wall
from humanverse.terminal_status import sized, spanned

REASONS = 6
"""Of rows that are not kept, that are told by name."""


def show(told: Estimate, *, unselected: bool) -> None:
    """All of it, on standard output."""
    console = Console(highlight=False)
    units = f"{told.built} of {told.units:,} units"
    console.print(f"{units} were built, drawn at random; bounds hold in 95 of 100 cases\n")
    for table in _tables(told):
        console.print(table)
        console.print()
    console.print(*_lines(told, unselected), sep="\n")


def as_json(told: Estimate) -> str:
    """The same as one line, for programs."""
    return json.dumps(dataclasses.asdict(told))


def _tables(told: Estimate) -> Iterator[Table]:
    rows = _table("of the table")
    rows.add_row("rows of the input", f"{told.rows:,}", "", "")
    rows.add_row("rows planned", f"{told.planned:,}", "", "")
    rows.add_row("kept", *_cells(told.kept, _count), style="bold")
    rows.add_row("  of the planned rows", *_cells(told.share, lambda value: f"{value:.2%}"))
    for reason, number in list(told.ends.items())[:REASONS]:
        rows.add_row(f"  - {reason}", *_cells(number, _count))
    yield rows
    sizes = _table("on disk")
    for name, size in told.bytes.items():
        sizes.add_row(name, *_cells(size, sized))
    yield sizes
    hours = _table("worker-hours")
    for one in told.needed:
        kind, amount = "CPU", one.cpu_hours
        if one.gpu_hours.value:
            kind, amount = "GPU", one.gpu_hours
        hours.add_row(f"{one.stage}, {kind}", *_cells(amount, _number))
    hours.add_row("CPU time by the system", *_cells(told.cpu_measured, _number), style="dim")
    yield hours
    if told.cost:
        cost = _table("cost")
        for name, amount in told.cost.items():
            cost.add_row(name, *_cells(amount, _number))
        yield cost
    walls = _table("wall time")
    walls.add_row("on this machine", *_cells(told.here.seconds, spanned))
    if told.there is not None:
        walls.add_row("on the cluster", *_cells(told.there.seconds, spanned))
    yield walls


def _lines(told: Estimate, unselected: bool) -> Iterator[str]:
    yield f"this machine waits for {_waits(told.here)}"
    if told.there is not None:
        workers = ", ".join(f"{number:,} of {pool}" for pool, number in told.there.workers.items())
        yield f"the cluster runs workers: {workers}; it waits for {_waits(told.there)}"
    if not told.share.value:
        yield (
            "none of the rows drawn was kept: all that is known is the upper bound (3 divided by "
            "the rows drawn). Draw more units"
        )
    if unselected:
        yield "near-duplicates, which the recipe leaves out, are still among the kept"
    if any(one.gpu_hours.value for one in told.needed):
        yield "GPU-hours are those of this machine's devices: other ones need others"


def _waits(wall: Wall) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in wall.busy.items())
    return f"{wall.limit} (busy: {shares})"


def _table(title: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(title, min_width=24)
    for name in ("", "at least", "at most"):
        table.add_column(name, justify="right", min_width=12)
    return table


def _cells(amount: Interval, said: Callable[[float], str]) -> tuple[str, str, str]:
    high = said(amount.high) if amount.high < 1e15 else "unknown"
    return said(amount.value), said(amount.low), high


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _number(number: float) -> str:
    return f"{number:,.1f}" if number >= 10 else f"{number:.3g}"
