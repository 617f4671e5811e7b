"""Pictures of the report: kept ones with their labels, and rejected ones by reason.

Their number is fixed, and a seed chooses them, so that a root of a million samples takes no longer.
"""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.layers.commit import Layer, read_layer
from humanverse.layers.commits import Commits
from humanverse.layers.listed import TAKEN_DOWN
from humanverse.layers.store import Store
from humanverse.load import Dataset
from humanverse.report import overlays
from humanverse.report.distributions import PARTS

QUALITY = 85
"""Of the JPEGs."""
A_REASON = 4
"""Rejected rows that are shown of each reason."""
SIDE = 1024
"""Longest side, in pixels, of what a sample's own page shows."""
SMALL = 240
"""Of a rejected picture."""
Files = dict[str, bytes]
"""Name in the report's folder to content."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture of the report."""

    file: str
    title: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A sample of the gallery, with what its own page tells."""

    key: str
    caption: str
    facts: str
    people: int
    split: str
    strip: View
    """Picture, depth and normals side by side."""
    views: list[View]
    """What the sample's own page shows."""
    told: list[tuple[str, str]]
    """Everything that is known of it, by name."""
    parts: list[list[str]]
    """Of each person: number, box, score, and mean confidence by part."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not kept."""

    key: str
    address: str
    caption: str
    view: View | None
    """Its picture, if its bytes were kept."""
    facts: str


@dataclass(frozen=True, slots=True)
class Group:
    """Some rows that were rejected for one reason."""

    reason: str
    stage: str
    rows: int
    doc: str
    some: list[Rejected] = field(default_factory=list)


def chosen(count: int, most: int, seed: int) -> list[int]:
    """Some numbers below `count`, ascending."""
    random = np.random.default_rng(seed)
    return sorted(int(n) for n in random.choice(count, min(most, count), replace=False))


def kept(dataset: Dataset, numbers: Sequence[int]) -> Iterator[tuple[Kept, Files]]:
    """Samples, and the files that show them."""
    for number in numbers:
        sample = dataset[number]
        key, meta = sample["key"], sample.get("meta", {})
        files, caption = Files(), sample.get("caption", "")
        strip = _view(files, f"pictures/{key}.jpg", caption, overlays.panel(sample))
        views = [
            _view(files, f"pictures/{key}.{name}.jpg", title, overlays.to_side(pixels, SIDE))
            for title, name, pixels in _views(sample)
        ]
        yield (
            Kept(
                key,
                caption,
                _facts(meta),
                int(meta.get("person_count") or 0),
                str(meta.get("split") or ""),
                strip,
                views,
                list(_told(meta)),
                list(_parts(sample)),
            ),
            files,
        )


def rejected(
    store: Store, table: pa.Table, docs: Mapping[str, str], seed: int
) -> tuple[list[Group], Files]:
    """Some rows of each reason, the commonest reason first, and the files that show them.

    Args:
        store: the root.
        table: its ledger.
        docs: what each reason means.
        seed: of the choice.
    """
    counts = table.group_by(["stage", "reason"]).aggregate([([], "count_all")])
    counts = counts.filter(pc.is_valid(counts["reason"]))
    groups, picked = [], list[dict[str, Any]]()
    for row in counts.sort_by([("count_all", "descending"), ("reason", "ascending")]).to_pylist():
        group = Group(row["reason"], row["stage"], row["count_all"], docs.get(row["reason"], ""))
        mine = pc.and_(
            pc.equal(table["reason"], row["reason"]), pc.equal(table["stage"], row["stage"])
        )
        places = np.flatnonzero(np.asarray(pc.fill_null(mine, False)))
        groups.append(group)
        if group.reason == TAKEN_DOWN:  # their owners do not want them shown
            continue
        some = table.take(pa.array(places[chosen(len(places), A_REASON, seed)])).to_pylist()
        picked += [told | {"group": len(groups) - 1} for told in some]
    shown = _pictures(store, picked)
    files = Files()
    for told in picked:
        key, caption, view = told["key"] or "", told["caption"] or "", None
        if key in shown and told["unit"] is not None:
            view = _view(files, f"rejected/{key}.jpg", caption, shown[key])
        address = told["url"] or f"{told['file']}, row {told['row']}"
        some = Rejected(key, address, caption, view, _facts(told))
        groups[told["group"]].some.append(some)
    return groups, files


def _view(files: Files, file: str, title: str, pixels: overlays.Pixels) -> View:
    files[file] = encode_jpeg(pixels, QUALITY)
    return View(file, title, pixels.shape[1], pixels.shape[0])


def _pictures(store: Store, rows: Sequence[Mapping[str, Any]]) -> dict[str, overlays.Pixels]:
    """Pictures of rows whose bytes were kept, with the boxes that were found."""
    wanted = defaultdict[str, set[str]](set)
    for row in rows:
        if row["unit"] is not None and row["width"] is not None:
            wanted[row["unit"]].add(row["key"])
    commits, out = Commits.read(store), dict[str, overlays.Pixels]()
    for unit, keys in wanted.items():
        layers = commits.sound(unit)
        boxes = _boxes(store, layers.values(), keys)
        for layer in layers.values():
            for key, data in _jpegs(store, layer, keys - out.keys()):
                people = [{"box": box} for box in boxes.get(key, ())]
                sample = {"image": decode_jpeg(data), "meta": {"people": people}}
                out[key] = overlays.to_side(overlays.people(sample), SMALL)
    return out


def _jpegs(store: Store, layer: Layer, keys: set[str]) -> Iterator[tuple[str, bytes]]:
    """Of a layer's tar, the pictures of some rows; the others are passed over unread."""
    if layer.tar is None or not keys:
        return
    with store.open(layer.tar.name) as f, tarfile.open(fileobj=f, mode="r:") as tar:
        for info in tar:
            key, _, extension = info.name.partition(".")
            if extension == "jpg" and key in keys and (file := tar.extractfile(info)):
                yield key, file.read()


def _boxes(store: Store, layers: Any, keys: set[str]) -> dict[str, list[list[float]]]:
    out = dict[str, list[list[float]]]()
    for layer in layers:
        table = read_layer(store, layer)
        if "boxes" in table.column_names:
            rows = table.filter(pc.is_in(table["key"], pa.array(list(keys)))).select(
                ["key", "boxes"]
            )
            out |= {row["key"]: row["boxes"] or [] for row in rows.to_pylist()}
    return out


def _views(sample: dict[str, Any]) -> Iterator[tuple[str, str, overlays.Pixels]]:
    if "image" in sample:
        yield "picture", "picture", sample["image"]
        yield "people", "people", overlays.people(sample)
    if "depth" in sample:
        kind = sample["depth_kind"]
        yield (
            f"depth ({kind}; near is bright)",
            "depth",
            overlays.depth_colours(sample["depth"], kind),
        )
    if "normals" in sample:
        yield "normals", "normals", overlays.normal_colours(sample["normals"])


def _told(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in meta.items():
        if value is not None and name != "people":
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parts(sample: Mapping[str, Any]) -> Iterator[list[str]]:
    people = sample.get("meta", {}).get("people", [])
    poses = sample.get("poses", ())
    for number, person in enumerate(people):
        row = [str(number + 1), " ".join(f"{side:.0f}" for side in person["box"])]
        row.append(f"{person['score']:.2f}")
        if number < len(poses):
            row += [f"{poses[number][places, 2].mean():.2f}" for _, places in PARTS]
        yield row


def _facts(told: Mapping[str, Any]) -> str:
    """What decides, in words."""
    facts = []
    if told.get("person_count") is not None:
        people, area = told["person_count"], told["person_area"]
        facts.append(f"{people} {'person' if people == 1 else 'people'}, {area:.0%} of the frame")
    if told.get("width") is not None:
        facts.append(f"{told['width']} x {told['height']}")
    for name, label in (("aesthetic", "aesthetic"), ("nsfw_score", "unsafe")):
        if told.get(name) is not None:
            facts.append(f"{label} {told[name]:.2f}")
    if told.get("http_status") not in (None, 200):
        facts.append(f"HTTP {told['http_status']}")
    return " · ".join(facts)
