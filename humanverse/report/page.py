"""The report's pages: one static folder that opens from disk or out of a bucket, with no server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources

import jinja2

from humanverse import schema
from humanverse.layers.ledger import Funnel, all_reasons, funnel, recipe_of
from humanverse.layers.store import Store
from humanverse.layers.timings import read_timings, speeds_of
from humanverse.load import Dataset
from humanverse.load import open as open_dataset
from humanverse.pack.listing import INDEX
from humanverse.report import gallery
from humanverse.report.distributions import LOOKED_AT, PARTS, distributions
from humanverse.stats import Stats

FOLDER = "report"
PAGE = f"{FOLDER}/index.html"
FOLDERS = ("pictures", "rejected", "samples")
"""Its folders: each file's name begins with the key of the row that it shows."""
PICTURES = 24
HOSTS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the funnel."""

    stage: str
    left: int
    share: float
    """Of all input rows, in percent."""
    reasons: list[tuple[str, int, float, str]]
    """Reason, rows, share in percent, explanation."""


def write_report(store: Store, *, pictures: int = PICTURES, seed: int = 0) -> str:
    """Write `report/index.html` with its pictures and a page for each of them.

    What an earlier report left that this one does not show is removed.

    Args:
        store: the root.
        pictures: kept samples that are shown.
        seed: of the choice of pictures.

    Returns:
        Where the page lies.

    Raises:
        UsageError: the folder is no root.
    """
    counts, recipe, reasons = funnel(store), recipe_of(store), all_reasons(store)
    stats, pages, written = Stats(store), _pages(), set[str]()
    with ExitStack() as stack:
        dataset, kept = None, list[gallery.Kept]()
        if store.exists(INDEX):
            dataset = stack.enter_context(open_dataset(store.root))
            for sample, files in gallery.kept(
                dataset, gallery.chosen(len(dataset), pictures, seed)
            ):
                page = pages.get_template("sample.html").render(
                    sample=sample, name=recipe["recipe"], parts=[name for name, _ in PARTS]
                )
                files[f"samples/{sample.key}.html"] = page.encode()
                written |= _put(store, files)
                kept.append(sample)
        groups, files = gallery.rejected(store, stats.table, _docs(reasons), seed)
        written |= _put(store, files)
        html = pages.get_template("index.html").render(
            name=recipe["recipe"],
            counts=counts,
            steps=list(steps(counts, reasons)),
            hosts=_hosts(stats),
            statuses=stats.ask("statuses").to_pylist(),
            speeds=speeds_of(read_timings(store)),
            plots=list(distributions(stats.table, dataset, _few(dataset, seed))),
            kept=kept,
            groups=groups,
            stages=recipe["stages"],
        )
    store.replace(PAGE, html.encode())
    _sweep(store, written)
    return store.place(PAGE)


def shown_keys(store: Store) -> set[str]:
    """The keys of all rows that a report shows."""
    return {name.partition(".")[0] for f in FOLDERS for name in store.names(f"{FOLDER}/{f}")}


def steps(counts: Funnel, reasons: dict[str, schema.Reason]) -> Iterator[Step]:
    """The funnel, stage by stage, as shares of all input rows."""
    left, whole = counts.rows, max(counts.rows, 1)
    for stage, counter in counts.reasons.items():
        left -= counter.total()
        listed = [
            (name, number, 100 * number / whole, reasons[name].doc)
            for name, number in counter.most_common()
        ]
        yield Step(stage, left, 100 * left / whole, listed)


def _hosts(stats: Stats) -> dict[str, object]:
    """The commonest hosts, and how many there are."""
    table = stats.ask("hosts")
    return {"some": table.slice(0, HOSTS).to_pylist(), "all": table.num_rows}


def _few(dataset: Dataset | None, seed: int) -> list[int]:
    return [] if dataset is None else gallery.chosen(len(dataset), LOOKED_AT, seed)


def _docs(reasons: dict[str, schema.Reason]) -> dict[str, str]:
    return {name: reason.doc for name, reason in reasons.items()}


def _put(store: Store, files: gallery.Files) -> set[str]:
    for name, data in files.items():
        store.replace(f"{FOLDER}/{name}", data)
    return set(files)


def _sweep(store: Store, written: set[str]) -> None:
    for folder in FOLDERS:
        for name in store.names(f"{FOLDER}/{folder}"):
            if f"{folder}/{name}" not in written:
                store.remove(f"{FOLDER}/{folder}/{name}")


def _pages() -> jinja2.Environment:
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("humanverse.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (resources.files("humanverse.report") / "templates" / "filter.js").read_text()
    # Nothing runs but this very text: a policy that names its hash also holds for files on disk.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    pages.globals |= {"script": script, "script_hash": f"sha256-{digest}"}
    return pages
