"""What the benchmarks share: figures as rows, intervals of shares, labelled photographs."""

from __future__ import annotations

import json
from collections import defaultdict
from math import sqrt
from pathlib import Path

import numpy as np

from humanverse.filter.coverage import coverage

PEOPLE = (1, 3)
AREA = 0.15


def figure(
    name: str,
    value: float,
    unit: str,
    goal: float | None = None,
    better: str = "higher",
    peer: str | float | None = None,
) -> dict:
    """One row of a benchmark's JSON."""
    row = {"name": name, "value": round(value, 4), "unit": unit, "goal": goal}
    return row | {"better": better, "peer": peer}


def write(figures: list[dict], path: Path | None) -> None:
    """The rows of a benchmark, where they were asked for."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays honest for few cases."""
    if of == 0:
        return 0.0, 1.0
    share = right / of
    middle = share + z * z / (2 * of)
    reach = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle + side) / (1 + z * z / of) for side in (-reach, reach))
    return max(0.0, low), min(1.0, high)


def show_share(name: str, right: int, of: int) -> float:
    """Print a share with its interval, and give it back."""
    low, high = wilson(right, of)
    share = right / of if of else 0.0
    print(f"  {name:<10} {share:.3f}  95 % [{low:.3f}, {high:.3f}]  {right}/{of}")
    return share


def labelled_photos(folder: Path) -> dict[str, list[dict]]:
    """The rows of `index.jsonl` by the photographs' folder, each photograph once."""
    subsets = defaultdict(list)
    for line in (folder / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row.get("dup_of"):
            subsets[row["file"].split("/")[0]].append(row)
    return dict(sorted(subsets.items()))


def wanted(boxes: np.ndarray, width: int, height: int) -> bool:
    """The rule: 1 to 3 people whose boxes cover 15 % of the frame."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return PEOPLE[0] <= len(boxes) <= PEOPLE[1] and coverage(boxes, width, height) >= AREA


def decisions(title: str, truth: np.ndarray, said: np.ndarray, goal: float) -> list[dict]:
    """Print and return agreement, precision and recall of keep/reject decisions, (n,) bool each."""
    nobody = float((~truth).mean())
    both = int((truth & said).sum())
    print(f"\n{title}: {len(truth)} photographs, {int(truth.sum())} to keep")
    agreement = show_share("agreement", int((truth == said).sum()), len(truth))
    precision = show_share("precision", both, int(said.sum()))
    recall = show_share("recall", both, int(truth.sum()))
    print(f"  always reject agrees on {nobody:.3f}")
    peer = f"always reject {nobody:.3f}"
    return [
        figure(f"{title}: agreement", agreement, "share", goal, peer=peer),
        figure(f"{title}: precision", precision, "share"),
        figure(f"{title}: recall", recall, "share"),
    ]
