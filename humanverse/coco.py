"""A person's 133 keypoints as COCO and COCO-WholeBody write them, and back.

COCO (arXiv 1405.0312) gives 17 points of the body, COCO-WholeBody (arXiv 2007.11858) the others
beside them, in lists of x, y and a flag for each point. A flag is 0 where nobody labelled the
point, whose x and y are 0 then, 1 where it is hidden and 2 where it is seen. Boxes are x, y, width
and height.

Confidences become flags by two thresholds. What does not exceed `CONFIDENT` is drawn nowhere else
here, and as a label it would be a guess: it counts as not labelled. Up to `SEEN` a point is more
likely hidden than seen; rendered scenes say 0.5 for those that are. Flags become 0, 0.5 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse import keypoints as kp
from humanverse.drawing import CONFIDENT

SEEN: Final = 0.5
"""Confidence above which a labelled keypoint counts as seen."""
HIDDEN_FLAG, SEEN_FLAG = 1, 2

MASK_SHARE: Final = 0.53
"""Of a box, what its person is taken to cover where no mask tells, as pose training has it."""

PERSON: Final = 1
"""The number of the category."""

PARTS: Final[Mapping[str, slice]] = {
    "keypoints": kp.BODY,
    "foot_kpts": kp.FEET,
    "face_kpts": kp.FACE,
    "lefthand_kpts": kp.LEFT_HAND,
    "righthand_kpts": kp.RIGHT_HAND,
}
"""An annotation's lists of points, in the order of the 133."""

_BONES: Final = (
    *("left_ankle left_knee", "left_knee left_hip", "right_ankle right_knee"),
    *("right_knee right_hip", "left_hip right_hip", "left_shoulder left_hip"),
    *("right_shoulder right_hip", "left_shoulder right_shoulder", "left_shoulder left_elbow"),
    *("right_shoulder right_elbow", "left_elbow left_wrist", "right_elbow right_wrist"),
    *("left_eye right_eye", "nose left_eye", "nose right_eye", "left_eye left_ear"),
    *("right_eye right_ear", "left_ear left_shoulder", "right_ear right_shoulder"),
)
CATEGORY: Final[Mapping[str, Any]] = {
    "supercategory": "person",
    "id": PERSON,
    "name": "person",
    "keypoints": [*kp.BODY_NAMES],
    "skeleton": [[kp.BODY_NAMES.index(end) + 1 for end in bone.split()] for bone in _BONES],
}
"""The entry of `categories`, the same with 17 points and with 133; bones count from 1."""

_BODY: Final = (26, *[25] * 2, *[35] * 2, *[79] * 2, *[72] * 2, *[62] * 2, *[107] * 2)
_LEGS: Final = (*[87] * 2, *[89] * 2)
_FEET: Final = (68, 66, 66, 92, 94, 94)
_JAW: Final = (42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45)
_BROWS: Final = (13, 12, 11, 11, 12, 12, 11, 11, 13, 15)
_NOSE: Final = (9, 7, 7, 7, 12, 9, 8, 16, 10)
_EYES: Final = (17, 11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34)
_LIPS: Final = (8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8, 8, 8, 10, 8)
_HAND: Final = (29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31)
SIGMAS: Final[NDArray[np.float64]] = (
    np.array([*_BODY, *_LEGS, *_FEET, *_JAW, *_BROWS, *_NOSE, *_EYES, *_LIPS, *_HAND, *_HAND])
    / 1000
)
"""(133,): how far annotators lie apart, as a share of a person's size; COCO's and WholeBody's."""
SIGMAS.flags.writeable = False


def flags(poses: NDArray[Any]) -> NDArray[np.int64]:
    """COCO's flags of keypoints (..., 3): 0 not labelled, 1 hidden, 2 seen."""
    labelled = (poses[..., 2] > CONFIDENT) & np.isfinite(poses).all(axis=-1)
    return np.asarray(labelled * np.where(poses[..., 2] > SEEN, SEEN_FLAG, HIDDEN_FLAG))


def area_of(box: Sequence[float]) -> float:
    """Pixels that a person is taken to cover of a box xyxy, where no mask tells."""
    left, top, right, bottom = map(float, box)
    return MASK_SHARE * max(right - left, 0) * max(bottom - top, 0)


def annotation(
    pose: NDArray[Any], box: Sequence[float], area: float | None = None, *, whole: bool = True
) -> dict[str, Any]:
    """One person as an annotation, but for its `id` and that of its picture.

    Args:
        pose: (133, 3): x and y in pixels, confidence.
        box: xyxy in pixels.
        area: pixels that the person covers; by `area_of` if None.
        whole: all 133 points, else the body's 17.
    """
    left, top, right, bottom = map(float, box)
    seen = flags(pose)
    points = np.where(seen[:, None] > 0, pose[:, :2], np.asarray(0, pose.dtype))
    out: dict[str, Any] = {
        "category_id": PERSON,
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "area": area_of(box) if area is None else float(area),
        "segmentation": [],
        "num_keypoints": int((seen[kp.BODY] > 0).sum()),
        "keypoints": _triples(points[kp.BODY], seen[kp.BODY]),
    }
    if not whole:
        return out
    for name, part in [*PARTS.items()][1:]:
        word, there = name.removesuffix("_kpts"), seen[part] > 0
        out[name] = _triples(points[part], seen[part])
        out[f"{word}_valid"] = bool(there.any())
        if word != "foot":
            out[f"{word}_box"] = _around(points[part][there])
    return out


def result(pose: NDArray[Any], score: float, *, whole: bool = True) -> dict[str, Any]:
    """A person that an estimator found, but for the `image_id`: as evaluations want it.

    Unlike in labels, every point keeps its place, however unsure: it may be the best there is.
    """
    ones = np.ones(len(pose), np.int64)
    parts = PARTS if whole else {"keypoints": kp.BODY}
    lists = {name: _triples(pose[part, :2], ones[part]) for name, part in parts.items()}
    return {"category_id": PERSON, "score": float(score)} | lists


def pose_of(annotation: Mapping[str, Any]) -> NDArray[np.float32]:
    """(133, 3) of an annotation, of COCO's 17 points or all: 0 where nothing is labelled.

    COCO-WholeBody's hands have flags between 0 and 1 here and there. Evaluations take whatever is
    above 0 for labelled, and so does this.
    """
    pose = np.zeros((kp.COUNT, 3), np.float32)
    for name, part in PARTS.items():
        if name in annotation:
            pose[part] = np.asarray(annotation[name], np.float64).reshape(-1, 3)
    seen = pose[:, 2]
    pose[:, 2] = np.where(seen >= SEEN_FLAG, 1, np.where(seen > 0, SEEN, 0))
    pose[seen <= 0] = 0
    return pose


def box_of(annotation: Mapping[str, Any]) -> NDArray[np.float64]:
    """The box, xyxy, of an annotation."""
    left, top, width, height = annotation["bbox"]
    return np.array([left, top, left + width, top + height], np.float64)


def _triples(points: NDArray[Any], seen: NDArray[np.int64]) -> list[float]:
    """x, y, flag, and so on, with no more digits than tell the numbers apart in their precision."""
    exact = points.astype("U32").astype(np.float64).tolist() if len(points) else []
    out: list[float] = []
    for (x, y), flag in zip(exact, seen.tolist(), strict=True):
        out += (x, y, flag)
    return out


def _around(points: NDArray[Any]) -> list[float]:
    """The box, xywh, around points (n, 2); zeros around none."""
    if not len(points):
        return [0.0] * 4
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return [left, top, right - left, bottom - top]
