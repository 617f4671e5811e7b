"""The same samples as our shards, and as what the neighbours read: for benchmarks/load.py."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from humanverse.codec import encode_depth, encode_jpeg, encode_normals
from humanverse.layers.commit import write_tar
from humanverse.layers.store import Store, write_parquet
from humanverse.pack.index import with_places, write_index
from humanverse.pack.listing import DATASET, FOLDER, Shard
from humanverse.testing.scenes import render

SIDE, DISTINCT, PER_SHARD = 512, 48, 250
GRAIN = 9
"""Noise of real photographs: with it a JPEG takes about as many bytes as theirs do."""


def make_root(root: Path, samples: int) -> None:
    """A packed root of scenes with four members each, drawn again under other keys."""
    scenes = [_scene(seed) for seed in range(DISTINCT)]
    store, shards = Store(root), []
    for number in range(-(-samples // PER_SHARD)):
        count = min(PER_SHARD, samples - number * PER_SHARD)
        keys = sorted(os.urandom(16).hex() for _ in range(count))
        chosen = [scenes[(number * PER_SHARD + i) % DISTINCT] for i in range(count)]
        shards.append(_shard(store, number, keys, chosen))
    index_sha256, _ = write_index(store, shards, None)
    body = {
        "schema": "humanverse.dataset.v1",
        "index_sha256": index_sha256,
        "shards": [asdict(shard) for shard in shards],
    }
    store.replace(DATASET, json.dumps(body).encode())


def _scene(seed: int) -> tuple[dict[str, bytes], dict]:
    scene = render(seed, SIDE, SIDE, people=1 + seed % 3)
    noise = np.random.default_rng(seed).normal(0, GRAIN, scene.image.shape)
    image = np.clip(scene.image + noise, 0, 255).astype(np.uint8)
    depth, scale, offset = encode_depth(scene.depth)
    people = [
        {"box": box.tolist(), "score": 1.0, "keypoints": points.round(2).tolist()}
        for box, points in zip(scene.boxes, scene.keypoints, strict=True)
    ]
    members = {
        "depth.png": depth,
        "jpg": encode_jpeg(image, 90),
        "normal.png": encode_normals(scene.normals),
        "pose.json": json.dumps({"people": people}).encode(),
    }
    told = {"depth_kind": "metric", "depth_scale": scale, "depth_offset": offset}
    return members, told | {"height": SIDE, "width": SIDE, "person_count": len(people)}


def _shard(store: Store, number: int, keys: list[str], scenes: list) -> Shard:
    rows = [{"key": key} | told for key, (_, told) in zip(keys, scenes, strict=True)]
    files = (
        (f"{key}.{extension}", data)
        for key, (members, _) in zip(keys, scenes, strict=True)
        for extension, data in members.items()
    )
    base = f"{number:05d}"
    with store.attempt(FOLDER) as attempt:
        places = write_tar(attempt.file, files)
        digest, size = attempt.sha256(), attempt.file.tell()
        attempt.publish(f"{base}.tar")
    table = pa.Table.from_pylist(rows)
    for name in ("height", "width", "person_count"):
        column = table[name].cast(pa.int32())
        table = table.set_column(table.column_names.index(name), name, column)
    with store.attempt(FOLDER) as attempt:
        write_parquet(attempt.file, with_places(table, places))
        attempt.publish(f"{base}.parquet")
    return Shard(number, len(keys), hashlib.sha256(base.encode()).hexdigest(), digest, size, "")


def make_mds(root: Path, to: Path) -> None:
    """The samples of a root in mosaicml-streaming's own format, undecoded bytes in columns."""
    from streaming import MDSWriter

    import humanverse

    names = ("depth", "image", "normals", "poses")
    with humanverse.open(root, names, decode=False) as dataset:
        depth = dataset.to_table(["depth_scale", "depth_offset"]).to_pydict()
        columns = dict.fromkeys((*names, "key"), "bytes")
        columns |= {"depth_scale": "float64", "depth_offset": "float64"}
        with MDSWriter(out=str(to), columns=columns) as writer:
            for number, sample in enumerate(dataset):
                told = {name: depth[name][number] for name in depth}
                writer.write({**sample, **told, "key": sample["key"].encode()})
