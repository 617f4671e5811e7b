"""How near the keypoints of the lite pose estimator come to labelled ones, from labelled boxes.

    python benchmarks/pose.py --photos DIR --annotations DIR --json pose.json
    python benchmarks/pose.py ... --movenet movenet_lightning.tflite --yolo yolo26n_pose.onnx

Prints the mean OKS (object keypoint similarity, as COCO defines it) of the 17 body points on the
photographs of `coco_mini`, by the person's share of the image, and of the parts of the whole body
on those of `wholebody`. Every labelled person counts, those too of whom nothing was found.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from common import figure, write
from pose_peers import MoveNet, YoloPose

from humanverse.keypoints import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND
from humanverse.models.blaze import BlazePoseWholeBody

# A keypoint's spread among annotators, a fraction of the person's size (COCO, COCO-WholeBody).
BODY_SIGMAS = np.repeat(
    [0.026, 0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], [1] + [2] * 8
)
FOOT_SIGMAS = np.array([0.068, 0.066, 0.066, 0.092, 0.094, 0.094])
FACE_SIGMAS = np.array(
    [
        *(42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45),  # jaw
        *(13, 12, 11, 11, 12, 12, 11, 11, 13, 15),  # brows
        *(9, 7, 7, 7, 12, 9, 8, 16, 10),  # nose
        *(17, 11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34),  # eyes
        *(8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8, 8, 8, 10, 8),  # mouth
    ]
)
FACE_SIGMAS = FACE_SIGMAS / 1000
HAND_SIGMAS = np.array(
    [29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31]
)
HAND_SIGMAS = HAND_SIGMAS / 1000

PARTS = {
    "body": (BODY, "keypoints", BODY_SIGMAS),
    "feet": (FEET, "foot_kpts", FOOT_SIGMAS),
    "face": (FACE, "face_kpts", FACE_SIGMAS),
    "left hand": (LEFT_HAND, "lefthand_kpts", HAND_SIGMAS),
    "right hand": (RIGHT_HAND, "righthand_kpts", HAND_SIGMAS),
}
SIZES = ((0.0, 0.005), (0.005, 0.02), (0.02, 0.1), (0.1, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--movenet", type=Path, help="a peer's weights")
    parser.add_argument("--yolo", type=Path, help="a peer's weights, of ultralytics")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    people = options.annotations / "coco_mini_person_keypoints.json"
    whole = options.annotations / "coco_wholebody_2images.json"
    estimators = {"blazepose": BlazePoseWholeBody()}
    if options.movenet:
        estimators["movenet"] = MoveNet(options.movenet)
    if options.yolo:
        estimators["yolo"] = YoloPose(options.yolo)
    figures = []
    for name, estimator in estimators.items():
        rows = measure(estimator, options.photos / "coco_mini", people)
        figures += body_figures(name, rows)
    rows = measure(estimators["blazepose"], options.photos / "wholebody", whole)
    figures += part_figures(rows)
    write(figures, options.json)


def measure(estimator, photos: Path, annotations: Path) -> list[dict]:
    """One row a labelled person: its share of the image, and each labelled part's OKS."""
    truth = json.loads(annotations.read_text())
    people = defaultdict(list)
    for person in truth["annotations"]:
        if person.get("num_keypoints", 1) and not person.get("iscrowd"):
            people[person["image_id"]].append(person)
    rows = []
    for image in truth["images"]:
        labelled = people[image["id"]]
        if labelled:
            path = photos / image["file_name"]
            rows += rows_of(estimator, cv2.imread(str(path)), labelled)
    return rows


def rows_of(estimator, bgr: np.ndarray, labelled: list[dict]) -> list[dict]:
    corners = np.array([person["bbox"] for person in labelled], np.float32)
    corners[:, 2:] += corners[:, :2]
    (found,) = estimator.estimate([cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)], [corners])
    pixels = bgr.shape[0] * bgr.shape[1]
    return [
        {"share": person["area"] / pixels}
        | {name: similarity(points, person, name) for name in PARTS}
        for points, person in zip(found, labelled, strict=True)
    ]


def similarity(points: np.ndarray, person: dict, part: str) -> tuple[float, bool] | None:
    """OKS of a part and whether it was found, or None where nothing of it is labelled."""
    where, key, sigmas = PARTS[part]
    if key not in person:
        return None
    truth = np.array(person[key], float).reshape(-1, 3)
    seen = truth[:, 2] > 0
    if not seen.any():
        return None
    apart = ((points[where][seen, :2] - truth[seen, :2]) ** 2).sum(axis=1)
    spread = 2 * person["area"] * (2 * sigmas[seen]) ** 2
    return float(np.exp(-apart / spread).mean()), bool(points[where, 2].max() > 0)


def body_figures(estimator: str, rows: list[dict]) -> list[dict]:
    values = np.array([row["body"][0] for row in rows if row["body"]])
    shares = np.array([row["share"] for row in rows if row["body"]])
    print(f"{estimator}, body on coco_mini: mean OKS {values.mean():.3f} of {len(values)} people")
    figures = [entry(f"{estimator}: OKS body, coco_mini, from true boxes", values)]
    for low, high in SIZES:
        chosen = values[(shares >= low) & (shares < high)]
        name = f"{100 * low:g} to {100 * high:g} % of the image"
        print(f"  {name:<28} {chosen.mean():.3f} of {len(chosen)}")
        figures.append(entry(f"{estimator}: OKS body, coco_mini, {name}", chosen))
    return figures


def part_figures(rows: list[dict]) -> list[dict]:
    print("parts on wholebody: mean OKS of all, of those found")
    figures = []
    for part in PARTS:
        pairs = [row[part] for row in rows if row[part]]
        values = np.array([value for value, _ in pairs])
        found = np.array([value for value, was_found in pairs if was_found])
        shown = f"{found.mean():.3f} of {len(found)}" if len(found) else "none"
        print(f"  {part:<12} {values.mean():.3f} of {len(values)}, {shown}")
        figures.append(entry(f"OKS {part}, wholebody, from true boxes", values))
    return figures


def entry(name: str, values: np.ndarray) -> dict:
    return figure(name, float(values.mean()), "OKS")


if __name__ == "__main__":
    main()
