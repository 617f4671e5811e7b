"""Whether people stand in generated pictures as they do in the real ones of the same keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from humanverse import coco
from humanverse.evaluate.poses import Part, keypoint_scores
from humanverse.evaluate.sets import PictureSet
from humanverse.load.decode import box_areas
from humanverse.load.view import largest

CLEAN: Final = 3
"""The most people of a picture that count in the paper's clean variant, the largest."""
VARIANTS: Final[Mapping[str, int | None]] = {"": None, "_clean": CLEAN}


def pose_scores(
    truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Average precision and recall in per cent, of body and whole body, of all people and clean.

    None where nobody counts.
    """
    out: dict[str, float | None] = {}
    parts: dict[Part, str] = {"body": "pose", "wholebody": "wholebody"}
    for part, begins in parts.items():
        for name, most in VARIANTS.items():
            scores = keypoint_scores(truth, found, part, most)
            for kind in ("ap", "ar"):
                value = getattr(scores, kind)
                out[f"{begins}_{kind}{name}"] = 100 * value if value >= 0 else None
    return out


def truth_of(real: PictureSet, keys: Sequence[str], side: int) -> dict[str, Any]:
    """The people of real pictures, as COCO has them, in the crop that is measured.

    Whoever lies outside of it is left out.
    """
    people: list[dict[str, Any]] = []
    for number, key in enumerate(keys):
        sample = real.sample(key, ("poses", "boxes", "mask_areas", "meta"))
        size = int(sample["meta"]["height"]), int(sample["meta"]["width"])
        view = largest(size, (side, side))
        poses, boxes = view.poses(sample["poses"]), view.boxes(sample["boxes"])
        left = box_areas(boxes) / box_areas(sample["boxes"])
        for pose, box, area in zip(poses, boxes, sample["mask_areas"] * left, strict=True):
            if coco.area_of(box) > 0:
                ids = {"id": len(people) + 1, "image_id": number}
                masked = None if np.isnan(area) else float(area)
                people.append(coco.annotation(pose, box, masked) | ids)
    images = [{"id": number, "width": side, "height": side} for number in range(len(keys))]
    return {"images": images, "annotations": people, "categories": [coco.CATEGORY]}
