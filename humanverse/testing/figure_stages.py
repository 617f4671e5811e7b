"""Stages that build a dataset of `figures`: a URL ends in the seed, and labels are the truth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import pyarrow as pa

from humanverse import schema
from humanverse.codec import encode_depth, encode_jpeg, encode_normals
from humanverse.stage import BaseStage
from humanverse.testing.figures import SIDE, figure
from humanverse.testing.scenes import Scene

QUALITY = 95


@lru_cache(maxsize=512)  # a unit's: three stages ask for each
def scene_of(url: str) -> Scene:
    """The scene of a URL such as http://localhost/17.jpg."""
    return figure(int(url.rpartition("/")[2].partition(".")[0]))


@dataclass
class FigureCollect(BaseStage):
    """The pictures, without asking anybody."""

    name: ClassVar[str] = "collect"
    reads: ClassVar[tuple[str, ...]] = ("url",)
    writes: ClassVar[pa.Schema] = schema.writes(*schema.COLLECT)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A picture of each row."""
        rows = [_picture(url) for url in batch["url"].to_pylist()]
        return pa.Table.from_pylist(rows, self.writes).add_column(0, "key", batch["key"])


@dataclass
class FigureDetect(BaseStage):
    """The box of each person."""

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("url",)
    writes: ClassVar[pa.Schema] = schema.writes("boxes", "box_scores")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """One box a picture."""
        boxes = [scene_of(url).boxes.tolist() for url in batch["url"].to_pylist()]
        rows = [{"boxes": box, "box_scores": [1.0]} for box in boxes]
        return pa.Table.from_pylist(rows, self.writes).add_column(0, "key", batch["key"])


@dataclass
class FigureLabels(BaseStage):
    """Keypoints, depth in metres and normals."""

    name: ClassVar[str] = "labels"
    reads: ClassVar[tuple[str, ...]] = ("url", "person_boxes")
    writes: ClassVar[pa.Schema] = schema.writes(
        *("keypoints", "depth_png", "depth_kind", "depth_scale", "depth_offset", "normal_png")
    )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The labels of each picture."""
        rows = [_labels(scene_of(url)) for url in batch["url"].to_pylist()]
        return pa.Table.from_pylist(rows, self.writes).add_column(0, "key", batch["key"])


def _picture(url: str) -> dict[str, Any]:
    digest = hashlib.sha256(url.encode()).hexdigest()
    sizes = dict.fromkeys(("width", "height", "original_width", "original_height"), SIDE)
    told = {"sha256": digest, "phash": digest[:16], "format": "JPEG", "http_status": 200}
    return told | sizes | {"image": encode_jpeg(scene_of(url).image, QUALITY)}


def _labels(scene: Scene) -> dict[str, Any]:
    png, scale, offset = encode_depth(scene.depth)
    return {
        "keypoints": [points.ravel().tolist() for points in scene.keypoints],
        "depth_png": png,
        "depth_kind": "metric",
        "depth_scale": scale,
        "depth_offset": offset,
        "normal_png": encode_normals(scene.normals),
    }
