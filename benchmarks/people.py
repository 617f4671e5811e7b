"""How often a detector's keep/reject decision is the one that the labels give.

    python benchmarks/people.py --photos DIR --detector blazepose --json people.json

A photograph is kept when it shows 1 to 3 people whose boxes cover 15 % of it. DIR holds
`index.jsonl`, one photograph a line: `file`, `width`, `height`, `person_boxes_xyxy`. The thresholds
were tuned on the subset `coco128`, so only the figures of the others say how good a detector is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from math import sqrt
from pathlib import Path

import cv2
import numpy as np

from humanverse.filter.coverage import coverage
from humanverse.filter.people import MIN_SCORES, make_detector

PEOPLE = (1, 3)
AREA = 0.15
COUNTS = ("0", "1", "2", "3", "4+")


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
    for subset, rows in subsets(options.photos).items():
        seen = [look(options.photos, row, detector, least) for row in rows]
        figures += report(f"{options.detector}@{least:g} on {subset}", seen)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def subsets(folder: Path) -> dict[str, list[dict]]:
    """The labelled photographs by their folder, each photograph once."""
    result = defaultdict(list)
    for line in (folder / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row.get("dup_of"):
            result[row["file"].split("/")[0]].append(row)
    return dict(sorted(result.items()))


def look(folder: Path, row: dict, detector, least: float) -> dict:
    image = cv2.cvtColor(cv2.imread(str(folder / row["file"])), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    start = time.process_time()
    (found,) = detector.detect([image])
    seconds = time.process_time() - start
    boxes = found.boxes[found.scores >= np.float32(least)]
    truth = np.array(row["person_boxes_xyxy"]).reshape(-1, 4)
    return {
        "truth": wanted(truth, width, height),
        "said": wanted(boxes, width, height),
        "people": len(truth),
        "found": len(boxes),
        "seconds": seconds,
    }


def wanted(boxes: np.ndarray, width: int, height: int) -> bool:
    return PEOPLE[0] <= len(boxes) <= PEOPLE[1] and coverage(boxes, width, height) >= AREA


def report(title: str, seen: list[dict]) -> list[dict]:
    """Print the figures of one subset, and return them for the summary."""
    truth = np.array([one["truth"] for one in seen])
    said = np.array([one["said"] for one in seen])
    shares = {
        "agreement": (int((truth == said).sum()), len(seen)),
        "precision": (int((truth & said).sum()), int(said.sum())),
        "recall": (int((truth & said).sum()), int(truth.sum())),
    }
    print(f"\n{title}: {len(seen)} photographs, {int(truth.sum())} to keep")
    for name, (right, of) in shares.items():
        low, high = wilson(right, of)
        print(f"  {name:<10} {ratio(right, of):.3f}  95 % [{low:.3f}, {high:.3f}]  {right}/{of}")
    nobody = float((~truth).mean())
    print(f"  always reject agrees on {nobody:.3f}")
    # The first image pays for what libraries set up once.
    milliseconds = 1000 * float(np.mean([one["seconds"] for one in seen[1:]]))
    print(f"  {milliseconds:.0f} ms of one core a photograph")
    confusion(seen)
    figures = [
        entry(f"{title}: {name}", ratio(*pair), nobody if name == "agreement" else None)
        for name, pair in shares.items()
    ]
    cost = {"name": f"{title}: time", "value": round(milliseconds, 1), "unit": "ms/image/core"}
    return [*figures, cost | {"goal": None, "better": "lower", "peer": None}]


def entry(name: str, value: float, peer: float | None) -> dict:
    goal = 0.92 if name.endswith("agreement") else None
    figure = {"name": name, "value": round(value, 4), "unit": "fraction", "goal": goal}
    return figure | {"better": "higher", "peer": peer and round(peer, 4)}


def confusion(seen: list[dict]) -> None:
    """People found (across) by people labelled (down), and how many decisions were right."""
    print("  people |  found " + "".join(f"{name:>5}" for name in COUNTS) + "   decided right")
    for labelled in range(len(COUNTS)):
        group = [one for one in seen if min(one["people"], 4) == labelled]
        found = Counter(min(one["found"], 4) for one in group)
        right = sum(one["truth"] == one["said"] for one in group)
        cells = "".join(f"{found[count]:>5}" for count in range(len(COUNTS)))
        print(f"  {COUNTS[labelled]:>6} |        {cells}   {right}/{len(group)}")


def ratio(right: int, of: int) -> float:
    return right / of if of else 0.0


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays honest for few cases."""
    if of == 0:
        return 0.0, 1.0
    share = right / of
    middle = share + z * z / (2 * of)
    reach = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - reach) / (1 + z * z / of), (middle + reach) / (1 + z * z / of)


if __name__ == "__main__":
    main()
