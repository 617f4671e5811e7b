"""Fits the logistic regression of `humanverse/models/blaze/evidence.py` on labelled photographs.

    python scripts/fit_people.py --photos DIR --subset coco128

DIR holds `index.jsonl`, one photograph a line: `file`, `width`, `height`, `person_boxes_xyxy`. A
candidate counts as a person when it takes a labelled box that no better candidate takes. Every
photograph is seen six times: as it is, mirrored, smaller, and encoded again, which alone can turn
what BlazePose sees. Prints the coefficients, and what keep/reject decisions they give at each
threshold when every photograph is judged by a regression that was fitted without it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from humanverse.models.blaze import BlazePoseDetector, evidence
from humanverse.models.blaze.evidence import Candidate
from humanverse.models.blaze.ssd import iou

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from common import labelled_photos, wanted

RIDGE = 1.0
FOLDS = 16
REPEATS = 10
THRESHOLDS = np.arange(0.30, 0.90, 0.05)


@dataclass
class Photo:
    """What was seen in one view of a photograph, and what is there."""

    group: int
    """Number of the photograph, which all its views share."""
    seen: np.ndarray  # (n, 4)
    boxes: np.ndarray  # (n, 4)
    labels: np.ndarray  # (n,)
    width: int
    height: int
    keep: bool

    def decide(self, scores: np.ndarray, threshold: float) -> bool:
        return wanted(self.boxes[scores >= threshold], self.width, self.height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--subset", default="coco128")
    options = parser.parse_args()
    photos = read(options.photos, options.subset, BlazePoseDetector())
    seen = np.concatenate([photo.seen for photo in photos])
    labels = np.concatenate([photo.labels for photo in photos])
    print(f"{len(photos)} views, {len(labels)} candidates, {int(labels.sum())} people")
    report(photos)
    *weights, bias = fit(seen, labels)
    for name, weight in zip(evidence.FEATURES, weights, strict=True):
        print(f"{name:>10} {weight:+.3f}")
    print(f"{'bias':>10} {bias:+.3f}")


def read(folder: Path, subset: str, detector: BlazePoseDetector) -> list[Photo]:
    return [
        look(group, image, boxes, detector)
        for group, row in enumerate(labelled_photos(folder)[subset])
        for image, boxes in views(folder, row)
    ]


def views(folder: Path, row: dict) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A photograph as it is and as the web might have it: what decides must not hang on that."""
    photo = cv2.imread(str(folder / row["file"]))
    boxes = np.array(row["person_boxes_xyxy"], float).reshape(-1, 4)
    width = photo.shape[1]
    mirrored = boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    smaller = cv2.resize(photo, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    for pixels, truth in (
        (photo, boxes),
        (again(photo, 95), boxes),
        (again(photo, 80), boxes),
        (photo[:, ::-1], mirrored),
        (again(photo[:, ::-1], 95), mirrored),
        (again(smaller, 95), boxes * 0.8),
    ):
        yield np.ascontiguousarray(pixels[..., ::-1]), truth


def again(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Encoded as JPEG once more."""
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def look(group: int, image: np.ndarray, truth: np.ndarray, detector: BlazePoseDetector) -> Photo:
    candidates = detector.candidates(image)
    height, width = image.shape[:2]
    return Photo(
        group=group,
        seen=evidence.features(candidates),
        boxes=np.array([one.box for one in candidates]).reshape(-1, 4),
        labels=label(candidates, truth),
        width=width,
        height=height,
        keep=wanted(truth, width, height),
    )


def label(candidates: list[Candidate], truth: np.ndarray) -> np.ndarray:
    """1 for each candidate that takes a labelled box: best overlap first, face inside the box."""
    labels = np.zeros(len(candidates))
    pairs = []
    for i, one in enumerate(candidates):
        for j, box in enumerate(truth):
            x, y = (one.found.centre - box[:2]) / (box[2:] - box[:2])
            overlap = float(iou(one.box, box[None])[0])
            if -0.15 <= x <= 1.15 and -0.15 <= y <= 1 and overlap >= 0.1:
                pairs.append((overlap, i, j))
    taken = set()
    for _, i, j in sorted(pairs, reverse=True):
        if not labels[i] and j not in taken:
            labels[i] = 1
            taken.add(j)
    return labels


def fit(seen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coefficients and, last, the bias, by Newton's method with a ridge on the coefficients."""
    inputs = np.column_stack([seen, np.ones(len(seen))])
    ridge = np.diag([RIDGE] * seen.shape[1] + [0])
    solution = np.zeros(inputs.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-inputs @ solution))
        slope = inputs.T @ (p - labels) + ridge @ solution
        bend = (inputs * (p * (1 - p))[:, None]).T @ inputs + ridge
        solution -= np.linalg.solve(bend, slope)
    return solution


def report(photos: list[Photo]) -> None:
    truth = np.array([photo.keep for photo in photos])
    print(f"always reject agrees on {1 - truth.mean():.3f}")
    agreement = np.zeros(len(THRESHOLDS))
    for repeat in range(REPEATS):
        scores = unseen_scores(photos, np.random.default_rng(repeat))
        for k, threshold in enumerate(THRESHOLDS):
            decisions = [p.decide(s, threshold) for p, s in zip(photos, scores, strict=True)]
            agreement[k] += np.mean(np.array(decisions) == truth) / REPEATS
    for threshold, value in zip(THRESHOLDS, agreement, strict=True):
        print(f"threshold {threshold:.2f} agreement {value:.3f}")


def unseen_scores(photos: list[Photo], rng: np.random.Generator) -> list[np.ndarray]:
    """Scores of each view's candidates by a regression fitted without its photograph."""
    scores: list[np.ndarray] = [np.empty(0)] * len(photos)
    groups = np.array([photo.group for photo in photos])
    order = rng.permutation(groups.max() + 1)
    for fold in range(FOLDS):
        held = np.isin(groups, order[fold::FOLDS])
        rest = [photo for photo, out in zip(photos, held, strict=True) if not out]
        solution = fit(
            np.concatenate([photo.seen for photo in rest]),
            np.concatenate([photo.labels for photo in rest]),
        )
        for i in np.flatnonzero(held):
            scores[i] = 1 / (1 + np.exp(-(photos[i].seen @ solution[:-1] + solution[-1])))
    return scores


if __name__ == "__main__":
    main()
