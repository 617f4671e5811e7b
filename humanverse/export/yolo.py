"""A packed root as ultralytics' YOLO reads poses: `images`, `labels/KEY.txt` and `data.yaml`.

A line a person: the class, which is 0, the box's middle and size, and the body's 17 points with
COCO's flags, all as shares of the picture's width and height. Boxes are cut to the picture, and
points outside it count as not labelled, which YOLO wants. Splits become folders. YOLO will not do
without `train` and `val`: a split of another name stands in for one that is missing, and all
samples where there are no splits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse import keypoints as kp
from humanverse.coco import flags
from humanverse.export.folder import Folder, Handed, parts_of, put_pictures, with_poses

BODY: Final = kp.BODY.stop
STANDS_IN: Final = {"train": (), "val": ("valid", "validation", "test"), "test": ()}
"""What YOLO calls the splits, and what they may be called here."""


def export(root: str, to: str, *, pictures: bool = True) -> Handed:
    """Write what is missing.

    Raises:
        UsageError: the root has no poses, or the folder is no place for it.
    """
    dataset = with_poses(root)
    folder = Folder(to, dataset, "yolo-pose", {"pictures": pictures})
    parts = parts_of(dataset)
    for split, part in parts.items():
        below = f"/{split}" if split else ""
        for number, size in enumerate(part.sizes()):
            if folder.lacks(name := f"labels{below}/{part.key(number)}.txt"):
                sample = part[number]
                people = zip(sample.get("poses", ()), sample.get("boxes", ()), strict=True)
                lines = (f"{line(pose, box, *size.tolist())}\n" for pose, box in people)
                folder.put(name, "".join(lines).encode())
        if pictures:
            put_pictures(folder, part, f"images{below}")
    if folder.lacks("data.yaml"):
        folder.put("data.yaml", description([*parts]).encode())
    return folder.handed(dataset)


def line(pose: NDArray[np.float32], box: NDArray[np.float32], height: int, width: int) -> str:
    """A person (133, 3) with the box xyxy in a picture of that size, in pixels."""
    size = np.array([width, height], np.float64)
    near, far = (np.clip(corner / size, 0, 1) for corner in (box[:2], box[2:]))
    places = pose[kp.BODY, :2] / size
    inside = ((places >= 0) & (places <= 1)).all(axis=1)
    seen = np.where(inside, flags(pose[kp.BODY]), 0)
    numbers = [f"{share:.6f}" for share in (*(near + far) / 2, *(far - near))]
    for (x, y), flag in zip(places, seen, strict=True):
        numbers += [f"{x:.6f}", f"{y:.6f}", f"{flag}"] if flag else ["0", "0", "0"]
    return " ".join(["0", *numbers])


def description(splits: Sequence[str]) -> str:
    """The `data.yaml` of these splits. Places are below its own folder."""
    told: dict[str, Any] = {
        **_folders(splits),
        "kpt_shape": [BODY, 3],
        "flip_idx": kp.FLIP[kp.BODY].tolist(),
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in told.items()]
    named = {"names": '"person"', "kpt_names": json.dumps(kp.BODY_NAMES)}
    lines += [f"{name}:\n  0: {value}" for name, value in named.items()]
    return "\n".join(lines) + "\n"


def _folders(splits: Sequence[str]) -> dict[str, str]:
    """YOLO's names of the splits to their folders of pictures."""
    if "" in splits:
        return {"train": "images", "val": "images"}
    found = {
        name: next((one for one in (name, *others) if one in splits), None)
        for name, others in STANDS_IN.items()
    }
    found |= {name: found[name] or splits[0] for name in ("train", "val")}
    return {name: f"images/{split}" for name, split in found.items() if split}
