"""What COCO's annotation files say of the people in a picture, moved into what is stored of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.coco import PERSON, box_of, pose_of
from humanverse.collect.picture import centre
from humanverse.errors import UsageError
from humanverse.sources.coco import read

FILES: Final = ("*keypoints*.json", "*wholebody*.json")
"""Those of a folder that are read. What the later ones say of a person replaces the earlier."""

Array = NDArray[np.float64]
Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a file says of a person, or of a crowd."""

    box: Array
    """xyxy."""
    area: float
    outlines: tuple[Array, ...]
    """Polygons (n, 2); none where there is no mask, or one of runs."""
    pose: NDArray[np.float32]
    """(133, 3)."""
    crowd: bool


@dataclass(frozen=True, slots=True)
class Person:
    """What is left of a person in what is stored."""

    box: Array
    """xyxy, in its pixels."""
    share: float
    """Of it, what the mask covers."""
    pose: NDArray[np.float32]
    """(133, 3), in its pixels; zeros for points that are not labelled, or not in it."""
    crowd: bool


class Truth:
    """People by their pictures' names."""

    def __init__(self, path: Path) -> None:
        """Read a file, or those of a folder.

        Raises:
            UsageError: there are none, or one is not in COCO's format.
        """
        self.sizes: dict[str, Size] = {}
        """Of the pictures that the files know, by name."""
        self._people: dict[str, dict[Any, Told]] = defaultdict(dict)
        for file in files_of(path):
            told = read(file)
            try:
                self._add(told)
            except (LookupError, ValueError, TypeError) as error:
                raise UsageError(f"{file} is not in COCO's format: {error!r}") from error

    def people(self, name: str, served: Size, stored: Size) -> list[Person]:
        """The people left in a picture, in the order of their numbers.

        Args:
            name: of its file, without folders.
            served: its upright size, which annotations are in pixels of.
            stored: the size of what is stored of it: all of it, or the square in its middle.
        """
        shift, scale = _moved(served, stored)
        numbered = sorted(self._people.get(name, {}).items())
        moved = (_left_of(one, shift, scale, stored) for _, one in numbered)
        return [person for person in moved if person is not None]

    def _add(self, told: Mapping[str, Any]) -> None:
        names = {one["id"]: Path(one["file_name"]).name for one in told["images"]}
        self.sizes |= {names[one["id"]]: (one["width"], one["height"]) for one in told["images"]}
        for one in told["annotations"]:
            if one.get("category_id") == PERSON and "keypoints" in one and one["image_id"] in names:
                self._people[names[one["image_id"]]][one["id"]] = _read(one)


def files_of(path: Path) -> list[Path]:
    """The annotation files that a path means.

    Raises:
        UsageError: there are none.
    """
    if path.is_file():
        return [path]
    found = [file for pattern in FILES for file in sorted(path.glob(pattern))]
    if not found:
        raise UsageError(f"{path} holds no person_keypoints or wholebody JSON of COCO's")
    return found


def _read(one: Mapping[str, Any]) -> Told:
    outlines = one.get("segmentation") or ()
    polygons = outlines if isinstance(outlines, list) else ()
    shapes = tuple(np.asarray(flat, np.float64).reshape(-1, 2) for flat in polygons)
    crowd = bool(one.get("iscrowd"))
    return Told(box_of(one), float(one["area"]), shapes, pose_of(one), crowd)


def _moved(served: Size, stored: Size) -> tuple[Array, Array]:
    """Where in a picture what is stored begins, and by how much it is scaled."""
    if stored[0] == stored[1] and served[0] != served[1]:
        left, top, side = centre(*served)
        return np.array([left, top], np.float64), np.full(2, stored[0] / side)
    return np.zeros(2), np.divide(stored, served)


def _left_of(one: Told, shift: Array, scale: Array, stored: Size) -> Person | None:
    """A person in what is stored; None if nothing of it is left."""

    def move(points: Array) -> Array:
        return np.asarray((points - shift) * scale)

    whole = move(one.box.reshape(2, 2))
    box = np.clip(whole, 0, stored)
    part = _part(whole, box, [move(outline) for outline in one.outlines], stored)
    if part <= 0 or (box[1] <= box[0]).any():
        return None
    pose = one.pose.copy()
    pose[:, :2] = move(one.pose[:, :2].astype(np.float64))
    inside = ((pose[:, :2] >= 0) & (pose[:, :2] < stored)).all(axis=1)
    pose[~inside | (pose[:, 2] == 0)] = 0
    area = one.area * float(scale.prod()) * part
    return Person(box.ravel(), min(area / (stored[0] * stored[1]), 1.0), pose, one.crowd)


def _part(whole: Array, box: Array, outlines: Sequence[Array], stored: Size) -> float:
    """How much of a person is left: of the outlines, or of the box where there are none."""
    before = sum(_area(outline) for outline in outlines)
    if before > 0:
        return sum(_area(_clipped(outline, stored)) for outline in outlines) / before
    areas = [float(np.clip(corners[1] - corners[0], 0, None).prod()) for corners in (whole, box)]
    return areas[1] / areas[0] if areas[0] > 0 else 0.0


def _area(polygon: Array) -> float:
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _clipped(polygon: Array, stored: Size) -> Array:
    """A polygon cut to the frame, side by side (Sutherland and Hodgman, 1974)."""
    for axis, least, most in ((0, 0, stored[0]), (1, 0, stored[1])):
        for limit, sign in ((least, 1), (most, -1)):
            if len(polygon):
                polygon = _cut(polygon, axis, limit, sign)
    return polygon


def _cut(polygon: Array, axis: int, limit: float, sign: int) -> Array:
    """What of a polygon lies on one side of a line."""
    out = []
    beyond = sign * (polygon[:, axis] - limit)
    for start, end, a, b in zip(
        polygon, np.roll(polygon, -1, axis=0), beyond, np.roll(beyond, -1), strict=True
    ):
        if a >= 0:
            out.append(start)
        if (a >= 0) != (b >= 0):
            out.append(start + (end - start) * (a / (a - b)))
    return np.array(out, np.float64).reshape(-1, 2)
