"""How a person stands, sits or moves: joint angles, and where they put the joints.

A person's own frame has +X to their left, +Y up, +Z the way they face; lengths are metres for a
person of 1.72 m.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Stance = Literal["stand", "walk", "run", "sit", "crouch", "lie"]

GROWN: Final = 1.72
HIP, SHOULDER = 0.095, 0.175
SPINE, NECK = 0.50, 0.11
UPPER_ARM, FOREARM = 0.285, 0.255
THIGH, SHIN, FOOT = 0.43, 0.41, 0.19
ANKLE = 0.075
SEAT = 0.46


def turn(axis: int, angle: float) -> Array:
    """(3, 3), the rotation by `angle` radians about axis 0, 1 or 2."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix.astype(np.float32)


@dataclass(frozen=True)
class Limbs:
    """Two bones of an arm or a leg: where they meet, and the frame at the far end."""

    root: Array  # (3,)
    middle: Array  # (3,)
    end: Array  # (3,)
    frame: Array  # (3, 3), of the second bone, which runs along -Y
    upper: Array  # (3, 3), of the first bone


@dataclass(frozen=True)
class Pose:
    """Every joint of a person in their own frame, feet on y = 0 unless they lie."""

    stance: Stance
    hips: Array  # (3,), the middle of both hip joints
    pelvis: Array  # (3, 3)
    chest: Array  # (3, 3)
    head: Array  # (3, 3)
    neck: Array  # (3,)
    skull: Array  # (3,), the head's middle
    arms: tuple[Limbs, Limbs]  # left, right
    legs: tuple[Limbs, Limbs]
    curl: tuple[float, float] = field(default=(0.3, 0.3))
    """Radians each finger joint is bent by, left and right."""


@dataclass(frozen=True)
class _Bend:
    """Angles of one limb in radians: out to the side, forward, about itself, of its hinge."""

    out: float
    forward: float
    twist: float
    hinge: float


def pose(rng: np.random.Generator, stance: Stance, head_drop: float = 0.0) -> Pose:
    """A random pose of a stance; `head_drop` lowers the neck, for the short necks of children."""
    lean = {"run": 0.25, "crouch": 0.5, "sit": 0.05}.get(stance, 0.0)
    pelvis = turn(0, rng.normal(lean * 0.5, 0.04)) @ turn(2, rng.normal(0, 0.03))
    chest = pelvis @ turn(1, rng.normal(0, 0.12)) @ turn(0, rng.normal(lean * 0.5, 0.09))
    chest = chest @ turn(2, rng.normal(0, 0.07))
    head = chest @ turn(1, rng.normal(0, 0.3)) @ turn(0, rng.normal(0.05 - lean, 0.15))
    head = head @ turn(2, rng.normal(0, 0.1))
    neck = chest @ np.array([0, SPINE, 0])
    skull = neck + head @ np.array([0, NECK - head_drop + 0.055, 0.03])
    arms = _arms(rng, stance, chest)
    legs = _legs(rng, stance, pelvis)
    whole = Pose(stance, np.zeros(3), pelvis, chest, head, neck, skull, arms, legs, _curls(rng))
    if stance == "lie":
        return _moved(whole, np.array([0, 0.14, 0]))
    low = min(float(leg.end[1]) for leg in legs)
    return _moved(whole, np.array([0, ANKLE - low, 0]))


def _curls(rng: np.random.Generator) -> tuple[float, float]:
    left, right = rng.choice([0.08, 0.3, 0.6, 1.2], 2, p=[0.2, 0.4, 0.25, 0.15])
    return float(left), float(right)


def _moved(one: Pose, by: NDArray[np.floating]) -> Pose:
    shift = by.astype(np.float32)

    def limb(part: Limbs) -> Limbs:
        return Limbs(
            part.root + shift, part.middle + shift, part.end + shift, part.frame, part.upper
        )

    return Pose(
        one.stance, one.hips + shift, one.pelvis, one.chest, one.head,
        one.neck + shift, one.skull + shift,
        (limb(one.arms[0]), limb(one.arms[1])), (limb(one.legs[0]), limb(one.legs[1])), one.curl,
    )  # fmt: skip


def _chain(root: NDArray[np.floating], base: Array, bend: _Bend, lengths: tuple[float, float],
           way: int) -> Limbs:  # fmt: skip
    """`way`: -1 for an elbow, which folds forward, 1 for a knee."""
    upper = base @ turn(2, bend.out) @ turn(0, -bend.forward) @ turn(1, bend.twist)
    lower = upper @ turn(0, way * bend.hinge)
    down = np.array([0, -1, 0], np.float32)
    middle = root + lengths[0] * (upper @ down)
    end = middle + lengths[1] * (lower @ down)
    as_floats = (np.asarray(v, np.float32) for v in (root, middle, end, lower, upper))
    return Limbs(*as_floats)


def _arms(rng: np.random.Generator, stance: Stance, chest: Array) -> tuple[Limbs, Limbs]:
    swing = rng.normal(0, {"walk": 0.4, "run": 0.8}.get(stance, 0.12))
    same = rng.random() < 0.4
    kind = _arm_kind(rng, stance)
    result = []
    for side in (1, -1):
        if side == -1 and not same:
            kind = _arm_kind(rng, stance)
        bend = _arm_bend(rng, kind, side * swing, stance == "run")
        bend = _Bend(side * bend.out, bend.forward, side * bend.twist, bend.hinge)
        shoulder = chest @ np.array([side * SHOULDER, SPINE - 0.045, 0.0])
        result.append(_chain(shoulder, chest, bend, (UPPER_ARM, FOREARM), -1))
    return result[0], result[1]


def _arm_kind(rng: np.random.Generator, stance: Stance) -> str:
    kinds = ["hang", "fold", "reach", "raise", "akimbo", "wide"]
    weights = np.array([4, 3, 2, 0.8, 0.7, 0.5])
    if stance in ("sit", "crouch"):
        weights = np.array([0.6, 4, 3, 0.5, 0.1, 0.3])
    return str(rng.choice(kinds, p=weights / weights.sum()))


def _arm_bend(rng: np.random.Generator, kind: str, swing: float, running: bool) -> _Bend:
    """For the left arm; the caller mirrors it."""
    if kind == "hang":
        hinge = rng.uniform(1.0, 1.8) if running else rng.uniform(0.05, 0.5)
        return _Bend(rng.uniform(0.08, 0.3), swing, rng.normal(-0.2, 0.3), hinge)
    if kind == "fold":
        return _Bend(rng.uniform(0.05, 0.4), rng.uniform(0.0, 0.6), rng.uniform(-0.9, 0.1),
                     rng.uniform(1.0, 2.2))  # fmt: skip
    if kind == "reach":
        return _Bend(rng.uniform(-0.1, 0.4), rng.uniform(0.6, 1.5), rng.normal(-0.2, 0.4),
                     rng.uniform(0.1, 1.2))  # fmt: skip
    if kind == "raise":
        return _Bend(rng.uniform(0.2, 1.0), rng.uniform(2.0, 2.8), rng.normal(0, 0.4),
                     rng.uniform(0.1, 1.4))  # fmt: skip
    if kind == "akimbo":
        return _Bend(rng.uniform(0.6, 0.9), -0.3, rng.uniform(-1.5, -1.1), rng.uniform(1.5, 1.9))
    return _Bend(rng.uniform(0.8, 1.6), rng.normal(0, 0.3), rng.normal(0, 0.5), rng.uniform(0, 0.9))


def _legs(rng: np.random.Generator, stance: Stance, pelvis: Array) -> tuple[Limbs, Limbs]:
    stride = {"walk": 0.35, "run": 0.8}.get(stance, 0.05) * rng.normal(0, 1)
    result = []
    for side in (1, -1):
        bend = _leg_bend(rng, stance, side * stride)
        bend = _Bend(side * bend.out, bend.forward, side * bend.twist, bend.hinge)
        hip = pelvis @ np.array([side * HIP, 0.0, 0.0])
        result.append(_chain(hip, pelvis, bend, (THIGH, SHIN), 1))
    return result[0], result[1]


def _leg_bend(rng: np.random.Generator, stance: Stance, stride: float) -> _Bend:
    """For the left leg; the caller mirrors it."""
    out = rng.uniform(0.0, 0.15)
    if stance == "sit":
        return _Bend(rng.uniform(-0.05, 0.35), rng.uniform(1.3, 1.7), 0.0, rng.uniform(1.1, 1.9))
    if stance == "crouch":
        return _Bend(rng.uniform(0.1, 0.5), rng.uniform(1.4, 2.0), 0.0, rng.uniform(1.8, 2.3))
    if stance == "lie":
        return _Bend(out, rng.uniform(0, 0.8), 0.0, rng.uniform(0, 1.2))
    back = max(0.0, -stride)
    return _Bend(out, stride, rng.normal(0.1, 0.1), rng.uniform(0, 0.15) + back * 0.8)
