"""The dataset's card, for people, its Croissant description, for machines, and all checksums."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from humanverse import schema
from humanverse.errors import DataError
from humanverse.layers.ledger import Funnel, all_reasons, funnel, recipe_of
from humanverse.layers.store import Store
from humanverse.pack.listing import DATASET, FOLDER, INDEX, SUMS, Shard


def write_card(store: Store, shards: list[Shard]) -> None:
    """Write `README.md`, `croissant.json` and `SHA256SUMS` into the shards' folder."""
    recipe, counts = recipe_of(store), funnel(store)
    splits = json.loads(store.read(DATASET)).get("splits", {})
    text = _markdown(recipe, counts, shards, all_reasons(store), splits).encode()
    body = (json.dumps(_croissant(recipe, shards, bool(splits)), indent=1) + "\n").encode()
    store.replace(f"{FOLDER}/README.md", text)
    store.replace(f"{FOLDER}/croissant.json", body)
    sums = {shard.tar: shard.tar_sha256 for shard in shards}
    sums |= {shard.parquet: shard.parquet_sha256 for shard in shards}
    sums |= {name: store.sha256(name) for name in (DATASET, INDEX)}
    sums[f"{FOLDER}/README.md"] = hashlib.sha256(text).hexdigest()
    sums[f"{FOLDER}/croissant.json"] = hashlib.sha256(body).hexdigest()
    lines = [f"{sums[name]}  {name.removeprefix(FOLDER + '/')}\n" for name in sorted(sums)]
    store.replace(SUMS, "".join(lines).encode())


def read_sums(store: Store) -> dict[str, str]:
    """Name and sha256 of every file of the packed dataset, as `sha256sum -c` reads them.

    Raises:
        DataError: the list is missing or is none.
    """
    if not store.exists(SUMS):
        raise DataError("missing: run `humanverse pack`")
    lines = store.read(SUMS).decode(errors="replace").splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  (\S+)", line) for line in lines]
    if not all(found):
        raise DataError("a line is none of a name and its sha256")
    return {f"{FOLDER}/{line[2]}": line[1] for line in found if line}


def _markdown(
    recipe: dict[str, Any],
    counts: Funnel,
    shards: list[Shard],
    reasons: dict[str, schema.Reason],
    splits: dict[str, int],
) -> str:
    samples = sum(shard.samples for shard in shards)
    lines = [
        f"# {recipe['recipe']}",
        "",
        f"{samples} pictures of people with whole-body pose, depth and normals, "
        f"in {len(shards)} tar shards, out of {counts.rows} rows.",
        "",
        "| stage | reason | rows | meaning |",
        "|---|---|---:|---|",
        *(
            f"| {stage} | {reason} | {number} | {reasons[reason].doc} |"
            for stage, counter in counts.reasons.items()
            for reason, number in sorted(counter.items())
        ),
        f"| | kept | {counts.kept} | |",
        "",
        *_of_splits(splits),
        "## Members of a sample",
        "",
        "`.jpg` upright sRGB; `.txt` caption; `.json` source, people, scores; `.pose.json` 133 "
        "COCO-WholeBody keypoints a person; `.depth.png` 16 bits, its kind, scale and offset in "
        "the JSON; `.normal.png` RGB = (n + 1) / 2, +X right, +Y up, +Z to the viewer.",
        "",
        "## How it was made",
        "",
        "```json",
        json.dumps(recipe, indent=1, sort_keys=True),
        "```",
        "",
        "## People in it",
        "",
        "The pictures belong to their owners, who may ask for removal: `humanverse takedown` "
        "removes them here, and with the list that it keeps also from copies. Labels are "
        "estimates of models, not measurements.",
    ]
    return "\n".join(lines) + "\n"


def _of_splits(splits: dict[str, int]) -> list[str]:
    if not splits:
        return []
    return [
        "## Splits",
        "",
        "Near-duplicates are never in different ones. Each sample tells its own in `split`.",
        "",
        "| split | samples |",
        "|---|---:|",
        *(f"| {name} | {number} |" for name, number in splits.items()),
        "",
    ]


def _croissant(recipe: dict[str, Any], shards: list[Shard], split: bool) -> dict[str, Any]:
    columns = schema.SAMPLE | (schema.SELECTED if split else {})
    files = [
        {
            "@type": "cr:FileObject",
            "@id": shard.tar.rpartition("/")[2],
            "name": shard.tar.rpartition("/")[2],
            "contentUrl": shard.tar.rpartition("/")[2],
            "contentSize": f"{shard.tar_bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard.tar_sha256,
        }
        for shard in shards
    ]
    fields = [
        {"@type": "cr:Field", "@id": f"samples/{name}", "name": name, "description": column.doc}
        for name, column in columns.items()
    ]
    return {
        "@context": {
            "@vocab": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
            "dct": "http://purl.org/dc/terms/",
        },
        "@type": "Dataset",
        "dct:conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": recipe["recipe"],
        "description": "Pictures of people with whole-body pose, depth and surface normals.",
        "distribution": files,
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}
        ],
    }
