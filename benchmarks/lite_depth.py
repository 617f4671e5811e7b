"""How often the lite network puts a person nearer than what surrounds them, on real photographs.

    python benchmarks/lite_depth.py --photos DIR --json FILE

DIR holds `index.jsonl`, a row a photo with `file` and `person_boxes_xyxy`, and the photos. For
each true box that covers 5 to 80 % of its photo, the median nearness in the box's central 60 % is
compared with the median in a ring around the box, a quarter of its size wide. Rings that other
people or the frame leave under 5 % of the box's pixels are skipped.

The network is measured alone, and as it ships, with people standing up; their boxes are then those
that BlazePose finds, never the true ones. Both were tuned on `coco128`, so only the other subset
says how good they are.

A blind coin scores 0.5, but photographers put people in the middle: the peer is a map that knows
nothing of the photo and is nearest at its centre. A second control reads the network's map of the
photo before, and so shows how much of the score is mere habit of framing. A third lets the same
people stand up on a ramp, nearest below, and so shows what is owed to their masks alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from common import figure, labelled_photos, wilson, write

from humanverse.filter.detectors import MIN_SCORES
from humanverse.models.billboard import round_off, stand_up
from humanverse.models.blaze import BlazePoseDetector
from humanverse.models.blaze.wholebody import BodyFinder
from humanverse.models.lite import LiteDepth, LiteGeometry
from humanverse.testing import scenes

GOAL = 0.8
SUBSETS = ("coco128", "coco_mini")
HELD_OUT, SCENES = 10_000_000, 100
SIZES = (0.05, 0.8)
"""Shares of the picture that a box covers to be asked about."""


@dataclass(frozen=True)
class Photo:
    image: np.ndarray
    people: np.ndarray
    """(n, 4), the true boxes."""
    found: np.ndarray
    """(m, 4), BlazePose's."""


Nearness = Callable[[Photo], np.ndarray]


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


def sized(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The indices of the boxes that are neither too small nor too large to be asked about."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / (shape[0] * shape[1])
    return np.flatnonzero((area >= SIZES[0]) & (area <= SIZES[1]))


def verdicts(nearness: np.ndarray, boxes: np.ndarray) -> list[bool]:
    """One a person who is asked about."""
    asked = [nearer(nearness, boxes, int(i)) for i in sized(boxes, nearness.shape)]
    return [verdict for verdict in asked if verdict is not None]


def photos_of(folder: Path, subset: str) -> list[Photo]:
    """The photographs of a subset that show somebody to be asked about."""
    detector, photos = BlazePoseDetector(), []
    for row in labelled_photos(folder)[subset]:
        people = np.array(row["person_boxes_xyxy"], float).reshape(-1, 4)
        if not len(sized(people, (row["height"], row["width"]))):
            continue
        image = cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR_RGB)
        (found,) = detector.detect([image])
        sure = found.scores >= np.float32(MIN_SCORES["blazepose"])
        photos.append(Photo(image, people, found.boxes[sure]))
    return photos


def alone(photo: Photo) -> np.ndarray:
    """What the network says."""
    return LiteGeometry().infer(photo.image)[0]


def standing(photo: Photo) -> np.ndarray:
    """What ships: the network's map, in which people stand up."""
    return LiteDepth().estimate([photo.image], [photo.found])[0]


def centre(photo: Photo) -> np.ndarray:
    """Nearest in the middle of any picture."""
    height, width = photo.image.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return -np.hypot(x, y)


class Before:
    """The network's map of the picture before, stretched to this one's size."""

    def __init__(self) -> None:
        self.last = np.zeros((2, 2), np.float32)

    def __call__(self, photo: Photo) -> np.ndarray:
        shown = cv2.resize(self.last, photo.image.shape[1::-1])
        self.last = alone(photo)
        return shown


class OnRamp:
    """People standing up on a ramp: their masks without the network."""

    def __init__(self) -> None:
        self.finder = BodyFinder()

    def __call__(self, photo: Photo) -> np.ndarray:
        return stand_up(ramp(photo.image), self.finder.masks(photo.image, photo.found))


def ramp(image: np.ndarray) -> np.ndarray:
    """Nearest at the lower edge of any picture."""
    height, width = image.shape[:2]
    return np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, axis=1)


def photo_figures(photos: list[Photo], subset: str) -> list[dict]:
    """The shares of a subset with their 95 % intervals, the controls', and the time."""
    asked = "puts people nearer than their ring"
    controls = {
        "control, nearest at the centre": centre,
        "control, the map of the photo before": Before(),
        "control, people standing on a ramp": OnRamp(),
    }
    shares = {}
    print(f"{subset}: {sum(len(photo.found) for photo in photos)} boxes in {len(photos)} photos")
    for name, how in {"network alone": alone, "people standing up": standing, **controls}.items():
        start = time.process_time()
        said = [v for photo in photos for v in verdicts(how(photo), photo.people)]
        spent = 1000 * (time.process_time() - start) / len(photos)
        low, high = wilson(sum(said), len(said))
        shares[name] = sum(said) / len(said), low, high, spent
        print(
            f"  {name:<37} {shares[name][0]:.3f}  95 % [{low:.3f}, {high:.3f}]  "
            f"{sum(said)}/{len(said)}  {spent:.0f} ms a photo"
        )
    peer = round(shares["control, nearest at the centre"][0], 4)
    rows = []
    for name, (share, low, high, spent) in shares.items():
        title = f"lite depth, {name}, {asked}, {subset}"
        if name in controls:
            rows.append(figure(title, share, "share", better="lower"))
            continue
        goal = GOAL if name == "people standing up" else None
        rows += [
            figure(title, share, "share", goal, peer=peer),
            figure(f"{title}, lower end of 95 %", low, "share"),
            figure(f"{title}, upper end of 95 %", high, "share"),
            figure(f"lite depth, {name}: time, {subset}", spent, "ms/image/core", better="lower"),
        ]
    return rows


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


def true_masks(scene: scenes.Scene) -> list[np.ndarray]:
    """A soft mask a person."""
    ids = range(1, len(scene.boxes) + 1)
    return [cv2.GaussianBlur((scene.person_ids == i).astype(np.float32), (0, 0), 0.7) for i in ids]


def scene_figures(count: int) -> list[dict]:
    """Means over scenes never trained on, with people's true masks: what a mask is good for.

    The peers know nothing of the picture: a ramp, and a wall that faces the viewer.
    """
    geometry = LiteGeometry()
    rows, asked = [], {"network alone": [], "people standing up": []}
    for seed in range(HELD_OUT, HELD_OUT + count):
        scene = scenes.render(seed)
        masks = true_masks(scene)
        disparity, normals = geometry.infer(scene.image)
        upright, wall = stand_up(disparity, masks), np.array([0, 0, 1], np.float32)
        for name, nearness in zip(asked, (disparity, upright), strict=True):
            asked[name] += verdicts(nearness, scene.boxes.astype(float))
        maps = (disparity, upright, ramp(scene.image))
        turned = (normals, round_off(normals, masks), wall)
        rows.append(
            [aligned_share(nearness, scene.depth) for nearness in maps]
            + [median_angle(vectors, scene.normals) for vectors in turned]
        )
    means = [float(v) for v in np.mean(rows, axis=0)]
    print(
        f"{count} held-out scenes: delta < 1.25 {means[0]:.3f}, people standing up by their true "
        f"masks {means[1]:.3f}, a ramp {means[2]:.3f}; median normal error {means[3]:.1f} degrees, "
        f"people rounded {means[4]:.1f}, a wall {means[5]:.1f}"
    )
    depth, normal = "lite depth, delta < 1.25", "lite normals, median error"
    peers = [round(means[i], 4) for i in (2, 5)]
    figures = [
        figure(f"{depth} on held-out scenes", means[0], "share", peer=peers[0]),
        figure(f"{depth}, true masks standing up", means[1], "share", peer=peers[0]),
        figure(f"{normal} on held-out scenes", means[3], "degrees", None, "lower", peers[1]),
        figure(f"{normal}, true masks rounded", means[4], "degrees", None, "lower", peers[1]),
    ]
    for name, said in asked.items():
        low, high = wilson(sum(said), len(said))
        share = sum(said) / len(said)
        print(f"  {name}: {share:.3f} of people nearer  95 % [{low:.3f}, {high:.3f}]  {len(said)}")
        figures.append(
            figure(f"lite depth, {name}, people nearer, held-out scenes", share, "share")
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--subsets", nargs="*", default=SUBSETS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [r for s in args.subsets for r in photo_figures(photos_of(args.photos, s), s)]
    write(rows + scene_figures(SCENES), args.json)


if __name__ == "__main__":
    main()
