"""The text members of a sample, from its fields: caption, description, pose."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from humanverse.pack.settings import Caption

SAMPLE = "humanverse.sample.v1"
POSE = "humanverse.pose.v1"
UNINDEXED = ("embedding", "latents_mean", "latents_std")
"""Fields that only a shard's own Parquet holds. 768 numbers as text take 10 KB a sample, an index
of ten million samples would grow by 15 GB."""
DEPTH_FIELDS = ("depth_kind", "depth_scale", "depth_offset")
CANVAS_FIELDS = ("canvas_left", "canvas_top")
APART = (
    *("boxes", "box_scores", "mask_areas", "keypoints", "person_boxes", "person_scores"),
    *DEPTH_FIELDS,
    *CANVAS_FIELDS,
    *UNINDEXED,
)


def members_of(row: dict[str, Any], caption: Caption = "web") -> dict[str, bytes]:
    """Extension to bytes: `txt`, `json` and, where the row has keypoints, `pose.json`."""
    generated = row.get("generated_caption") if caption == "generated" else None
    text = row["caption"] if generated is None else generated
    members = {"txt": (text or "").encode(), "json": _json(_description(row))}
    if row.get("keypoints") is not None:
        members["pose.json"] = _json(_pose(row))
    return members


def _description(row: dict[str, Any]) -> dict[str, Any]:
    """Everything known of a sample but its keypoints."""
    out: dict[str, Any] = {"schema": SAMPLE}
    out |= {name: value for name, value in row.items() if name not in APART}
    out["people"] = _people(row)
    if row.get("depth_kind") is not None:
        out["depth"] = {
            "kind": row["depth_kind"],
            "scale": row["depth_scale"],
            "offset": row["depth_offset"],
            "code": "16-bit PNG; value = code * scale + offset",
        }
    return out


def _pose(row: dict[str, Any]) -> dict[str, Any]:
    people = _people(row)
    for person, flat in zip(people, row["keypoints"], strict=True):
        points = np.asarray(flat, np.float64).reshape(-1, 3).round(4)
        person["keypoints"] = points.tolist()
    return {"schema": POSE, "order": "coco-wholebody-133", "people": people}


def _people(row: dict[str, Any]) -> list[dict[str, Any]]:
    boxes, scores = row.get("person_boxes") or [], row.get("person_scores") or []
    people: list[dict[str, Any]] = [
        {"box": [round(side, 2) for side in box], "score": round(score, 4)}
        for box, score in zip(boxes, scores, strict=True)
    ]
    # Those who count are some of those who were found, and masks are of the latter.
    found = zip(row.get("boxes") or (), row.get("mask_areas") or (), strict=False)
    masks = {tuple(box): area for box, area in found}
    for person, box in zip(people, boxes, strict=True):
        if (area := masks.get(tuple(box))) is not None:
            person["mask_area"] = round(area, 6)
    return people


def _json(value: Any) -> bytes:
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no word for: NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value
