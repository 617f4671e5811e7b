"""Distributions of what is known of the pictures, kept ones beside those that were rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from humanverse.keypoints import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND
from humanverse.load import Dataset

BINS = 24
LOOKED_AT = 500
"""Samples whose keypoints are read: the index does not hold them."""
PARTS = (
    ("body", BODY),
    ("feet", FEET),
    ("face", FACE),
    ("left hand", LEFT_HAND),
    ("right hand", RIGHT_HAND),
)
TAILS = (0.5, 99.5)
"""Percentiles beyond which values are put into the outermost bins."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin, or one word."""

    label: str
    kept: int
    others: int
    """Rows that were seen and are not kept."""
    from_below: float
    """Heights as shares of the highest bar: of the kept ones, and of all."""
    to: float


@dataclass(frozen=True, slots=True)
class Plot:
    """One distribution."""

    title: str
    unit: str
    bars: list[Bar]
    low: str
    """What the axis begins and ends with; both empty where bars have names."""
    high: str
    note: str = ""


def distributions(
    table: pa.Table, dataset: Dataset | None, chosen: Sequence[int]
) -> Iterator[Plot]:
    """Plots of all that is known.

    Args:
        table: the ledger.
        dataset: the packed samples, if there are any.
        chosen: numbers of the samples whose keypoints are read.
    """
    kept = np.asarray(pc.equal(table["status"], "kept"))
    width, height = _floats(table["width"]), _floats(table["height"])
    yield from _plotted("shorter side", "pixels", np.minimum(width, height), kept)
    with np.errstate(invalid="ignore", divide="ignore"):
        aspect = width / height
    yield from _plotted("aspect", "width by height", aspect, kept)
    yield from _counted("people", "found in a picture", table["person_count"], kept)
    yield from _plotted("coverage", "share of the frame", _floats(table["person_area"]), kept)
    for column, title, unit in (
        ("aesthetic", "aesthetic score", "LAION's, about 1 to 10"),
        ("text_similarity", "picture and caption", "CLIP's cosine"),
        ("nsfw_score", "unsafe", "probability"),
        ("watermark_score", "watermark", "probability"),
    ):
        yield from _plotted(title, unit, _floats(table[column]), kept)
    if dataset is not None and len(dataset):
        yield from _of_samples(dataset, chosen)


def _of_samples(dataset: Dataset, chosen: Sequence[int]) -> Iterator[Plot]:
    kinds = dataset.to_table(["depth_kind"])["depth_kind"]
    yield from _counted("depth", "kind of the map", kinds, np.ones(len(kinds), bool))
    poses = [sample["poses"] for sample in _read(dataset.only(["poses"]), chosen)]
    if not any(len(people) for people in poses):
        return
    points = np.concatenate([people for people in poses if len(people)])  # (people, 133, 3)
    note = f"of {len(points)} people in {len(poses)} samples"
    for part, places in PARTS:
        confidence = points[:, places, 2].ravel()
        whole = np.ones(len(confidence), bool)
        title = f"confidence, {part}"
        yield from _plotted(title, "of a keypoint", confidence, whole, (0.0, 1.0), note)


def _read(dataset: Dataset, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    for number in chosen:
        sample = dataset[number]
        if "poses" in sample:
            yield sample


def _plotted(
    title: str,
    unit: str,
    values: NDArray[np.float64],
    kept: NDArray[np.bool_],
    span: tuple[float, float] | None = None,
    note: str = "",
) -> Iterator[Plot]:
    """A histogram, unless nothing is known."""
    known = np.isfinite(values)
    if not known.any():
        return
    values, kept = values[known], kept[known]
    low, high = span or map(float, np.percentile(values, TAILS))
    high = high if high > low else low + max(abs(low), 1.0) * 1e-3
    edges = np.linspace(low, high, BINS + 1)
    inside = np.clip(values, low, high)
    mine, _ = np.histogram(inside[kept], edges)
    others, _ = np.histogram(inside[~kept], edges)
    labels = [f"{_short(a)} to {_short(b)}" for a, b in pairwise(edges)]
    yield Plot(title, unit, _bars(labels, mine, others), _short(low), _short(high), note)


def _counted(
    title: str, unit: str, column: pa.ChunkedArray, kept: NDArray[np.bool_]
) -> Iterator[Plot]:
    """Bars with names, unless nothing is known."""
    known = np.asarray(pc.is_valid(column))
    if not known.any():
        return
    words, places = np.unique(np.asarray(column.drop_null()), return_inverse=True)
    mine = np.bincount(places[kept[known]], minlength=len(words))
    others = np.bincount(places[~kept[known]], minlength=len(words))
    if len(words) > BINS:  # the last one is for all that are larger
        mine, others = (np.append(n[: BINS - 1], n[BINS - 1 :].sum()) for n in (mine, others))
        words = np.array([*map(str, words[: BINS - 1]), f"{words[BINS - 1]}+"])
    yield Plot(title, unit, _bars([str(word) for word in words], mine, others), "", "")


def _bars(labels: Sequence[str], kept: NDArray[np.int64], others: NDArray[np.int64]) -> list[Bar]:
    highest = max(int((kept + others).max()), 1)
    return [
        Bar(label, int(mine), int(more), mine / highest, (mine + more) / highest)
        for label, mine, more in zip(labels, kept, others, strict=True)
    ]


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()), np.float64)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
