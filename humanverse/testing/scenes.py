"""Pictures of people with exact labels, rendered from a seed: a double for the photographs.

People, rooms and open places are built of solids that a pinhole camera meets analytically, so the
depth, normals, masks, boxes and all 133 keypoints are exact. The pictures are far
from real; they serve tests, demos and the training of the lite geometry network.

>>> scene = render(7, width=256, height=192, people=2)
>>> scene.depth.shape, scene.keypoints.shape
((192, 256), (2, 133, 3))
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from humanverse import keypoints as kp
from humanverse.testing import _framing, _photo
from humanverse.testing._raster import Camera, Canvas

Array = NDArray[np.float32]

VISIBLE, HIDDEN = 1.0, 0.5
"""The confidence of a keypoint that is seen, and of one in the picture behind something."""


@dataclass(frozen=True)
class Scene:
    """A picture and the truth about it. Pixel coordinates begin at the first pixel's corner."""

    image: NDArray[np.uint8]
    """(H, W, 3), sRGB."""
    depth: Array
    """(H, W), metres along the optical axis; sky is 80."""
    normals: Array
    """(H, W, 3), unit, camera frame: +X right, +Y up, +Z to the viewer."""
    person_ids: NDArray[np.uint8]
    """(H, W), 0 where no person is, i on the visible pixels of person i, row i - 1 below."""
    boxes: Array
    """(n, 4), xyxy in pixels, around each person's visible pixels."""
    keypoints: Array
    """(n, 133, 3): x, y in pixels, and 1 if seen, 0.5 if hidden, 0 if outside the picture."""
    fov: float
    """Horizontal field of view in radians."""
    caption: str

    @property
    def focal(self) -> float:
        """Focal length in pixels, the same both ways; the principal point is the middle."""
        return float(self.image.shape[1] / 2 / np.tan(self.fov / 2))


def render(
    seed: int,
    width: int = 192,
    height: int = 192,
    people: int | None = None,
    indoors: bool | None = None,
) -> Scene:
    """The scene of a seed: the same arguments give the same bytes.

    `people` asks for that many people in front of the camera, else the seed draws none to six;
    people of whom no pixel is seen have no row. Sizes are pixels, at least 16 each.

    Raises:
        ValueError: the size or the number of people is out of range.

    """
    if min(width, height) < 16:
        raise ValueError(f"a scene is at least 16 x 16 pixels, not {width} x {height}")
    if people is not None and not 0 <= people <= 8:
        raise ValueError(f"a scene has 0 to 8 people, not {people}")
    rng = np.random.default_rng([seed, 133])
    shot = _framing.compose(rng, (width, height), people, indoors)
    canvas = Canvas(shot.camera, shot.solids)
    image = _photo.develop(canvas, shot.place, shot.feet, rng)
    depth = canvas.depth
    normals = canvas.normals @ shot.camera.rotation.T
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    points = [
        seen(figure.keypoints, figure.slack, owner, canvas)
        for owner, figure in enumerate(shot.figures, start=1)
    ]
    ids, boxes, kept = _renumber(canvas.owners, len(points))
    return Scene(
        image=image,
        depth=depth,
        normals=normals.astype(np.float32),
        person_ids=ids,
        boxes=boxes,
        keypoints=np.array([points[i] for i in kept], np.float32).reshape(-1, kp.COUNT, 3),
        fov=2 * float(np.arctan(width / 2 / shot.camera.focal)),
        caption=shot.caption,
    )


def mirror(scene: Scene) -> Scene:
    """The scene flipped sideways: left and right keypoints change places, normals turn round."""
    width = scene.image.shape[1]
    normals = scene.normals[:, ::-1] * np.array([-1, 1, 1], np.float32)
    boxes = scene.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    return replace(
        scene,
        image=np.ascontiguousarray(scene.image[:, ::-1]),
        depth=np.ascontiguousarray(scene.depth[:, ::-1]),
        normals=np.ascontiguousarray(normals),
        person_ids=np.ascontiguousarray(scene.person_ids[:, ::-1]),
        boxes=boxes,
        keypoints=kp.mirror(scene.keypoints, width),
    )


def seen(points: Array, slack: Array, owner: int, canvas: Canvas) -> Array:
    """(133, 3) image points with their visibility, of world points `slack` beneath the skin."""
    camera: Camera = canvas.camera
    spots = camera.project(points)
    x, y, depth = spots.T
    inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height) & (depth > 0)
    columns = np.clip(np.nan_to_num(x), 0, camera.width - 1).astype(int)
    rows = np.clip(np.nan_to_num(y), 0, camera.height - 1).astype(int)
    mine = canvas.owners[rows, columns] == owner
    open_to_view = mine & (depth - canvas.depth[rows, columns] < slack)
    spots[:, 2] = np.where(inside, np.where(open_to_view, VISIBLE, HIDDEN), 0)
    return spots


def _renumber(owners: NDArray[np.uint8], count: int) -> tuple[NDArray[np.uint8], Array, list[int]]:
    """Ids without gaps, boxes (n, 4) of the people seen, and which of `count` those are."""
    ids = np.zeros_like(owners)
    boxes, kept = [], []
    for index in range(count):
        rows, columns = np.nonzero(owners == index + 1)
        if len(rows) == 0:
            continue
        kept.append(index)
        ids[rows, columns] = len(kept)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return ids, np.array(boxes, np.float32).reshape(-1, 4), kept
