"""A dressed person made of solids, with every keypoint placed on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse import keypoints as kp
from humanverse.testing import _points
from humanverse.testing._pose import GROWN, SHOULDER, SPINE, Limbs, Pose, turn
from humanverse.testing._raster import Ball, Drum, Limb, Shape, Solid
from humanverse.testing._texture import Paint, anything, plain, rough, tone

Array = NDArray[np.floating[Any]]

_SKINS: Final = np.array(
    [
        [0.75, 0.47, 0.35],
        [0.62, 0.36, 0.25],
        [0.45, 0.23, 0.14],
        [0.26, 0.12, 0.07],
        [0.12, 0.055, 0.03],
    ]
)
_HAIRS: Final = np.array(
    [
        [0.01, 0.008, 0.007],
        [0.04, 0.02, 0.01],
        [0.12, 0.06, 0.025],
        [0.45, 0.3, 0.13],
        [0.5, 0.5, 0.5],
    ]
)


@dataclass(frozen=True)
class Look:
    """What a person wears and is like."""

    skin: Paint
    hair: Paint
    top: Paint
    bottom: Paint
    shoes: Paint
    sleeves: float
    """The share of the arm that is covered."""
    legwear: str  # trousers, shorts, skirt
    hairdo: str  # short, long, bald, hat
    girth: float
    head: float
    """How much larger than a grown person's head, for the body."""


@dataclass(frozen=True)
class Figure:
    """A person in the world."""

    solids: list[Solid]
    keypoints: Array  # (133, 3), world, metres
    slack: Array  # (133,), metres a keypoint may lie beneath the skin


def look(rng: np.random.Generator, height: float = GROWN) -> Look:
    """A random person's looks; a small person, `height` in metres, has a large head."""
    skin = _SKINS[rng.choice(5, p=[0.3, 0.25, 0.2, 0.15, 0.1])] * np.exp(rng.normal(0, 0.15, 3))
    hair = _HAIRS[rng.choice(5, p=[0.3, 0.3, 0.2, 0.12, 0.08])] * np.exp(rng.normal(0, 0.2, 3))
    top = anything(rng, rng.uniform(0.15, 0.7))
    bottom = rough(rng, tone(rng, 0.01, 0.6), 0.5) if rng.random() < 0.7 else anything(rng, 0.4)
    return Look(
        skin=rough(rng, skin.astype(np.float32), 0.25, 0.1),
        hair=rough(rng, hair.astype(np.float32), 0.08, 0.5),
        top=top,
        bottom=top if rng.random() < 0.15 else bottom,
        shoes=plain(tone(rng, 0.01, 0.8)),
        sleeves=float(rng.choice([0.0, 0.3, 0.5, 1.0], p=[0.12, 0.2, 0.23, 0.45])),
        legwear=str(rng.choice(["trousers", "shorts", "skirt"], p=[0.62, 0.18, 0.2])),
        hairdo=str(rng.choice(["short", "long", "bald", "hat"], p=[0.4, 0.33, 0.09, 0.18])),
        girth=float(np.clip(rng.normal(1.05, 0.14), 0.8, 1.5)),
        head=1 + 0.45 * max(0.0, 1 - height / 1.6),
    )


class _Tailor:
    """Collects a person's solids in their own frame and puts them into the world."""

    def __init__(self, owner: int, size: float, place: Array, facing: Array) -> None:
        self.owner, self.size, self.place, self.facing = owner, size, place, facing
        self.solids: list[Solid] = []

    def put(self, shape: Shape, centre: Array, frame: Array, paint: Paint) -> None:
        world = (self.facing @ frame) * self.size
        self.solids.append(
            Solid(shape, self.out(centre), world.astype(np.float32), paint, self.owner)
        )

    def out(self, points: Array) -> Array:
        """World points of own points (..., 3)."""
        return (self.place + self.size * (points @ self.facing.T)).astype(np.float32)

    def ball(
        self, centre: Array, frame: Array, radii: tuple[float, float, float], paint: Paint
    ) -> None:
        self.put(Ball(), centre, frame * np.array(radii, np.float32), paint)

    def limb(self, start: Array, end: Array, radii: tuple[float, float], paint: Paint) -> None:
        along = end - start
        length = float(np.linalg.norm(along))
        self.put(Limb(*radii, max(length, 1e-3)), start, _upright(along), paint)


def _upright(along: Array) -> Array:
    """(3, 3), a frame whose Y is `along`."""
    a, b, c = (along / max(float(np.linalg.norm(along)), 1e-6)).tolist()
    # x is y × e for the unit vector e, of Z or X, that y is not close to.
    x = (b, -a, 0.0) if abs(c) < 0.9 else (0.0, c, -b)
    long = float(np.hypot(x[0], np.hypot(x[1], x[2])))
    p, q, r = (part / long for part in x)
    z = (q * c - r * b, r * a - p * c, p * b - q * a)
    return np.array([[p, a, z[0]], [q, b, z[1]], [r, c, z[2]]], np.float32)


def figure(pose: Pose, looks: Look, tailor: _Tailor, pixels: float) -> Figure:
    """Build a person; `pixels` a metre at their distance decide how fine hands and faces are."""
    _trunk(tailor, pose, looks)
    for arm in pose.arms:
        _arm(tailor, arm, looks)
    for leg in pose.legs:
        _leg(tailor, leg, looks)
    if looks.legwear == "skirt":
        _skirt(tailor, pose, looks)
    _head(tailor, pose, looks, pixels)
    hands = []
    for side, arm, curl in zip((1, -1), pose.arms, pose.curl, strict=True):
        hands.append(_hand(tailor, arm, side, curl, looks, pixels))
    points = tailor.out(_keypoints(pose, hands, looks.head))
    return Figure(tailor.solids, points, _slack(looks.girth * tailor.size))


def tailor(owner: int, height: float, place: Array, yaw: float, lying: bool = False) -> _Tailor:
    """For person `owner`, `height` metres tall, at `place` on the ground, turned by `yaw`."""
    facing = turn(1, yaw) @ (turn(0, -np.pi / 2) if lying else np.eye(3, dtype=np.float32))
    return _Tailor(owner, height / GROWN, place, facing)


def _trunk(tailor: _Tailor, pose: Pose, looks: Look) -> None:
    g = looks.girth
    flat = np.diag([1.0, 1.0, 0.68]).astype(np.float32)
    waist = pose.hips + pose.chest @ np.array([0, 0.12, 0.01])
    tailor.put(Limb(0.135 * g, 0.145 * g, 0.22), waist, pose.chest @ flat, looks.top)
    tailor.put(Limb(0.15 * g, 0.135 * g, 0.13), pose.hips, pose.pelvis @ flat, looks.bottom)
    top = pose.chest @ np.array([0, SPINE - 0.05, -0.01]) + pose.hips
    side = pose.chest @ np.array([SHOULDER - 0.02, 0, 0])
    tailor.limb(top - side, top + side, (0.058 * g, 0.058 * g), looks.top)
    tailor.limb(top, pose.neck, (0.085 * g, 0.06), looks.top)
    tailor.limb(pose.neck, pose.skull - pose.head[:, 1] * 0.04, (0.056, 0.052), looks.skin)


def _arm(tailor: _Tailor, arm: Limbs, looks: Look) -> None:
    thick = 0.75 + 0.25 * looks.girth
    bare = looks.sleeves == 0
    upper = looks.skin if looks.sleeves < 0.3 else looks.top
    tailor.limb(arm.root, arm.middle, (0.05 * thick, 0.041 * thick), looks.skin)
    if not bare:
        reach = min(1.0, looks.sleeves * 2)
        end = arm.root + (arm.middle - arm.root) * reach
        tailor.limb(arm.root, end, (0.06 * thick, 0.056 * thick), upper)
    tailor.limb(arm.middle, arm.end, (0.041 * thick, 0.029), looks.skin)
    if looks.sleeves == 1:
        end = arm.middle + (arm.end - arm.middle) * 0.93
        tailor.limb(arm.middle, end, (0.052 * thick, 0.038 * thick), looks.top)


def _leg(tailor: _Tailor, leg: Limbs, looks: Look) -> None:
    g = looks.girth
    cloth = looks.legwear == "trousers"
    tailor.limb(
        leg.root,
        leg.middle,
        (0.088 * g, 0.058 * g),
        looks.skin if looks.legwear == "skirt" else looks.bottom,
    )
    tailor.limb(
        leg.middle,
        leg.end,
        (0.058 * g, 0.045 if cloth else 0.036),
        looks.bottom if cloth else looks.skin,
    )
    toes = leg.end + _foot(leg) @ np.array([0, -0.045, 0.14])
    heel = leg.end + _foot(leg) @ np.array([0, -0.035, -0.03])
    tailor.limb(heel, toes, (0.042, 0.034), looks.shoes)


def _foot(leg: Limbs) -> Array:
    """(3, 3), a foot's frame: at a right angle to the shin, or flat where the shin stands."""
    return leg.frame


def _skirt(tailor: _Tailor, pose: Pose, looks: Look) -> None:
    g = looks.girth
    knees = (pose.legs[0].middle + pose.legs[1].middle) / 2
    along = knees - pose.hips
    frame = _upright(along / np.linalg.norm(along))
    apart = float(np.linalg.norm(pose.legs[0].middle - pose.legs[1].middle)) / 2
    shape = Drum(0.145 * g, max(0.17 * g, apart + 0.09 * g), float(np.linalg.norm(along)) * 1.05)
    tailor.put(shape, pose.hips - frame[:, 1] * 0.03, frame, looks.bottom)


def _head(tailor: _Tailor, pose: Pose, looks: Look, pixels: float) -> None:
    frame, middle = pose.head, pose.skull

    frame = frame * looks.head

    def at(x: float, y: float, z: float) -> Array:
        return middle + frame @ np.array([x, y, z], np.float32)

    tailor.ball(middle, frame, tuple(_points.HEAD), looks.skin)
    for side in (1, -1):
        tailor.ball(at(side * 0.074, 0.0, -0.005), frame, (0.012, 0.03, 0.02), looks.skin)
    _hair(tailor, at, frame, looks)
    if pixels * tailor.size * 0.15 < 12:
        return
    nose = _points.face()[[28, 30]]
    tailor.limb(
        at(*nose[0] - [0, 0, 0.012]), at(*nose[1] - [0, 0, 0.013]), (0.009, 0.014), looks.skin
    )
    dark, white, lips = (plain(np.array(c, np.float32)) for c in
                         ([0.01, 0.008, 0.006], [0.6, 0.58, 0.56], [0.35, 0.09, 0.08]))  # fmt: skip
    points = _points.face()
    for corner in (36, 42):
        eye = points[corner : corner + 6].mean(axis=0)
        tailor.ball(at(*eye - [0, 0, 0.003]), frame, (0.013, 0.0065, 0.006), white)
        tailor.ball(at(*eye - [0, 0, 0.0005]), frame, (0.006, 0.006, 0.005), dark)
    for one, other in ((17, 19), (19, 21), (22, 24), (24, 26)):
        tailor.limb(at(*points[one]), at(*points[other]), (0.004, 0.004), looks.hair)
    for one, other in ((48, 51), (51, 54), (48, 57), (57, 54)):
        tailor.limb(at(*points[one]), at(*points[other]), (0.004, 0.006), lips)


def _hair(tailor: _Tailor, at: object, frame: Array, looks: Look) -> None:
    spot = at
    assert callable(spot)
    if looks.hairdo == "bald":
        return
    tailor.ball(spot(0, 0.032, -0.022), frame, (0.086, 0.108, 0.096), looks.hair)
    if looks.hairdo == "long":
        tailor.ball(spot(0, -0.06, -0.05), frame, (0.092, 0.17, 0.06), looks.hair)
        for side in (1, -1):
            tailor.ball(spot(side * 0.068, -0.03, -0.012), frame, (0.026, 0.14, 0.045), looks.hair)
    if looks.hairdo == "hat":
        tailor.ball(spot(0, 0.06, -0.008), frame, (0.092, 0.088, 0.108), looks.shoes)
        tailor.ball(spot(0, 0.062, 0.075), frame, (0.075, 0.007, 0.085), looks.shoes)


def _hand(tailor: _Tailor, arm: Limbs, side: int, curl: float, looks: Look, pixels: float) -> Array:
    """The hand's points (21, 3) in the person's frame, its solids added."""
    down, ahead = -arm.frame[:, 1], arm.frame[:, 2]
    frame = np.stack([ahead, down, np.cross(ahead, down)], axis=1)
    own = _points.hand(curl) if side == 1 else _points.hand(curl) * np.array([1, 1, -1])
    points = (arm.end + own @ frame.T).astype(np.float32)
    middle = arm.end + frame @ np.array([0, 0.05, 0])
    tailor.ball(middle, frame.astype(np.float32), (0.042, 0.056, 0.018), looks.skin)
    fine = pixels * tailor.size * 0.18
    for finger in range(5):
        chain = points[1 + 4 * finger : 5 + 4 * finger]
        step = 1 if fine > 22 else 3
        thick = 0.0105 if finger else 0.012
        for i in range(0, 3, step):
            tailor.limb(chain[i], chain[i + step], (thick, thick * 0.85), looks.skin)
    return points


def _keypoints(pose: Pose, hands: list[Array], head: float) -> Array:
    points = np.zeros((kp.COUNT, 3), np.float32)
    points[0:5] = pose.skull + head * _points.body_of_head() @ pose.head.T
    points[kp.FACE] = pose.skull + head * _points.face() @ pose.head.T
    for side, arm, leg in zip((0, 1), pose.arms, pose.legs, strict=True):
        points[[5 + side, 7 + side, 9 + side]] = arm.root, arm.middle, arm.end
        points[[11 + side, 13 + side, 15 + side]] = leg.root, leg.middle, leg.end
        feet = _points.FEET * ([-1, 1, 1] if side == 0 else [1, 1, 1])
        first = kp.FEET.start + 3 * side
        points[first : first + 3] = leg.end + feet @ _foot(leg).T
    points[kp.LEFT_HAND], points[kp.RIGHT_HAND] = hands
    return points


def _slack(size: float) -> Array:
    slack = np.full(kp.COUNT, 0.03)
    slack[5:17] = np.repeat([0.1, 0.075, 0.06, 0.19, 0.1, 0.085], 2)
    slack[kp.FEET] = 0.07
    return (slack * max(size, 0.7) + 0.01).astype(np.float32)
