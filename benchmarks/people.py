"""How often a detector's keep/reject decision is the one that the labels give.

    python benchmarks/people.py --photos DIR --detector blazepose --json people.json

A photograph is kept when it shows 1 to 3 people whose boxes cover 15 % of it. DIR holds
`index.jsonl`, one photograph a line: `file`, `width`, `height`, `person_boxes_xyxy`. The thresholds
were tuned on the subset `coco128`, so only the figures of the others say how good a detector is.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from common import decisions, figure, labelled_photos, wanted, write

from humanverse.filter.people import MIN_SCORES, make_detector

COUNTS = ("0", "1", "2", "3", "4+")
GOAL = 0.92


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--detector", choices=sorted(MIN_SCORES), default="blazepose")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--min-score", type=float)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    least = MIN_SCORES[options.detector] if options.min_score is None else options.min_score
    detector = make_detector(options.detector, options.weights)
    figures = []
    for subset, rows in labelled_photos(options.photos).items():
        seen = [look(options.photos, row, detector, least) for row in rows]
        figures += report(f"{options.detector}@{least:g} on {subset}", seen)
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
    return [*figures, figure(f"{title}: time", milliseconds, "ms/image/core", better="lower")]


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
