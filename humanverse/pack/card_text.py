"""The dataset's card for people: what it is, where it comes from, what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humanverse import schema
from humanverse.layers.ledger import Funnel
from humanverse.pack.croissant import LIMITS, SENSITIVE
from humanverse.pack.listing import Shard


@dataclass(frozen=True)
class Told:
    """What the card tells of."""

    recipe: Mapping[str, Any]
    counts: Funnel
    shards: Sequence[Shard]
    reasons: Mapping[str, schema.Reason]
    splits: Mapping[str, int]
    inputs: Sequence[str]
    """Names of the tables, and of each the first digits of its hash."""
    people: Mapping[int, int]
    """Samples by number of people."""


def markdown(told: Told) -> str:
    """The whole card."""
    how = told.recipe["pack"]
    samples = sum(shard.samples for shard in told.shards)
    lines = [
        f"# {how.get('title') or told.recipe['recipe']}",
        "",
        f"{samples} pictures of people with whole-body pose, depth and normals, "
        f"in {len(told.shards)} tar shards, out of {told.counts.rows} rows.",
        "",
        *_facts(how),
        *_of_people(told.people),
        *_of_splits(told.splits),
        *_members(),
        *_provenance(told),
        *_models(told.recipe.get("models", [])),
        "## Licence",
        "",
        _licence(how.get("licence", "")),
        "",
        "## Known limits",
        "",
        LIMITS,
        "",
        "## People in it, and how to ask for removal",
        "",
        SENSITIVE,
        "",
        _removal(how.get("contact", "")),
        "",
        *([f"## To cite it\n\n```\n{how['cite']}\n```\n"] if how.get("cite") else []),
        "## How it was made",
        "",
        "```json",
        json.dumps(told.recipe, indent=1, sort_keys=True),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _licence(named: str) -> str:
    owners = (
        "The pictures belong to their owners, and nobody was asked: who uses them answers for it."
    )
    if named:
        return f"{owners} List and labels are given on under {named}."
    return f"{owners} Of list and labels nothing is said; the models' licences may reach to them."


def _removal(contact: str) -> str:
    return (
        "Owners of pictures, and those who are in them, may ask for removal "
        f"{f'at {contact}' if contact else 'where they found them'}. `humanverse takedown` removes "
        "them here for good and, with the list that it keeps, from copies."
    )


def _facts(how: Mapping[str, Any]) -> Iterator[str]:
    names = {"creator": "Made by", "date": "Of", "url": "At"}
    told = [f"{word} {how[name]}" for name, word in names.items() if how.get(name)]
    if told:
        yield ". ".join(told) + "."
        yield ""


def _of_people(people: Mapping[int, int]) -> Iterator[str]:
    if people:
        yield from ("## People", "", "| people in a picture | samples |", "|---|---:|")
        yield from (f"| {count} | {number} |" for count, number in sorted(people.items()))
        yield ""


def _of_splits(splits: Mapping[str, int]) -> Iterator[str]:
    if splits:
        yield from ("## Splits", "")
        yield "Near-duplicates are never in different ones. Each sample tells its own in `split`."
        yield from ("", "| split | samples |", "|---|---:|")
        yield from (f"| {name} | {number} |" for name, number in splits.items())
        yield ""


def _members() -> Iterator[str]:
    yield from ("## Members of a sample", "")
    yield (
        "`.jpg` upright sRGB; `.txt` caption; `.json` source, people, scores; `.pose.json` 133 "
        "COCO-WholeBody keypoints a person; `.depth.png` 16 bits, its kind, scale and offset in "
        "the JSON; `.normal.png` RGB = (n + 1) / 2, +X right, +Y up, +Z to the viewer."
    )
    yield ""


def _provenance(told: Told) -> Iterator[str]:
    yield from ("## Where it comes from, and what became of every row", "")
    if told.inputs:
        yield "Inputs: " + ", ".join(f"`{name}`" for name in told.inputs) + "."
        yield ""
    yield from ("| stage | reason | rows | meaning |", "|---|---|---:|---|")
    for stage, counter in told.counts.reasons.items():
        for reason, number in sorted(counter.items()):
            yield f"| {stage} | {reason} | {number} | {told.reasons[reason].doc} |"
    yield f"| | kept | {told.counts.kept} | |"
    yield ""


def _models(models: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if models:
        yield from ("## Models", "", "| stage | weights | licence | sha256 |", "|---|---|---|---|")
        for line in models:
            licence = line.get("licence", "see its owner")
            yield f"| {line['stage']} | {line['name']} | {licence} | `{line['sha256']}` |"
        yield ""
