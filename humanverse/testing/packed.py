"""A packed root of rendered scenes, made at once: what a build would leave, without one.

>>> import tempfile, humanverse
>>> from humanverse.testing.scenes import render
>>> with tempfile.TemporaryDirectory() as folder:
...     pack_scenes(folder, [encoded(render(7, 64, 48, people=1))])
...     with humanverse.open(folder) as dataset:
...         len(dataset)
1
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from humanverse.codec import encode_depth, encode_jpeg, encode_normals
from humanverse.keypoints import COUNT
from humanverse.layers.commit import write_tar
from humanverse.layers.store import Store, write_parquet
from humanverse.pack.index import with_places, write_index
from humanverse.pack.listing import DATASET, FOLDER, Shard
from humanverse.pack.sample import members_of
from humanverse.testing.scenes import Scene

QUALITY = 95
TYPES = {
    **dict.fromkeys(("height", "width", "person_count"), pa.int32()),
    **dict.fromkeys(("depth_scale", "depth_offset"), pa.float32()),
}

Encoded = tuple[dict[str, Any], dict[str, bytes]]
"""A sample's fields, and the members that are no text."""


def encoded(scene: Scene, quality: int = QUALITY) -> Encoded:
    """What is stored of a scene."""
    height, width = scene.depth.shape
    depth, scale, offset = encode_depth(scene.depth)
    fields = {
        "caption": scene.caption,
        "height": height,
        "width": width,
        "person_count": len(scene.boxes),
        "person_boxes": scene.boxes.tolist(),
        "person_scores": [1.0] * len(scene.boxes),
        "keypoints": scene.keypoints.reshape(len(scene.boxes), 3 * COUNT).tolist(),
        "depth_kind": "metric",
        "depth_scale": scale,
        "depth_offset": offset,
    }
    files = {
        "jpg": encode_jpeg(scene.image, quality),
        "depth.png": depth,
        "normal.png": encode_normals(scene.normals),
    }
    return fields, files


def pack_scenes(root: str | Path, scenes: Sequence[Encoded], per_shard: int = 250) -> None:
    """A root of samples in the order given; keys are the hashes of their numbers, ascending."""
    keys = sorted(
        hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(len(scenes))
    )
    store, shards = Store(root), list[Shard]()
    for first in range(0, len(scenes), per_shard):
        part = slice(first, first + per_shard)
        shards.append(_shard(store, len(shards), keys[part], scenes[part]))
    index_sha256, _ = write_index(store, shards, None)
    body = {
        "schema": "humanverse.dataset.v1",
        "index_sha256": index_sha256,
        "shards": [asdict(shard) for shard in shards],
    }
    store.replace(DATASET, json.dumps(body).encode())


def _shard(store: Store, number: int, keys: Sequence[str], scenes: Sequence[Encoded]) -> Shard:
    rows = [{"key": key} | fields for key, (fields, _) in zip(keys, scenes, strict=True)]
    samples = (
        (f"{row['key']}.{extension}", data)
        for row, (_, files) in zip(rows, scenes, strict=True)
        for extension, data in sorted((files | members_of(row)).items())
    )
    shard = Shard(number, len(keys), "", "", 0, "")
    with store.attempt(FOLDER) as attempt:
        places = write_tar(attempt.file, samples)
        tar_sha256, tar_bytes = attempt.sha256(), attempt.file.tell()
        attempt.publish(Path(shard.tar).name)
    table = pa.Table.from_pylist(rows)
    for name, kind in TYPES.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    with store.attempt(FOLDER) as attempt:
        write_parquet(attempt.file, with_places(table, places))
        parquet_sha256 = attempt.sha256()
        attempt.publish(Path(shard.parquet).name)
    return Shard(number, len(keys), "", tar_sha256, tar_bytes, parquet_sha256)
