"""A packed root as COCO's JSON: keypoints of the body, or COCO-WholeBody's 133; and captions.

`annotations/person_keypoints.json` or `coco_wholebody.json`, `annotations/captions.json` and
`images/KEY.jpg`. Where the root has splits, each has files of its own, such as
`person_keypoints_train.json`. Files are written entry by entry: what stays in memory is what the
index needs, about a hundred bytes a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from humanverse.coco import CATEGORY, annotation
from humanverse.export.folder import (
    Folder,
    Handed,
    parts_of,
    people_of,
    put_pictures,
    with_poses,
    write_json,
)
from humanverse.load.dataset import Dataset

ID_DIGITS: Final = 13
"""Of a key, which are a picture's number: 52 bits, which every reader of JSON keeps."""


def export(root: str, to: str, *, whole: bool, pictures: bool = True) -> Handed:
    """Write what is missing.

    Args:
        root: a packed root.
        to: the folder.
        whole: all 133 points, else the body's 17.
        pictures: False leaves them out.

    Raises:
        UsageError: the root has no poses, or the folder is no place for it.
    """
    dataset = with_poses(root, "caption")
    layout, stem = ("coco-wholebody", "coco_wholebody") if whole else ("coco", "person_keypoints")
    folder = Folder(to, dataset, layout, {"pictures": pictures})
    ids, samples, people = Ids(dataset), 0, 0
    for split, part in parts_of(dataset).items():
        of_split = f"_{split}" if split else ""
        entries = {
            stem: people_in(part, ids, people + 1, whole=whole),
            "captions": captions_of(part, ids, samples + 1),
        }
        for kind, content in entries.items():
            if folder.lacks(name := f"annotations/{kind}{of_split}.json"):
                told = _head(dataset) | {"images": images_of(part, ids), "annotations": content}
                told |= {"categories": [dict(CATEGORY)]} if kind == stem else {}
                with folder.writing(name) as file:
                    write_json(file, told)
        if pictures:
            put_pictures(folder, part, "images")
        samples, people = samples + len(part), people + people_of(part)
    return folder.handed(dataset)


class Ids:
    """A number for each key that follows from it, whatever else the root holds."""

    def __init__(self, dataset: Dataset) -> None:
        """Look for keys that begin alike: of two, the later one gets the next number that is free.

        Among ten million samples that happens to one pair in a hundred roots.
        """
        count = len(dataset)
        numbers = (_begins(dataset.key(number)) for number in range(count))
        told = np.fromiter(numbers, np.int64, count)
        known, first = np.unique(told, return_index=True)
        self._moved: dict[str, int] = {}
        for number in np.setdiff1d(np.arange(count), first).tolist():
            free = int(told[number])
            while free in self._moved.values() or free in known:
                free += 1
            self._moved[dataset.key(number)] = free

    def __getitem__(self, key: str) -> int:
        return self._moved.get(key, _begins(key))


def _begins(key: str) -> int:
    return int(key[:ID_DIGITS], 16)


def images_of(dataset: Dataset, ids: Ids) -> Iterator[dict[str, Any]]:
    """The entries of `images`."""
    for number, sides in enumerate(dataset.sizes()):
        key, (height, width) = dataset.key(number), sides.tolist()
        size = {"width": width, "height": height}
        yield {"id": ids[key], "file_name": f"{key}.jpg"} | size | {"key": key}


def people_in(dataset: Dataset, ids: Ids, first: int, *, whole: bool) -> Iterator[dict[str, Any]]:
    """An entry of `annotations` for each person, numbered from `first`."""
    for sample in dataset.only(["poses", "boxes", "mask_areas"]):
        people = (sample.get(name, ()) for name in ("poses", "boxes", "mask_areas"))
        for pose, box, area in zip(*people, strict=True):
            told = {"id": first, "image_id": ids[sample["key"]]}
            masked = None if np.isnan(area) else float(area)
            yield told | annotation(pose, box.tolist(), masked, whole=whole)
            first += 1


def captions_of(dataset: Dataset, ids: Ids, first: int) -> Iterator[dict[str, Any]]:
    """An entry for each sample that has a caption, numbered from `first` over all samples."""
    for number, sample in enumerate(dataset.only(["caption"]), first):
        if caption := sample.get("caption"):
            yield {"id": number, "image_id": ids[sample["key"]], "caption": caption}


def _head(dataset: Dataset) -> dict[str, Any]:
    told = {"description": "people of a HumanVerse dataset", "version": dataset.fingerprint()[:16]}
    return {"info": told, "licenses": []}
