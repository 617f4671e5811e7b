"""How a root stands, in a terminal: once, or again and again in place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator

import pyarrow as pa
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from humanverse.layers.ledger import Funnel
from humanverse.layers.standing import Pace, Standing

BAR = 30
"""Characters of the longest bar of a funnel."""


def funnel(counts: Funnel) -> None:
    """The funnel from input rows to kept ones, by stage and reason, on standard output."""
    Console(highlight=False).print(_funnel(counts))
    print(f"units: {counts.committed} of {counts.units} through every stage")


def _funnel(counts: Funnel) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name, side in (("stage", "left"), ("reason", "left"), ("rows", "right"), ("", "left")):
        table.add_column(name, justify="right" if side == "right" else "left")
    left = counts.rows
    table.add_row("input", "", str(left), _bar(left, counts.rows))
    for stage, reasons in counts.reasons.items():
        for reason, number in reasons.most_common():
            table.add_row("", f"- {reason}", str(number))
        left -= reasons.total()
        if reasons.total():
            table.add_row(stage, "", str(left), _bar(left, counts.rows))
    table.add_row("kept", "", str(counts.kept), _bar(counts.kept, counts.rows), style="bold")
    if counts.pending:
        table.add_row("pending", "", str(counts.pending))
    return table


def status(told: Standing, console: Console | None = None) -> None:
    """The funnel, and how far, how large and how fast the root is, on standard output."""
    (console or Console(highlight=False)).print(*_standing(told), sep="\n")


def as_json(told: Standing) -> str:
    """The same as one line of JSON, for programs."""
    counts, pace = told.funnel, told.pace
    return json.dumps(
        {
            "rows": counts.rows,
            "kept": counts.kept,
            "pending": counts.pending,
            "reasons": {stage: dict(reasons) for stage, reasons in counts.reasons.items()},
            "units": counts.units,
            "units_done": counts.committed,
            "units_through": counts.through,
            "bytes": told.bytes,
            "bytes_free": told.free,
            "pace": None if pace is None else dataclasses.asdict(pace),
            "rows_a_second": told.rows_a_second,
            "seconds_left": told.seconds_left,
        }
    )


def follow(looks: Iterable[Standing]) -> None:
    """The same, again and again in place on a terminal, one below the other elsewhere."""
    console = Console(highlight=False)
    if not console.is_terminal:
        for told in looks:
            status(told, console)
        return
    with Live(console=console, auto_refresh=False) as live:
        for told in looks:
            live.update(Group(*_standing(told)), refresh=True)


def _standing(told: Standing) -> Iterator[Table | str]:
    yield _funnel(told.funnel)
    units = told.funnel.units
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name, side in (("stage", "left"), ("units", "right"), ("", "left"), ("on disk", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    for stage, done in told.funnel.through.items():
        size = sized(told.bytes.get(stage, 0))
        table.add_row(stage, f"{done} of {units}", _bar(done, units), size)
    if "shards" in told.bytes:
        table.add_row("shards", "", "", sized(told.bytes["shards"]))
    yield table
    yield f"units: {told.funnel.committed} of {units} through every stage" + (
        "" if told.free is None else f"; {sized(told.free)} free on this disk"
    )
    if told.pace is not None:
        yield _paced(told, told.pace)


def _paced(told: Standing, pace: Pace) -> str:
    since = f"the last commit was {spanned(pace.since)} ago"
    if told.funnel.committed == told.funnel.units:
        return f"nothing is left to do; {since}"
    if not pace.running:
        return f"nobody seems to be at work: {since}"
    left = told.seconds_left
    ends = "" if left is None else f"; {spanned(left)} left until all are through {pace.stage}"
    return f"{told.rows_a_second:.1f} rows/s of late; {since}{ends}"


def answer(title: str, rows: pa.Table) -> None:
    """A table of an answer."""
    console = Console(highlight=False)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_edge=False)
    for field in rows.schema:
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name.replace("_", " "), justify="right" if right else "left")
    for row in rows.to_pylist():
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console.print(table)
    console.print()


def sized(number: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def spanned(seconds: float) -> str:
    """A time span, for people."""
    for size, unit, smaller, less in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {unit} {rest // smaller} {less}"
    return f"{seconds:.0f} s"


def _bar(number: int, whole: int) -> str:
    return "█" * round(BAR * number / whole) if whole else ""
