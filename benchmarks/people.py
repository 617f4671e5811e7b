"""How often a detector's keep/reject decision is the one that the labels give, and its AP50.

    python benchmarks/people.py --photos DIR --detector blazepose --json people.json
    python benchmarks/people.py --photos DIR --detector yolox --detector ultralytics=yolo11n.onnx

A photograph is kept when it shows 1 to 3 people whose boxes cover 15 % of it. DIR holds
`index.jsonl`, one photograph a line: `file`, `width`, `height`, `person_boxes_xyxy`. The thresholds
were tuned on the subset `coco128`, so only the figures of the others say how good a detector is.
AP50 is COCO's, of people, over all scores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from common import decisions, figure, labelled_photos, wanted, write

from humanverse.filter.detectors import MIN_SCORES, make_detector

COUNTS = ("0", "1", "2", "3", "4+")
GOAL = 0.92


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument(
        "--detector",
        action="append",
        help=f"one of {', '.join(sorted(MIN_SCORES))}, =FILE where it needs weights; repeatable",
    )
    parser.add_argument("--trust", action="store_true", help="open .pt files, which can run code")
    parser.add_argument("--min-score", type=float)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = []
    for chosen in options.detector or ["blazepose"]:
        name, _, weights = chosen.partition("=")
        least = MIN_SCORES[name] if options.min_score is None else options.min_score
        detector = make_detector(name, Path(weights) if weights else None, options.trust)
        title = f"{name} {Path(weights).stem}".strip()
        for subset, rows in labelled_photos(options.photos).items():
            seen = [look(options.photos, row, detector, least) for row in rows]
            figures += report(f"{title}@{least:g} on {subset}", seen)
    write(figures, options.json)


def look(folder: Path, row: dict, detector, least: float) -> dict:
    image = cv2.cvtColor(cv2.imread(str(folder / row["file"])), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    start = time.process_time()
    (found,) = detector.detect([image])
    seconds = time.process_time() - start
    boxes = found.boxes[found.scores >= np.float32(least)]
    return {
        "truth": wanted(row["person_boxes_xyxy"], width, height),
        "said": wanted(boxes, width, height),
        "people": len(row["person_boxes_xyxy"]),
        "found": len(boxes),
        "seconds": seconds,
        "labelled": row["person_boxes_xyxy"],
        "boxes": found.boxes,
        "scores": found.scores,
    }


def report(title: str, seen: list[dict]) -> list[dict]:
    """Print the figures of one subset, and return them for the summary."""
    truth = np.array([one["truth"] for one in seen])
    said = np.array([one["said"] for one in seen])
    figures = decisions(title, truth, said, GOAL)
    # The first image pays for what libraries set up once.
    milliseconds = 1000 * float(np.mean([one["seconds"] for one in seen[1:]]))
    print(f"  {milliseconds:.0f} ms of one core a photograph")
    confusion(seen)
    ap50 = average_precision(seen)
    print(f"  AP50 {ap50:.3f}")
    return [
        *figures,
        figure(f"{title}: AP50", ap50, "AP"),
        figure(f"{title}: time", milliseconds, "ms/image/core", better="lower"),
    ]


def average_precision(seen: list[dict]) -> float:
    """COCO's average precision of people at an IoU of 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labelled = [(n, box) for n, one in enumerate(seen) for box in one["labelled"]]
    found = [
        {"image_id": n, "category_id": 1, "bbox": as_coco(box), "score": float(score)}
        for n, one in enumerate(seen)
        for box, score in zip(one["boxes"], one["scores"], strict=True)
    ]
    if not labelled or not found:
        return 0.0
    truth = COCO()
    truth.dataset = {
        "images": [{"id": n} for n in range(len(seen))],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": number, "image_id": n, "category_id": 1, "bbox": as_coco(box), "iscrowd": 0}
            | {"area": as_coco(box)[2] * as_coco(box)[3]}
            for number, (n, box) in enumerate(labelled, 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def as_coco(box: np.ndarray) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right - left, bottom - top]


def confusion(seen: list[dict]) -> None:
    """People found (across) by people labelled (down), and how many decisions were right."""
    print("  people |  found " + "".join(f"{name:>5}" for name in COUNTS) + "   decided right")
    for labelled in range(len(COUNTS)):
        group = [one for one in seen if min(one["people"], 4) == labelled]
        found = Counter(min(one["found"], 4) for one in group)
        right = sum(one["truth"] == one["said"] for one in group)
        cells = "".join(f"{found[count]:>5}" for count in range(len(COUNTS)))
        print(f"  {COUNTS[labelled]:>6} |        {cells}   {right}/{len(group)}")


if __name__ == "__main__":
    main()
