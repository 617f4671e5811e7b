"""One person before a fixed camera in a plain room, with exact labels: scenes that
are soon learned.

As `humanverse.testing.scenes`, but camera, light and the range of depth are always the same: what
is nearest is a kerb at the lower edge, what is farthest the foot of the wall. So a depth map that
was scaled to its own range can be led back to metres, and normals reckoned from it.

>>> scene = figure(7)
>>> scene.depth.shape, scene.keypoints.shape
((64, 64), (1, 133, 3))
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.testing import _body, _places
from humanverse.testing._pose import Stance, pose, turn
from humanverse.testing._raster import Camera, Canvas, Solid
from humanverse.testing._texture import plain, tone
from humanverse.testing.scenes import Scene, seen

SIDE: Final = 64
FOCAL: Final = 78.0
"""Pixels, at that side."""
EYE: Final = np.array([0.0, 1.25, 0.0], np.float32)
PITCH: Final = 0.136
"""Radians the camera looks down."""
AWAY, WALL, KERB = 2.7, 3.6, 1.75
"""Metres from the camera: the person, give or take 0.15, the wall, and the kerb's front."""
STANCES: Final[dict[Stance, float]] = {"stand": 0.5, "walk": 0.3, "run": 0.2}
DOING: Final[dict[Stance, str]] = {"stand": "standing", "walk": "walking", "run": "running"}
LAMP: Final = np.array([-0.5, 0.62, 0.6], np.float32)
FINER: Final = 2
"""How much finer the picture is rendered than it comes out."""

Array = NDArray[np.floating[Any]]


def figure(seed: int) -> Scene:
    """The scene of a seed, SIDE x SIDE: the same seed gives the same bytes."""
    rng = np.random.default_rng([seed, 17])
    stance = _stance(rng)
    place = np.array([rng.uniform(-0.3, 0.3), 0, -AWAY + rng.uniform(-0.15, 0.15)], np.float32)
    height = float(np.clip(rng.normal(1.7, 0.07), 1.5, 1.85))
    tailor = _body.tailor(1, height, place, float(rng.normal(0, 0.6)))
    person = _body.figure(pose(rng, stance), _body.look(rng, height), tailor, 20.0)
    solids = _room(rng) + person.solids
    canvas = Canvas(_camera(1), solids)
    normals = canvas.normals @ canvas.camera.rotation.T
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    rows, columns = np.nonzero(canvas.owners)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return Scene(
        image=_developed(Canvas(_camera(FINER), solids)),
        depth=canvas.depth,
        normals=normals.astype(np.float32),
        person_ids=canvas.owners,
        boxes=np.array([box], np.float32),
        keypoints=seen(person.keypoints, person.slack, 1, canvas)[None],
        fov=2 * float(np.arctan(SIDE / 2 / FOCAL)),
        caption=caption(seed),
    )


def caption(seed: int) -> str:
    """What the person of a seed does, without rendering it."""
    return f"a person {DOING[_stance(np.random.default_rng([seed, 17]))]}"


def _stance(rng: np.random.Generator) -> Stance:
    names = list(STANCES)
    return names[int(rng.choice(len(names), p=list(STANCES.values())))]


def _camera(finer: int) -> Camera:
    return Camera(SIDE * finer, SIDE * finer, FOCAL * finer, EYE, turn(0, PITCH))


def _room(rng: np.random.Generator) -> list[Solid]:
    """A wall, a floor and a kerb, each of one colour."""
    wall, floor, kerb = (plain(tone(rng, 0.15, 0.6)) for _ in range(3))
    return [
        _places.box((0, 2, -WALL - 0.5), (6, 4, 0.5), wall),
        _places.box((0, -0.5, -3), (6, 0.5, 4), floor),
        _places.box((0, 0.1, -KERB - 0.1), (6, 0.15, 0.1), kerb),
    ]


def _developed(canvas: Canvas) -> NDArray[np.uint8]:
    """The picture (SIDE, SIDE, 3) in the light of one lamp, which is always the same."""
    lamp = LAMP / np.linalg.norm(LAMP)
    light = 0.35 + 0.2 * canvas.normals[..., 1] + 0.75 * np.maximum(canvas.normals @ lamp, 0)
    linear = np.clip(canvas.colour * light[..., None], 0, 1).astype(np.float32)
    small = cv2.resize(linear, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.round(255 * small ** (1 / 2.2)), np.uint8)
