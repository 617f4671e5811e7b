"""How often the lite network puts a person nearer than what surrounds them, on real photographs.

    python benchmarks/lite_depth.py --photos DIR --json FILE

DIR holds `index.jsonl`, a row a photo with `file` and `person_boxes_xyxy`, and the photos. For
each true box that covers 5 to 80 % of its photo, the median nearness in the box's central 60 % is
compared with the median in a ring around the box, a quarter of its size wide. Rings that other
people or the frame leave under 5 % of the box's pixels are skipped.

A blind coin scores 0.5, but photographers put people in the middle: the peer is a map that knows
nothing of the photo and is nearest at its centre. A second control reads the network's map of the
photo before, and so shows how much of the score is mere habit of framing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from humanverse.models.lite import LiteDepth, LiteGeometry
from humanverse.testing import scenes

GOAL = 0.8
SUBSETS = ("coco128", "coco_mini")
HELD_OUT, SCENES = 10_000_000, 100

Nearness = Callable[[np.ndarray], np.ndarray]


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


def inset(box: np.ndarray, share: float) -> np.ndarray:
    """The box grown or shrunk about its middle."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * share
    return np.concatenate([middle - half, middle + half])


def fill(shape: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """(H, W), true inside the box."""
    mask = np.zeros(shape, bool)
    x0, y0, x1, y1 = np.maximum(np.round(box), 0).astype(int)
    mask[y0:y1, x0:x1] = True
    return mask


def nearer(nearness: np.ndarray, boxes: np.ndarray, index: int) -> bool | None:
    """Whether person `index` is nearer than their ring; None where there is too little ring."""
    shape = nearness.shape
    box = boxes[index]
    inside = fill(shape, box)
    ring = fill(shape, inset(box, 1.5)) & ~inside
    for other in np.delete(boxes, index, axis=0):
        ring &= ~fill(shape, other)
    if ring.sum() < 0.05 * inside.sum():
        return None
    centre = fill(shape, inset(box, 0.6))
    return bool(np.median(nearness[centre]) > np.median(nearness[ring]))


def people_nearer(photos: Path, subset: str, estimate: Nearness) -> list[bool]:
    """One verdict a person of a subset."""
    verdicts = []
    for line in (photos / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        boxes = np.array(row["person_boxes_xyxy"], float).reshape(-1, 4)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / (row["width"] * row["height"])
        chosen = np.flatnonzero((area >= 0.05) & (area <= 0.8))
        if not row["file"].startswith(subset + "/") or not len(chosen):
            continue
        image = cv2.imread(str(photos / row["file"]), cv2.IMREAD_COLOR_RGB)
        nearness = estimate(image)
        verdicts += [nearer(nearness, boxes, int(i)) for i in chosen]
    return [verdict for verdict in verdicts if verdict is not None]


def centre(image: np.ndarray) -> np.ndarray:
    """Nearest in the middle of any picture."""
    y, x = np.ogrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    return -np.hypot(x, y)


class Before:
    """The estimate of the picture before, stretched to this one's size."""

    def __init__(self, estimate: Nearness) -> None:
        self.estimate, self.last = estimate, np.zeros((2, 2), np.float32)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        shown = cv2.resize(self.last, (image.shape[1], image.shape[0]))
        self.last = self.estimate(image)
        return shown


def aligned_share(guess: np.ndarray, depth: np.ndarray) -> float:
    """The share of pixels within 60 m whose depth, aligned by least squares, is within 1.25."""
    seen = depth < 60
    design = np.stack([guess[seen], np.ones(seen.sum())], axis=1)
    fit = np.linalg.lstsq(design, 1 / depth[seen], rcond=None)[0]
    aligned = 1 / np.maximum(design @ fit, 1 / 80)
    ratio = np.maximum(aligned / depth[seen], depth[seen] / aligned)
    return float((ratio < 1.25).mean())


def median_angle(normals: np.ndarray, truth: np.ndarray) -> float:
    """Degrees between unit vectors, the median over a picture."""
    return float(np.degrees(np.median(np.arccos(np.clip((normals * truth).sum(axis=2), -1, 1)))))


def scene_figures(count: int) -> list[dict[str, object]]:
    """Means over scenes never trained on; the peers know nothing of the picture.

    They are a ramp, nearest at the lower edge, and a wall that faces the viewer.
    """
    geometry = LiteGeometry()
    rows = []
    for seed in range(HELD_OUT, HELD_OUT + count):
        scene = scenes.render(seed)
        disparity, normals = geometry.infer(scene.image)
        ramp = np.broadcast_to(np.linspace(0, 1, len(disparity))[:, None], disparity.shape)
        rows.append(
            [
                aligned_share(disparity, scene.depth),
                aligned_share(ramp, scene.depth),
                median_angle(normals, scene.normals),
                median_angle(np.array([0, 0, 1], np.float32), scene.normals),
            ]
        )
    share, ramp_share, angle, wall_angle = (round(float(v), 4) for v in np.mean(rows, axis=0))
    print(
        f"{count} held-out scenes: delta < 1.25 {share:.3f} (a ramp {ramp_share:.3f}), "
        f"median normal error {angle:.1f} degrees (a wall {wall_angle:.1f})"
    )
    name = "lite normals, median error on held-out scenes"
    return [
        figure("lite depth, delta < 1.25 on held-out scenes", share, peer=ramp_share),
        figure(name, angle, "lower", unit="degrees", peer=wall_angle),
    ]


def figure(name: str, value: float, better: str = "higher", **more: object) -> dict[str, object]:
    """A row of the report; `unit`, `goal` and `peer` where there are any."""
    row = {"name": name, "value": round(value, 4), "unit": "share", "goal": None}
    return {**row, "better": better, "peer": None, **more}


def photo_figures(photos: Path, subset: str) -> list[dict[str, object]]:
    """The network's score on a subset with its 95 % interval, and the two controls'."""
    lite = LiteDepth()

    def estimate(image: np.ndarray) -> np.ndarray:
        return lite.estimate([image])[0]

    verdicts, blind, before = (
        people_nearer(photos, subset, how) for how in (estimate, centre, Before(estimate))
    )
    share, middle, habit = (sum(v) / len(v) for v in (verdicts, blind, before))
    low, high = wilson(sum(verdicts), len(verdicts))
    print(
        f"{subset}: {sum(verdicts)} of {len(verdicts)} people nearer than their ring, {share:.3f} "
        f"(95 % {low:.3f} to {high:.3f}); nearest at the centre {middle:.3f}, "
        f"the map of the photo before {habit:.3f}"
    )
    name = f"lite depth puts people nearer than their ring, {subset}"
    return [
        figure(name, share, goal=GOAL, peer=round(middle, 4)),
        figure(f"{name}, lower end of 95 %", low),
        figure(f"{name}, upper end of 95 %", high),
        figure(f"{name}, control: the map of the photo before", habit, "lower"),
    ]


def measure(photos: Path) -> list[dict[str, object]]:
    """All figures, the photographs' and the held-out scenes'."""
    figures = [row for subset in SUBSETS for row in photo_figures(photos, subset)]
    return figures + scene_figures(SCENES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    args.json.write_text(json.dumps(measure(args.photos), indent=1) + "\n")


if __name__ == "__main__":
    main()
