"""The figures beside the paper's: as JSON, as Markdown, and on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from humanverse.evaluate.figures import PAPER_SET, ROWS, Evaluation, Figure

SCHEMA: Final = "humanverse.evaluation.v1"
BIAS: Final = (
    "FID is too large for few pictures and falls as they become more: compare it at one number "
    "alone. KID has no such bias, and comes first."
)
HEADS: Final = ("metric", "measured", "paper", "how")


class Line(NamedTuple):
    """A line of the table, as text."""

    label: str
    measured: str
    paper: str
    how: str


def write(evaluation: Evaluation, out: Path) -> tuple[Path, Path]:
    """`evaluation.json` and `evaluation.md` in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    told, shown = out / "evaluation.json", out / "evaluation.md"
    for path, text in ((told, as_json(evaluation)), (shown, as_markdown(evaluation))):
        attempt = path.with_suffix(".attempt")
        attempt.write_text(text)
        attempt.replace(path)
    return told, shown


def as_json(evaluation: Evaluation) -> str:
    """All figures and settings; the same for the same."""
    figures = {
        name: asdict(figure) | {"paper": ROWS[name].paper}
        for name, figure in evaluation.figures.items()
    }
    body = {
        "schema": SCHEMA,
        "figures": figures,
        "missing": dict(evaluation.missing),
        "settings": dict(evaluation.settings),
        "paper_set": PAPER_SET,
    }
    return json.dumps(body, indent=1, ensure_ascii=False, default=str) + "\n"


def as_markdown(evaluation: Evaluation) -> str:
    """A page with the table."""
    lines = ["# Evaluation", ""] + [line for note in notes(evaluation) for line in (note, "")]
    rows = [HEADS, ("---", "---:", "---:", "---"), *_lines(evaluation)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if evaluation.missing:
        lines += ["", "Not measured:", ""]
        lines += [f"- **{names}**: {why}" for names, why in _missing(evaluation)]
    return "\n".join(lines) + "\n"


def show(evaluation: Evaluation) -> None:
    """The table on standard output, and what is missing."""
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name, side in zip(HEADS, ("left", "right", "right", "left"), strict=True):
        table.add_column(name, justify="right" if side == "right" else "left")
    for line in _lines(evaluation):
        table.add_row(*line)
    for note in notes(evaluation):
        console.print(note)
    console.print(table)
    for names, why in _missing(evaluation):
        console.print(f"not measured: {names}: {why}", soft_wrap=True)


def notes(evaluation: Evaluation) -> Iterator[str]:
    """Sentences that belong above the table."""
    told = evaluation.settings
    made, real = (f"the {told[n]['there']} of {told[n]['place']}" for n in ("generated", "real"))
    same = "the same keys on both sides" if told["same_keys"] else "no key in common"
    yield (
        f"{told['pictures']} pictures of {made}, against as many of {real}: {same}, chosen by seed "
        f"{told['seed']}."
    )
    size = f"{told['size']} x {told['size']}"
    yield f"Pictures: {told['resizing']}. Here size is {size}."
    yield f"The paper's column is of {PAPER_SET}; it compares for that set and those weights alone."
    if not evaluation.figures.keys().isdisjoint(("fid", "fid_clip")):
        yield BIAS
    if any(not figure.compares for figure in evaluation.figures.values()):
        yield "RANDOM features: KID and FID are by a network that learned nothing. For tests alone."


def _lines(evaluation: Evaluation) -> Iterator[Line]:
    for name, figure in evaluation.figures.items():
        row = ROWS[name]
        paper = "" if row.paper is None or not figure.compares else f"{row.paper:.2f}"
        mark = "" if figure.compares else " (RANDOM)"
        label = f"{row.label}{mark} {row.better}"
        yield Line(label, _number(figure, row.digits), paper, figure.how)


def _missing(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Metrics that want the same, together."""
    together = dict[str, list[str]]()
    for name, why in evaluation.missing.items():
        together.setdefault(why, []).append(name)
    return ((", ".join(names), why) for why, names in together.items())


def _number(figure: Figure, digits: int) -> str:
    if figure.value is None:
        return "nobody counts"
    spread = "" if figure.deviation is None else f" ± {figure.deviation:.{digits}f}"
    return f"{figure.value:.{digits}f}{spread}"
