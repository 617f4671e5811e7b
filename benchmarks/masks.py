"""How near the areas that people cover by their masks come to those that the labels outline.

    python benchmarks/masks.py --photos DIR --labels FILE --segmenter blazepose
    python benchmarks/masks.py ... --segmenter sam2=FOLDER --detector yolox

DIR holds `index.jsonl`, one photograph a line: `file`, `width`, `height`, `coco_id`. FILE is of
COCO's kind, with people's outlines. Each segmenter is given the true boxes, and those that a
detector finds; crowds that are outlined as one are asked for by no box, but are part of a
photograph's truth. Agreement is on keeping 1 to 3 people on 5, 10 or 15 % of the frame.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from common import PEOPLE, figure, labelled_photos, show_share, write

from humanverse.filter.coverage import coverage
from humanverse.filter.detectors import MIN_SCORES, make_detector
from humanverse.filter.segmenters import make_segmenter
from humanverse.models.owners import laid_over, shares

SMALL, LARGE = 0.02, 0.15
"""Shares of the frame between which people are of a middling size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--segmenter", action="append", help="a name, =FILE where it needs weights")
    parser.add_argument("--detector", default="blazepose", help="likewise")
    parser.add_argument("--trust", action="store_true", help="open .pt files, which can run code")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    name, _, weights = options.detector.partition("=")
    detector = make_detector(name, Path(weights) if weights else None, options.trust)
    photos = [labelled(options.photos, *pair) for pair in outlined(options.photos, options.labels)]
    for photo in photos:
        (found,) = detector.detect([photo["image"]])
        photo["found"] = found.boxes[found.scores >= np.float32(MIN_SCORES[name])]
    figures = []
    for chosen in options.segmenter or ["blazepose"]:
        kind, _, weights = chosen.partition("=")
        segmenter = make_segmenter(kind, Path(weights) if weights else None, options.trust)
        for title, boxes in ((f"{kind}, true boxes", "boxes"), (f"{kind}, {name}'s", "found")):
            figures += report(title, photos, [look(segmenter, p, p[boxes]) for p in photos])
    report("boxes of the labels", photos, [by_boxes(p, p["boxes"]) for p in photos])
    report(f"boxes of {name}", photos, [by_boxes(p, p["found"]) for p in photos])
    write(figures, options.json)


def outlined(folder: Path, labels: Path) -> list[tuple[dict, list[dict]]]:
    """The photographs that the labels know, and the people of each."""
    told = json.loads(labels.read_text())
    people = defaultdict(list)
    for one in told["annotations"]:
        people[one["image_id"]].append(one)
    known = {image["id"] for image in told["images"]}
    rows = [row for subset in labelled_photos(folder).values() for row in subset]
    return [(row, people[row["coco_id"]]) for row in rows if row.get("coco_id") in known]


def labelled(folder: Path, row: dict, people: list[dict]) -> dict:
    """A photograph, the boxes of its people, and their masks."""
    from pycocotools import mask as coding

    image = np.ascontiguousarray(cv2.imread(str(folder / row["file"]))[..., ::-1])
    height, width = image.shape[:2]

    def mask(one: dict) -> np.ndarray:
        outline = one["segmentation"]
        if isinstance(outline, list):
            return coding.decode(coding.merge(coding.frPyObjects(outline, height, width))) > 0
        return coding.decode(coding.frPyObjects(outline, height, width)) > 0

    single = [one for one in people if not one["iscrowd"]]
    boxes = np.array([one["bbox"] for one in single], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    crowd = [mask(one) for one in people if one["iscrowd"]]
    masks = [mask(one) for one in single]
    union = laid_over((height, width), [*masks, *crowd]) > 0
    return {"image": image, "boxes": boxes, "masks": masks, "area": float(union.mean())}


def look(segmenter, photo: dict, boxes: np.ndarray) -> dict:
    """The share of the frame, and each true person's IoU where the boxes are the true ones."""
    start = time.process_time()
    (owners,) = segmenter.segment([photo["image"]], [boxes])
    seconds = time.process_time() - start
    overlaps = []
    if boxes is photo["boxes"]:
        for number, mask in enumerate(photo["masks"], 1):
            one = owners == number
            overlaps.append((float(mask.mean()), float((one & mask).sum() / (one | mask).sum())))
    return {
        "area": float(shares(owners, len(boxes)).sum()),
        "overlaps": overlaps,
        "seconds": seconds,
        "count": len(boxes),
    }


def by_boxes(photo: dict, boxes: np.ndarray) -> dict:
    height, width = photo["image"].shape[:2]
    return {
        "area": coverage(boxes, width, height),
        "overlaps": [],
        "seconds": 0,
        "count": len(boxes),
    }


def report(title: str, photos: list[dict], seen: list[dict]) -> list[dict]:
    """Print the figures of one segmenter on one kind of boxes, and return them."""
    truth = np.array([photo["area"] for photo in photos])
    said = np.array([one["area"] for one in seen])
    shown = truth > 0
    error = float(np.abs(said - truth)[shown].mean())
    ratio = float(said[shown].sum() / truth[shown].sum())
    alike = float(np.corrcoef(said[shown], truth[shown])[0, 1])
    print(f"\n{title}: {len(photos)} photographs, {int(shown.sum())} with people")
    print(
        f"  mean absolute error of the share {error:.4f}, where nobody is {said[~shown].mean():.4f}"
    )
    print(f"  area by truth {ratio:.3f}, correlation {alike:.3f}")
    overlaps = np.array([pair for one in seen for pair in one["overlaps"]]).reshape(-1, 2)
    sizes = np.digitize(overlaps[:, 0], [SMALL, LARGE])
    for number, name in enumerate((f"to {SMALL:.0%}", f"to {LARGE:.0%}", "more")):
        if (sizes == number).any():
            mean = overlaps[sizes == number, 1].mean()
            print(f"  people, {name:<7} of the frame: IoU {mean:.3f} ({(sizes == number).sum()})")
    boxes = sum(one["count"] for one in seen)
    milliseconds = 1000 * sum(one["seconds"] for one in seen) / max(boxes, 1)
    print(f"  {milliseconds:.0f} ms of one core a box")
    for bound in (0.05, 0.1, LARGE):
        right = truth_decides(photos, truth, bound) == decides(seen, said, bound)
        show_share(f"at {bound:g}", int(right.sum()), len(right))
    return [
        figure(f"{title}: error of the share", error, "share of the frame", better="lower"),
        figure(f"{title}: area by truth", ratio, "ratio"),
        figure(f"{title}: correlation", alike, "r"),
    ]


def decides(seen: list[dict], area: np.ndarray, bound: float) -> np.ndarray:
    """Keep or reject: 1 to 3 people who cover a share of the frame."""
    count = np.array([one["count"] for one in seen])
    return (count >= PEOPLE[0]) & (count <= PEOPLE[1]) & (area >= bound)


def truth_decides(photos: list[dict], area: np.ndarray, bound: float) -> np.ndarray:
    return decides([{"count": len(photo["masks"])} for photo in photos], area, bound)


if __name__ == "__main__":
    main()
