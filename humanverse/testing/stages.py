"""Stages that stand in for models: their labels follow from a picture's hash, so truth is known.

They live in the package because workers of a cluster cannot import a test module.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.codec import encode_depth, encode_jpeg, encode_normals
from humanverse.stage import BaseStage


def truth(phash: str, width: int, height: int) -> dict[str, Any]:
    """What these stages say of a picture: boxes, scores, keypoints, depth and normals."""
    random = np.random.default_rng(int(phash, 16))
    count = int(random.integers(0, 5))
    corners = random.uniform(0, 1, (count, 2, 2)) * (width, height)
    boxes = np.sort(corners, axis=1).reshape(count, 4).astype(np.float32)
    points = random.uniform(0, 1, (count, 133, 3)) * (width, height, 1)
    normals = random.normal(size=(height // 8, width // 8, 3))
    return {
        "boxes": boxes,
        "scores": np.sort(random.uniform(0.2, 1, count))[::-1].astype(np.float32),
        "keypoints": points.round(3).astype(np.float32),
        "depth": random.uniform(0.5, 20, (height // 8, width // 8)).astype(np.float32),
        "normals": _unit(normals).astype(np.float32),
    }


@dataclass
class HashCollect(BaseStage):
    """Small pictures by hash of the URL, without asking anybody."""

    name: ClassVar[str] = "collect"
    reads: ClassVar[tuple[str, ...]] = ("url",)
    writes: ClassVar[pa.Schema] = schema.writes(*schema.COLLECT)
    telemetry: ClassVar[pa.Schema] = schema.schema_of(schema.TELEMETRY)
    reasons: ClassVar[tuple[str, ...]] = ("http_gone",)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A picture of each row, but for every fifth, which is gone."""
        kind = pa.schema([*self.writes, *self.telemetry, pa.field("reason", pa.string())])
        rows = [_picture(url) for url in batch["url"].to_pylist()]
        return pa.Table.from_pylist(rows, kind).add_column(0, "key", batch["key"])


@dataclass
class HashCopies(HashCollect):
    """The same, and `?N` behind a URL for a copy of its picture: N pixels wider, N bits away."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A picture of each row, but for every fifth, which is gone with its copies."""
        kind = pa.schema([*self.writes, *self.telemetry, pa.field("reason", pa.string())])
        rows = [_copy(*url.partition("?")[::2]) for url in batch["url"].to_pylist()]
        return pa.Table.from_pylist(rows, kind).add_column(0, "key", batch["key"])


def _copy(url: str, number: str) -> dict[str, Any]:
    told = _picture(url)
    if not number or "phash" not in told:
        return told
    width = told["width"] + int(number)
    sizes = {"width": width, "original_width": width}
    phash = int(told["phash"], 16) ^ ((1 << int(number)) - 1)
    digest = hashlib.sha256(f"{url}?{number}".encode()).hexdigest()
    return told | sizes | {"phash": f"{phash:016x}", "sha256": digest}


def is_gone(url: str) -> bool:
    """Whether `HashCollect` finds nothing there."""
    return int(hashlib.sha256(url.encode()).hexdigest(), 16) % 5 == 0


def _picture(url: str) -> dict[str, Any]:
    digest = hashlib.sha256(url.encode()).hexdigest()
    told = {"http_status": 200, "final_host": "localhost", "attempts": 1, "milliseconds": 1}
    if is_gone(url):
        return told | {"http_status": 404, "reason": "http_gone"}
    pixels = np.full((16, 24, 3), list(bytes.fromhex(digest[:6])), np.uint8)
    size = {"width": 24, "height": 16, "original_width": 24, "original_height": 16}
    told |= {"image": encode_jpeg(pixels, 90), "format": "JPEG"}
    return told | size | {"sha256": digest, "phash": digest[:16]}


@dataclass
class HashEmbed(BaseStage):
    """Unit vectors by hash: each bit that differs takes 1/32 from the cosine."""

    name: ClassVar[str] = "embed"
    reads: ClassVar[tuple[str, ...]] = ("phash",)
    writes: ClassVar[pa.Schema] = pa.schema([("embedding", pa.list_(pa.float16(), 64))])

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A vector of each picture."""
        hashes = [int(phash, 16) for phash in batch["phash"].to_pylist()]
        signs = [[1 - 2 * (value >> bit & 1) for bit in range(64)] for value in hashes]
        return _answer(self, batch, list(np.asarray(signs, np.float16).reshape(-1, 64) / 8))


@dataclass
class HashDetect(BaseStage):
    """Boxes by hash."""

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("phash", "width", "height")
    writes: ClassVar[pa.Schema] = schema.writes("boxes", "box_scores")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Boxes and scores of each picture."""
        told = [truth(**row) for row in _rows(batch)]
        boxes = [[box.tolist() for box in t["boxes"]] for t in told]
        scores = [t["scores"].tolist() for t in told]
        return _answer(self, batch, boxes, scores)


@dataclass
class HashLabels(BaseStage):
    """Keypoints, depth and normals by hash, all in one layer."""

    name: ClassVar[str] = "labels"
    reads: ClassVar[tuple[str, ...]] = ("phash", "width", "height", "box_scores", "person_scores")
    writes: ClassVar[pa.Schema] = schema.writes(
        *("keypoints", "depth_png", "depth_kind", "depth_scale", "depth_offset", "normal_png")
    )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """All labels of each picture, for the people that count."""
        columns: list[list[Any]] = [[] for _ in self.writes]
        for row, people in zip(_rows(batch), batch["person_scores"].to_pylist(), strict=True):
            told = truth(**row)
            png, scale, offset = encode_depth(told["depth"])
            points = [p.ravel().tolist() for p in told["keypoints"][: len(people)]]
            normals = encode_normals(told["normals"])
            values = (points, png, "metric", scale, offset, normals)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        return _answer(self, batch, *columns)


def _rows(batch: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = batch.select(["phash", "width", "height"]).to_pylist()
    return rows


def _answer(stage: BaseStage, batch: pa.Table, *columns: list[Any]) -> pa.Table:
    arrays = [pa.array(values, f.type) for values, f in zip(columns, stage.writes, strict=True)]
    return pa.table([batch["key"], *arrays], names=["key", *stage.writes.names])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
