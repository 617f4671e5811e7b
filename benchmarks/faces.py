"""How many faces that can be seen are blurred, and how much of a picture is.

    python benchmarks/faces.py --photos DIR --annotations DIR --json faces.json
    python benchmarks/faces.py ... --detector yolox

A face counts where COCO's annotators saw nose and both eyes. It is blurred if all three lie inside
what the stage blurs, for those whom the detector and the lite pose estimator find by themselves.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from common import figure, show_share, write

from humanverse.annotate import BlurFaces, Pose
from humanverse.codec import encode_jpeg
from humanverse.filter import People

SIZES = ((0, 10), (10, 25), (25, 60), (60, 10_000))
"""Pixels between the outer points of a face: eyes and nose."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--detector", default="blazepose", help="=FILE where it needs weights")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    truth = json.loads((options.annotations / "coco_mini_person_keypoints.json").read_text())
    seen = defaultdict(list)
    for person in truth["annotations"]:
        points = np.array(person["keypoints"], float).reshape(-1, 3)[:3]
        if (points[:, 2] == 2).all():
            seen[person["image_id"]].append(points[:, :2])
    detector, _, file = options.detector.partition("=")
    weights = Path(file) if file else None
    people = People(detector=detector, weights=weights, max_people=99, min_area=0)
    detect, choose = people.stages()
    stages = [detect, choose, Pose(), BlurFaces()]
    for stage in stages:
        stage.open()
    rows, covered = [], []
    for image in truth["images"]:
        pixels = cv2.imread(str(options.photos / "coco_mini" / image["file_name"]))
        faces, share = blurred(stages, np.ascontiguousarray(pixels[..., ::-1]))
        covered.append(share)
        rows += [(np.ptp(points, axis=0).max(), hit(points, faces)) for points in seen[image["id"]]]
    write(told(detector, rows, covered), options.json)


def blurred(stages: list, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Boxes (n, 4) that are blurred, and their share of the picture."""
    height, width = pixels.shape[:2]
    columns = {"image": [encode_jpeg(pixels, 95)], "width": [width], "height": [height]}
    table = pa.table({"key": ["0" * 32]} | columns)
    for stage in stages:
        answer = stage(table.select(["key", *stage.reads]))
        for name in stage.writes.names:
            table = table.append_column(name, answer[name])
    faces = np.array(table["face_boxes"][0].as_py(), float).reshape(-1, 4)
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in faces.clip(0).astype(int):
        mask[top:bottom, left:right] = True
    return faces, float(mask.mean())


def hit(points: np.ndarray, faces: np.ndarray) -> bool:
    """Whether one box holds all of a face's points."""
    inside = (points[:, None] >= faces[None, :, :2]) & (points[:, None] <= faces[None, :, 2:])
    return bool(inside.all(axis=(0, 2)).any())


def told(detector: str, rows: list[tuple[float, bool]], covered: list[float]) -> list[dict]:
    """Print, and give as figures."""
    print(f"{detector}: faces that are blurred, by pixels between eyes and nose")
    figures = []
    for low, high in (*SIZES, (0, 10_000)):
        mine = [was for size, was in rows if low <= size < high]
        name = "all" if (low, high) == (0, 10_000) else f"{low} to {high}"
        share = show_share(name, sum(mine), len(mine))
        figures.append(figure(f"{detector}: faces blurred, {name}", share, "share"))
    print(f"  {np.mean(covered):.3f} of a picture is blurred, on average")
    figures.append(figure(f"{detector}: blurred", float(np.mean(covered)), "share", None, "lower"))
    return figures


if __name__ == "__main__":
    main()
