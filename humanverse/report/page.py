"""The report's page: the funnel and twenty kept pictures with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import jinja2
import numpy as np

from humanverse import schema
from humanverse.codec import encode_jpeg
from humanverse.layers.ledger import Funnel, all_reasons, funnel, recipe_of
from humanverse.layers.store import Store
from humanverse.load import Dataset
from humanverse.load import open as open_dataset
from humanverse.pack.listing import INDEX
from humanverse.report.overlays import panel

FOLDER = "report"
PICTURES = 20
SEED = 0
"""Of the choice of pictures."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the funnel."""

    stage: str
    left: int
    share: float
    """Of all input rows, in percent."""
    reasons: list[tuple[str, int, float, str]]
    """Reason, rows, share in percent, explanation."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the gallery."""

    key: str
    file: str
    caption: str
    facts: str


def write_report(store: Store) -> str:
    """Write `report/index.html` and its pictures; where the page lies."""
    counts = funnel(store)
    html = _template().render(
        name=recipe_of(store)["recipe"],
        counts=counts,
        steps=list(steps(counts, all_reasons(store))),
        pictures=list(_gallery(store)) if store.exists(INDEX) else [],
        stages=recipe_of(store)["stages"],
    )
    store.replace(f"{FOLDER}/index.html", html.encode())
    return store.place(f"{FOLDER}/index.html")


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


def _gallery(store: Store) -> Iterator[Picture]:
    with open_dataset(store.root) as dataset:
        for number in _chosen(dataset):
            sample = dataset[number]
            name = f"{sample['key']}.jpg"
            store.replace(f"{FOLDER}/pictures/{name}", encode_jpeg(panel(sample), 85))
            meta = sample["meta"]
            facts = ""
            if "person_count" in meta:
                people, area = meta["person_count"], meta["person_area"]
                facts = f"{people} {'person' if people == 1 else 'people'}, {area:.0%} of the frame"
            yield Picture(sample["key"], f"pictures/{name}", sample.get("caption", ""), facts)


def _chosen(dataset: Dataset) -> list[int]:
    random = np.random.default_rng(SEED)
    count = min(PICTURES, len(dataset))
    return sorted(int(n) for n in random.choice(len(dataset), count, replace=False))


def _template() -> jinja2.Template:
    text = (resources.files("humanverse.report") / "page.html").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(text)
