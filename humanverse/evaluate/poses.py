"""How well poses were found: COCO's average precision and recall, by pycocotools.

`body` is COCO's keypoint evaluation as it stands. `wholebody` is the same over all 133 points with
the spreads of COCO-WholeBody (arXiv 2007.11858), as its authors run it: a person counts who has any
labelled point, and how large a found one is follows from its box or else its body. Hidden points
count like seen ones.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from humanverse.coco import PARTS, SIGMAS
from humanverse.errors import UsageError

Part = Literal["body", "wholebody"]
Entry = dict[str, Any]

TRUTH = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints")
FOUND = ("image_id", "category_id", "score")
STATS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")
"""What pycocotools tells first, in its order."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What pycocotools tells, from 0 to 1, and of how much. -1 where no person counts."""

    ap: float
    """Precision averaged over OKS from 0.5 to 0.95."""
    ap50: float
    ap75: float
    ap_medium: float
    """Of people of 32 x 32 to 96 x 96 pixels."""
    ap_large: float
    """Of larger ones."""
    ar: float
    """Recall averaged over OKS from 0.5 to 0.95."""
    pictures: int
    people: int
    """In truth, who count."""
    found: int
    """All that were found, also those beyond the 20 a picture that are looked at."""


def keypoint_scores(
    truth: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    part: Part,
    most: int | None = None,
) -> Scores:
    """Average precision and recall of found people; neither argument is changed.

    Args:
        truth: a COCO file's `images`, `annotations` and `categories`.
        found: COCO results: `image_id`, `category_id`, `score`, `keypoints` and, for `wholebody`,
            the other lists.
        part: which points.
        most: so many people of a picture count at most, those of the largest area, which is the
            "clean" variant of HyperHuman (arXiv 2310.08579) with 3. The others are what people
            without labels are to COCO: no miss, and for each of them one who is found about there,
            inside three times their width and height, is no mistake.

    Raises:
        UsageError: a field is missing, or someone was found in a picture that is not in truth.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    lists = tuple(PARTS) if part == "wholebody" else ("keypoints",)
    _require([truth], ("images", "annotations", "categories"), "truth")
    _require(truth["annotations"], (*TRUTH, *lists), "a person of truth")
    _require(found, (*FOUND, *lists), "a person found")
    _refuse_strangers(truth, found)
    people, results = ([dict(one) for one in many] for many in (truth["annotations"], found))
    with contextlib.redirect_stdout(io.StringIO()):
        whole, there = COCO(), COCO()
        whole.dataset = {**truth, "annotations": people}
        whole.createIndex()
        there.dataset = {"annotations": results}
        if results:
            there = whole.loadRes(results)
        if part == "wholebody":
            _join(people, results)
        if most is not None:
            _set_aside(people, most)
        judged = COCOeval(whole, there, "keypoints")
        if part == "wholebody":
            judged.params.kpt_oks_sigmas = SIGMAS
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    told = dict(zip(STATS, judged.stats.tolist(), strict=False))
    counted = sum(not one["ignore"] for one in people if "ignore" in one)
    return Scores(**told, pictures=len(truth["images"]), people=counted, found=len(results))


def _require(entries: Iterable[Mapping[str, Any]], fields: Sequence[str], what: str) -> None:
    for entry in entries:
        if missing := [name for name in fields if name not in entry]:
            raise UsageError(f"{what} has no {', '.join(missing)}: COCO's format is wanted")


def _refuse_strangers(truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> None:
    known = {picture["id"] for picture in truth["images"]}
    if strangers := [one["image_id"] for one in found if one["image_id"] not in known]:
        raise UsageError(f"a person was found in picture {strangers[0]}, which is not in truth")
    if len({bool(one.get("bbox")) for one in found}) > 1:
        raise UsageError("some people found have a bbox and others none: give all of them one")


def _join(people: Sequence[Entry], results: Sequence[Entry]) -> None:
    """All points into `keypoints`, once boxes and areas of results have come from the body's."""
    for one in (*people, *results):
        one["keypoints"] = [number for name in PARTS for number in one[name]]
    for one in people:
        one["num_keypoints"] = sum(flag > 0 for flag in one["keypoints"][2::3])


def _set_aside(people: Sequence[Entry], most: int) -> None:
    """All but the largest people of each picture who count become people without labels."""
    pictures = defaultdict[Any, list[Entry]](list)
    for one in people:
        if one["num_keypoints"] and not one["iscrowd"]:
            pictures[one["image_id"]].append(one)
    for those in pictures.values():
        for one in sorted(those, key=lambda one: -one["area"])[most:]:
            one["bbox"] = _around(one)
            one["num_keypoints"] = 0
            one["keypoints"] = [0] * len(one["keypoints"])


def _around(one: Entry) -> list[float]:
    """The box, xywh, around a person's box and labelled points, which may be hidden outside it."""
    left, top, width, height = one["bbox"]
    points = np.reshape(one["keypoints"], (-1, 3))
    corners = np.vstack([points[points[:, 2] > 0, :2], [left, top], [left + width, top + height]])
    least, most = corners.min(axis=0), corners.max(axis=0)
    return [*least.tolist(), *(most - least).tolist()]
