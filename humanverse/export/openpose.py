"""A packed root as OpenPose's JSON: `keypoints/KEY_keypoints.json` and `images/KEY.jpg`.

A picture's people have BODY_25, which is what OpenPose gives unless it is told otherwise and has
feet, 70 points of the face and 21 of each hand: x, y in pixels and confidence. Four points that
COCO-WholeBody lacks are reckoned: the neck lies midway between the shoulders, the middle hip
between the hips, and each pupil amid the six points of its eye; they are as sure as the least sure
of those. What has no confidence, or lies nowhere, is three zeros. Height and width of the picture
stand beside the people, as ControlNet's tools have them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse import keypoints as kp
from humanverse.export.folder import Folder, Handed, parts_of, put_pictures, with_poses

VERSION: Final = 1.3
_SIDE: Final = "shoulder elbow wrist"
_LEG: Final = "hip knee ankle"

BODY_25: Final[tuple[tuple[str, ...], ...]] = (
    *(("nose",), ("left_shoulder", "right_shoulder")),
    *((f"{side}_{joint}",) for side in ("right", "left") for joint in _SIDE.split()),
    ("left_hip", "right_hip"),
    *((f"{side}_{joint}",) for side in ("right", "left") for joint in _LEG.split()),
    *((f"{side}_{part}",) for part in ("eye", "ear") for side in ("right", "left")),
    *((f"left_{part}",) for part in ("big_toe", "small_toe", "heel")),
    *((f"right_{part}",) for part in ("big_toe", "small_toe", "heel")),
)
"""Its 25 points: of which of ours each is the middle."""
RIGHT_EYE, LEFT_EYE = range(36, 42), range(42, 48)
FACE_70: Final[tuple[tuple[str, ...], ...]] = (
    *((f"face_{point}",) for point in range(68)),
    *(tuple(f"face_{point}" for point in eye) for eye in (RIGHT_EYE, LEFT_EYE)),
)
"""Its 70 points: the 68 of iBUG and the pupils."""


def export(root: str, to: str, *, pictures: bool = True) -> Handed:
    """Write what is missing; splits become folders below `keypoints` and `images`.

    Raises:
        UsageError: the root has no poses, or the folder is no place for it.
    """
    dataset = with_poses(root)
    folder = Folder(to, dataset, "openpose", {"pictures": pictures})
    for split, part in parts_of(dataset).items():
        below = f"/{split}" if split else ""
        for number, size in enumerate(part.sizes()):
            if folder.lacks(name := f"keypoints{below}/{part.key(number)}_keypoints.json"):
                told = picture(part[number].get("poses", ()), *size.tolist())
                folder.put(name, json.dumps(told, separators=(",", ":")).encode())
        if pictures:
            put_pictures(folder, part, f"images{below}")
    return folder.handed(dataset)


def picture(poses: Sequence[NDArray[np.float32]], height: int, width: int) -> dict[str, Any]:
    """What OpenPose says of a picture, of people (133, 3)."""
    people = [person(pose) for pose in poses]
    return {"version": VERSION, "canvas_height": height, "canvas_width": width, "people": people}


def person(pose: NDArray[np.float32]) -> dict[str, Any]:
    """What OpenPose says of a person (133, 3)."""
    flat = {
        "pose": _middles(pose, BODY_25),
        "face": _middles(pose, FACE_70),
        "hand_left": pose[kp.LEFT_HAND],
        "hand_right": pose[kp.RIGHT_HAND],
    }
    told: dict[str, Any] = {"person_id": [-1]}
    told |= {f"{part}_keypoints_2d": _numbers(points) for part, points in flat.items()}
    return told | {f"{part}_keypoints_3d": [] for part in flat}


def _middles(pose: NDArray[np.float32], named: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    out = []
    for names in named:
        points = pose[[kp.NAMES.index(name) for name in names]]
        out.append([*points[:, :2].mean(axis=0), points[:, 2].min()])
    return np.array(out, np.float32)


def _numbers(points: NDArray[np.float32]) -> list[float]:
    """x, y, confidence, and so on."""
    known = (points[:, 2:] > 0) & np.isfinite(points).all(axis=1, keepdims=True)
    flat = np.where(known, points, np.float32(0)).ravel()
    return flat.astype("U32").astype(np.float64).tolist()
