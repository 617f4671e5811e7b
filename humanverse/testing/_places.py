"""Where people are: rooms and the open, with the things that stand about there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanverse.testing._pose import turn
from humanverse.testing._raster import Ball, Box, Drum, Limb, Solid
from humanverse.testing._texture import Paint, anything, patterned, plain, rough, tone

Array = NDArray[np.floating[Any]]
_LEVEL = np.eye(3, dtype=np.float32)


@dataclass(frozen=True)
class Place:
    """A set without people."""

    solids: list[Solid]
    indoors: bool
    sky: tuple[Array, Array]
    """Colours overhead and at the horizon, linear light."""


def box(centre: tuple[float, float, float], half: tuple[float, float, float], paint: Paint,
        yaw: float = 0.0) -> Solid:  # fmt: skip
    """A box, turned about the vertical; metres."""
    frame = turn(1, yaw) * np.array(half, np.float32)
    return Solid(Box(), np.array(centre, np.float32), frame.astype(np.float32), paint)


def ball(
    centre: tuple[float, float, float], radii: tuple[float, float, float], paint: Paint
) -> Solid:
    """An upright ellipsoid; metres."""
    frame = np.diag(radii).astype(np.float32)
    return Solid(Ball(), np.array(centre, np.float32), frame, paint)


def drum(foot: tuple[float, float, float], radii: tuple[float, float], height: float,
         paint: Paint) -> Solid:  # fmt: skip
    """A standing cut cone; radii below and above, metres."""
    return Solid(Drum(*radii, height), np.array(foot, np.float32), _LEVEL, paint)


def room(rng: np.random.Generator, back: float, side: float) -> Place:
    """A room whose back wall is `back` metres ahead; `side` metres to each side are kept free."""
    high = rng.uniform(2.3, 3.4)
    left, right = (side + float(rng.exponential(1.2)) + 0.2 for _ in range(2))
    wall = anything(rng, rng.uniform(0.5, 3.0))
    other = wall if rng.random() < 0.6 else anything(rng, 1.5)
    deep = back + 6
    solids = [
        box((0, -0.1, 0), (60, 0.1, 60), anything(rng, rng.uniform(0.6, 3))),
        box((0, high + 0.1, 0), (60, 0.1, 60), rough(rng, tone(rng, 0.3, 0.9), 3, 0.1)),
        box((0, 0, -back - 0.1), (60, 60, 0.1), wall),
        box((-left - 0.1, 0, 0), (0.1, 60, deep), other),
        box((right + 0.1, 0, 0), (0.1, 60, deep), other),
    ]
    for _ in range(int(rng.integers(0, 8))):
        solids.append(_on_wall(rng, back, (-left, right), high))
    if rng.random() < 0.3:
        solids += _shelf(rng, rng.uniform(-left, right), -back)
    for _ in range(int(rng.integers(1, 9))):
        x = rng.uniform(-left, right)
        solids += thing(rng, x, -back + rng.uniform(0.1, 0.9))
    for x in (-left, right):
        for _ in range(int(rng.integers(0, 3))):
            solids += thing(rng, x * 0.93, -rng.uniform(0.4, 1) * back)
    return Place(solids, True, (tone(rng, 0.3, 0.9), tone(rng, 0.3, 0.9)))


def _on_wall(
    rng: np.random.Generator, back: float, span: tuple[float, float], high: float
) -> Solid:
    """A picture, a door, a window or a shelf on the back wall."""
    half = (rng.uniform(0.12, 0.9), rng.uniform(0.12, 0.7), rng.uniform(0.01, 0.06))
    x, y = rng.uniform(*span), rng.uniform(0.9, high - 0.2)
    if rng.random() < 0.3:
        light = tone(rng, 0.8, 0.95)
        return box((x, y, -back), half, plain(light * rng.uniform(0.8, 2.5), glow=1.0))
    return box((x, y, -back), half, patterned(rng, rng.uniform(0.2, 1.2)))


def _shelf(rng: np.random.Generator, x: float, z: float) -> list[Solid]:
    """Rows of small things on boards before a wall."""
    wide, wood = rng.uniform(0.4, 1.2), anything(rng, 0.5)
    solids = []
    for y in np.arange(rng.uniform(0.2, 1.2), 2.2, rng.uniform(0.3, 0.5)):
        solids.append(box((x, y, z + 0.15), (wide, 0.015, 0.15), wood))
        at = x - wide
        while at < x + wide - 0.15:
            half = (rng.uniform(0.015, 0.12), rng.uniform(0.05, 0.14), rng.uniform(0.04, 0.12))
            at += half[0]
            solids.append(box((at, y + half[1], z + 0.15), half, anything(rng, 0.2)))
            at += half[0] + float(rng.exponential(0.06))
    return solids


def thing(rng: np.random.Generator, x: float, z: float) -> list[Solid]:
    """Furniture or another everyday thing on the ground at (x, z)."""
    kind = rng.integers(6)
    paint = anything(rng, rng.uniform(0.2, 1.0))
    yaw = float(rng.normal(0, 0.4))
    if kind == 0:  # cupboard, fridge, shelf
        half = (rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.0), rng.uniform(0.15, 0.4))
        return [box((x, half[1], z), half, paint, yaw)]
    if kind == 1:
        return table(rng, (x, z), rng.uniform(0.4, 0.78), (rng.uniform(0.3, 0.9), 0.4), yaw)
    if kind == 2:
        return _sofa(rng, x, z, yaw)
    if kind == 3:
        return plant(rng, x, z, rng.uniform(0.5, 1.8))
    if kind == 4:  # lamp
        tall = rng.uniform(0.9, 1.7)
        shade = drum((x, tall, z), (0.2, 0.12), 0.25, plain(tone(rng, 0.6, 0.9), glow=0.6))
        return [drum((x, 0, z), (0.02, 0.02), tall, paint), shade]
    size = rng.uniform(0.15, 0.5, 3)
    return [ball((x, size[1], z), (size[0], size[1], size[2]), paint)]


def table(rng: np.random.Generator, spot: tuple[float, float], top: float,
          half: tuple[float, float], yaw: float = 0.0) -> list[Solid]:  # fmt: skip
    """A table with things on it; `half` its half width and depth, metres."""
    x, z = spot
    wood = anything(rng, 0.6)
    solids = [box((x, top - 0.02, z), (half[0], 0.02, half[1]), wood, yaw)]
    if rng.random() < 0.35:  # a counter, closed below
        solids.append(
            box(
                (x, top / 2 - 0.03, z),
                (half[0] * 0.95, top / 2 - 0.02, half[1] * 0.9),
                anything(rng, 0.5),
                yaw,
            )
        )
    else:
        solids += [
            drum((x + i * half[0] * 0.9, 0, z), (0.03, 0.03), top - 0.03, wood) for i in (-1, 1)
        ]
    for _ in range(int(rng.integers(0, 7))):
        away = rng.uniform(-0.85, 0.85, 2) * half
        solids.append(_small_thing(rng, x + away[0], top, z + away[1]))
    return solids


def _small_thing(rng: np.random.Generator, x: float, y: float, z: float) -> Solid:
    """A plate, a cup, a bottle, a book, a fruit."""
    paint = anything(rng, 0.12)
    kind = rng.integers(4)
    if kind == 0:
        return drum((x, y, z), (0.08, 0.13), 0.02, paint)
    if kind == 1:
        return drum((x, y, z), (0.035, 0.04), rng.uniform(0.08, 0.3), paint)
    if kind == 2:
        half = (rng.uniform(0.05, 0.2), rng.uniform(0.01, 0.15), rng.uniform(0.05, 0.15))
        return box((x, y + half[1], z), half, paint, rng.uniform(0, 3))
    r = rng.uniform(0.03, 0.1)
    return ball((x, y + r * 0.8, z), (r * 1.3, r * 0.8, r), paint)


def _sofa(rng: np.random.Generator, x: float, z: float, yaw: float) -> list[Solid]:
    cloth = anything(rng, 0.6)
    wide = rng.uniform(0.4, 1.1)
    back = turn(1, yaw) @ np.array([0, 0, -0.35])
    return [
        box((x, 0.22, z), (wide, 0.22, 0.42), cloth, yaw),
        box((x + back[0], 0.45, z + back[2]), (wide, 0.45, 0.1), cloth, yaw),
    ]


def plant(rng: np.random.Generator, x: float, z: float, tall: float) -> list[Solid]:
    """A pot, a stem, a crown of leaves; also trees and bushes, by its height in metres."""
    leaf = tone(rng, 0.03, 0.4) * np.array([0.7, 1.1, 0.45], np.float32)
    leaves = patterned(rng, 0.25 * tall, leaf.astype(np.float32))
    solids = [
        drum(
            (x, 0, z),
            (0.05 * tall, 0.035 * tall),
            tall * 0.7,
            rough(rng, tone(rng, 0.03, 0.2), 0.4),
        )
    ]
    for _ in range(int(rng.integers(3, 7))):
        away = rng.normal(0, 0.16 * tall, 3)
        r = tall * rng.uniform(0.12, 0.28, 3)
        solids.append(
            ball(
                (x + away[0], max(0.72 * tall + away[1], r[1]), z + away[2]),
                (r[0], r[1], r[2]),
                leaves,
            )
        )
    return solids


def open_air(rng: np.random.Generator, back: float) -> Place:
    """Ground to the horizon; everything `back` metres ahead or farther."""
    ground = anything(rng, rng.uniform(1, 8)) if rng.random() < 0.6 else _nature(rng)
    solids = [box((0, -0.1, 0), (400, 0.1, 400), ground)]
    if rng.random() < 0.5:  # a lawn, a road, water, a pitch's far half
        far = back + rng.uniform(0, 10)
        solids.append(box((0, -0.09, -far - 100), (400, 0.1, 100), anything(rng, 3)))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            hill = (rng.uniform(15, 60), rng.uniform(3, 16), 5.0)
            solids.append(ball((rng.uniform(-60, 60), 0, -rng.uniform(55, 74)), hill, _nature(rng)))
    if rng.random() < 0.35:  # a wall, a hedge or a fence right behind
        half = (40.0, rng.uniform(0.4, 2.5), 0.1)
        solids.append(
            box(
                (0, half[1], -back - 0.3 - rng.exponential(3)),
                half,
                anything(rng, 1.5),
                rng.normal(0, 0.15),
            )
        )
    for _ in range(int(rng.integers(0, 12))):
        far = back + rng.exponential(10) + 0.5
        solids += outdoor_thing(rng, rng.uniform(-0.9, 0.9) * far, -far)
    bright = rng.uniform(0.4, 1.4)
    blue = np.array([0.25, 0.45, 0.9]) if rng.random() < 0.55 else np.array([0.8, 0.82, 0.85])
    top = (bright * blue * np.exp(rng.normal(0, 0.2, 3))).astype(np.float32)
    return Place(
        solids, False, (top, (bright * np.exp(rng.normal(0, 0.2, 3)) * 0.85).astype(np.float32))
    )


def _nature(rng: np.random.Generator) -> Paint:
    """Grass, sand, snow, earth."""
    kinds = [
        [0.08, 0.16, 0.03],
        [0.5, 0.4, 0.25],
        [0.8, 0.82, 0.85],
        [0.15, 0.1, 0.06],
        [0.2, 0.2, 0.2],
    ]
    colour = np.array(kinds[int(rng.integers(5))]) * np.exp(rng.normal(0, 0.2, 3))
    return rough(rng, colour.astype(np.float32), rng.uniform(0.5, 4), rng.uniform(0.1, 0.7))


def outdoor_thing(rng: np.random.Generator, x: float, z: float) -> list[Solid]:
    """A tree, a bush, a house, a car, a pole, a bench-like box."""
    kind = rng.choice(6, p=[0.3, 0.12, 0.2, 0.18, 0.1, 0.1])
    if kind == 0:
        return plant(rng, x, z, rng.uniform(2.5, 9))
    if kind == 1:
        r = rng.uniform(0.3, 1.2)
        return [ball((x, r * 0.7, z), (r * 1.4, r, r), patterned(rng, 0.5))]
    if kind == 2:
        half = (rng.uniform(1.5, 7), rng.uniform(1.5, 8), rng.uniform(1.5, 5))
        return [
            box(
                (x, half[1], z - half[2]),
                half,
                patterned(rng, rng.uniform(2, 6)),
                rng.normal(0, 0.3),
            )
        ]
    if kind == 3:
        return car(rng, x, z)
    if kind == 4:
        return [drum((x, 0, z), (0.06, 0.05), rng.uniform(2, 6), anything(rng, 0.5))]
    size = rng.uniform(0.2, 0.9, 3)
    return [
        box(
            (x, size[1] * 0.6, z),
            (size[0], size[1] * 0.6, size[2]),
            anything(rng, 0.6),
            rng.uniform(0, 3),
        )
    ]


def car(rng: np.random.Generator, x: float, z: float) -> list[Solid]:
    """Two boxes on wheels."""
    yaw = float(rng.uniform(0, np.pi))
    body, glass = rough(rng, tone(rng), 1.0, 0.1), rough(rng, tone(rng, 0.01, 0.3), 1.0, 0.3)
    tyre = plain(tone(rng, 0.01, 0.05))
    solids = [
        box((x, 0.6, z), (2.0, 0.32, 0.8), body, yaw),
        box((x, 1.1, z), (1.1, 0.25, 0.7), glass, yaw),
    ]
    spin = turn(1, yaw)
    for i in (-1, 1):
        for j in (-1, 1):
            spot = np.array([x, 0.32, z]) + spin @ np.array([i * 1.25, 0, j * 0.7])
            frame = (spin @ turn(0, np.pi / 2)).astype(np.float32)
            solids.append(Solid(Drum(0.32, 0.32, 0.14), spot.astype(np.float32), frame, tyre))
    return solids


def clutter(rng: np.random.Generator, x: float, y: float, z: float, size: float) -> Solid:
    """A thing of any shape in the air: held, hung, or close to the lens."""
    paint = anything(rng, size)
    frame = turn(0, rng.uniform(0, 6)) @ turn(1, rng.uniform(0, 6))
    scale = (size * np.exp(rng.normal(0, 0.4, 3))).astype(np.float32)
    centre = np.array([x, y, z], np.float32)
    if rng.random() < 0.4:
        return Solid(Box(), centre, frame * scale * 0.7, paint)
    if rng.random() < 0.5:
        return Solid(Ball(), centre, frame * scale, paint)
    return Solid(Limb(size * 0.25, size * 0.2, size * 3), centre, frame, paint)
