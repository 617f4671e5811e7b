"""How photographs of people are framed: who stands where, and where the camera is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.testing import _body, _places
from humanverse.testing._pose import GROWN, Pose, Stance, pose, turn
from humanverse.testing._raster import Camera, Solid
from humanverse.testing._texture import anything

Array = NDArray[np.floating[Any]]

_FRAMINGS: Final = {  # how often; metres of a grown person shown below the crown
    "face": (0.10, 0.32),
    "bust": (0.20, 0.60),
    "waist": (0.22, 0.95),
    "knees": (0.13, 1.30),
    "full": (0.22, 1.85),
    "distant": (0.13, 3.5),
}
_STANCES: Final[dict[Stance, float]] = {
    "stand": 0.45, "walk": 0.13, "run": 0.1, "sit": 0.25, "crouch": 0.05, "lie": 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """All that a picture needs."""

    camera: Camera
    solids: list[Solid]
    figures: list[_body.Figure]
    place: _places.Place
    feet: Array  # (n, 3): x, z, radius of what stands on the ground
    caption: str


@dataclass(frozen=True)
class _Actor:
    pose: Pose
    height: float
    x: float
    z: float
    yaw: float

    @property
    def size(self) -> float:
        return self.height / GROWN

    @property
    def crown(self) -> float:
        """Metres above the ground."""
        return self.size * (float(self.pose.skull[1]) + 0.13)


def compose(
    rng: np.random.Generator, size: tuple[int, int], people: int | None, indoors: bool | None
) -> Shot:
    """Draw a whole shot."""
    number = int(rng.choice(7, p=[0.1, 0.46, 0.22, 0.1, 0.06, 0.03, 0.03]))
    inside = bool(rng.random() < 0.5)
    number = number if people is None else people
    inside = inside if indoors is None else indoors
    focal = size[0] / 2 / np.tan(np.radians(rng.uniform(24, 66)) / 2)
    focal *= max(1.0, size[1] / size[0])  # the longer side has the lens's angle
    actors, camera = _stage(rng, size, float(focal), number, inside)
    back = max([-a.z for a in actors], default=rng.uniform(1.5, 5)) + 0.35
    side = max([abs(a.x) for a in actors], default=0.5) + 0.4
    if inside:
        place = _places.room(rng, back + float(rng.exponential(1.5)), side)
    else:
        place = _places.open_air(rng, back + float(rng.exponential(1.0)))
    solids, figures = list(place.solids), []
    for owner, actor in enumerate(actors, start=1):
        figure = _dress(rng, actor, owner, camera)
        figures.append(figure)
        solids += figure.solids
        solids += _seat(rng, actor)
    solids += _props(rng, actors, camera)
    feet = [(a.x, a.z, rng.uniform(0.25, 0.5) * a.size) for a in actors]
    caption = _caption(actors, inside)
    return Shot(camera, solids, figures, place, np.array(feet, np.float32).reshape(-1, 3), caption)


def _stage(
    rng: np.random.Generator, size: tuple[int, int], focal: float, number: int, inside: bool
) -> tuple[list[_Actor], Camera]:
    """The first person as the framing wants them, the others about them."""
    names = list(_FRAMINGS)
    framing = str(rng.choice(names, p=[_FRAMINGS[name][0] for name in names]))
    first = _actor(rng, 0.0, -1.0)
    shown = min(
        _FRAMINGS[framing][1] * first.size, first.crown + (2.0 if framing == "distant" else 0.1)
    )
    if number > 2:
        shown *= rng.uniform(1.0, 1.6)
    fill = rng.uniform(0.72, 1.1)
    distance = max(0.35, shown / fill * focal / size[1])
    middle = first.crown + 0.06 - shown / 2
    if number == 0:
        middle, distance = rng.uniform(0.3, 1.8), rng.uniform(1.5, 6)
    tilt = rng.choice([rng.normal(0.0, 0.1), rng.uniform(0.05, 0.45)], p=[0.75, 0.25])
    height = float(np.clip(middle + distance * np.tan(tilt), 0.15, 2.2 if inside else 5.0))
    pitch = np.arctan2(middle - height, distance) + rng.normal(0, 0.05) * size[1] / focal
    rotation = turn(2, rng.normal(0, 0.025)) @ turn(0, -pitch)
    camera = Camera(*size, focal, np.array([0, height, 0], np.float32), rotation.astype(np.float32))
    half_view = size[0] / 2 / focal
    spread = 0.45 if number < 2 else 0.7
    x = float(rng.uniform(-spread, spread)) * half_view * distance
    actors = [_Actor(first.pose, first.height, x, -distance, first.yaw)][:number]
    for _ in range(number - 1):
        actors.append(_companion(rng, actors, half_view))
    return actors, camera


def _actor(rng: np.random.Generator, x: float, z: float) -> _Actor:
    names = list(_STANCES)
    stance = names[int(rng.choice(len(names), p=list(_STANCES.values())))]
    child = rng.random() < 0.17
    height = rng.uniform(0.85, 1.5) if child else float(np.clip(rng.normal(1.71, 0.09), 1.5, 1.95))
    yaw = float(rng.choice([rng.normal(0, 0.5), rng.normal(0, 0.3) + rng.choice([-1.4, 1.4]),
                            np.pi + rng.normal(0, 0.5)], p=[0.66, 0.21, 0.13]))  # fmt: skip
    return _Actor(pose(rng, stance, 0.03 if child else 0.0), height, x, z, yaw)


def _companion(rng: np.random.Generator, actors: list[_Actor], half_view: float) -> _Actor:
    """Beside the first person, behind them, or, seldom, before them."""
    first = actors[0]
    way = rng.choice(["beside", "behind", "before"], p=[0.6, 0.32, 0.08])
    distance = -first.z
    if way == "behind":
        distance += 0.5 + float(rng.exponential(2.5))
    elif way == "before":
        distance = max(0.6, distance * rng.uniform(0.55, 0.85))
    else:
        distance = max(0.4, distance + rng.normal(0, 0.25))
    for _ in range(8):
        x = float(rng.uniform(-1.0, 1.0)) * half_view * distance
        if way == "beside":
            x = first.x + float(rng.choice([-1, 1])) * (0.38 + float(rng.exponential(0.3))) * len(
                actors
            )
        if all(abs(x - a.x) > 0.36 or abs(distance + a.z) > 0.5 for a in actors):
            break
    return _actor(rng, x, -distance)


def _dress(rng: np.random.Generator, actor: _Actor, owner: int, camera: Camera) -> _body.Figure:
    place = np.array([actor.x, 0, actor.z], np.float32)
    tailor = _body.tailor(owner, actor.height, place, actor.yaw, actor.pose.stance == "lie")
    looks = _body.look(rng, actor.height)
    return _body.figure(actor.pose, looks, tailor, camera.focal / max(-actor.z, 0.3))


def _seat(rng: np.random.Generator, actor: _Actor) -> list[Solid]:
    """A stool, a chair, a bench or a sofa under who sits."""
    if actor.pose.stance != "sit":
        return []
    top = actor.size * (float(actor.pose.hips[1]) - 0.1)
    wide = float(rng.choice([0.22, 0.3, 1.0])) * actor.size
    paint = anything(rng, 0.5)
    behind = turn(1, actor.yaw) @ np.array([0, 0, -1])
    seat = [
        _places.box(
            (actor.x, top / 2, actor.z), (wide, top / 2, 0.2 * actor.size), paint, actor.yaw
        )
    ]
    if rng.random() < 0.7:
        x, z = actor.x + 0.27 * behind[0] * actor.size, actor.z + 0.27 * behind[2] * actor.size
        high = (top + rng.uniform(0.2, 0.6) * actor.size) / 2
        seat.append(_places.box((x, high, z), (wide, high, 0.05), paint, actor.yaw))
    return seat


def _props(rng: np.random.Generator, actors: list[_Actor], camera: Camera) -> list[Solid]:
    """Things in hands, tables before people, clutter between them and the lens."""
    solids: list[Solid] = []
    for actor in actors:
        if rng.random() < 0.35:
            arm = actor.pose.arms[int(rng.integers(2))]
            grip = arm.end - 0.12 * arm.frame[:, 1]
            x, y, z = turn(1, actor.yaw) @ grip * actor.size + np.array([actor.x, 0, actor.z])
            if actor.pose.stance != "lie":
                solids.append(_places.clutter(rng, x, y, z, rng.uniform(0.03, 0.16)))
    if actors and rng.random() < 0.33:
        first = actors[0]
        near = first.z + 0.35 + rng.uniform(0.1, 0.35)
        top = (
            first.size * rng.uniform(0.55, 0.8)
            if first.pose.stance == "sit"
            else rng.uniform(0.7, 1.0)
        )
        half = (rng.uniform(0.5, 1.6), rng.uniform(0.2, 0.7))
        if camera.position[1] > top + 0.05 and near + half[1] < -0.1:
            solids += _places.table(rng, (first.x, near + half[1] - 0.2), top, half)
    if actors and rng.random() < 0.2:
        solids += _beside(rng, actors[0])
    distance = max([-a.z for a in actors], default=4.0)
    for _ in range(int(rng.choice([0, 1, 3, 6], p=[0.5, 0.22, 0.18, 0.1]))):
        away = distance * rng.uniform(0.35, 1.8)
        x = rng.uniform(-1, 1) * away * camera.width / 2 / camera.focal
        y = rng.uniform(0.0, 2.2)
        solids.append(_places.clutter(rng, x, y, -away, away * rng.uniform(0.02, 0.12)))
    return solids


def _beside(rng: np.random.Generator, actor: _Actor) -> list[Solid]:
    """A few solids close about a person: a bicycle's, an animal's, a pram's rough place."""
    solids = []
    x, z = actor.x + rng.normal(0, 0.4), actor.z + rng.normal(0.1, 0.4)
    for _ in range(int(rng.integers(2, 7))):
        away = rng.normal(0, 0.25, 2)
        y, size = rng.uniform(0.1, 1.0), rng.uniform(0.08, 0.3)
        solids.append(_places.clutter(rng, x + away[0], y, z + away[1], size))
    return solids


def _caption(actors: list[_Actor], inside: bool) -> str:
    where = "in a room" if inside else "outdoors"
    if not actors:
        return f"an empty place {where}"
    verbs = {"stand": "standing", "walk": "walking", "run": "running", "sit": "sitting",
             "crouch": "crouching", "lie": "lying"}  # fmt: skip
    what = verbs[actors[0].pose.stance]
    child = actors[0].height < 1.5
    if len(actors) == 1:
        return f"a {'child' if child else 'person'} {what} {where}"
    return f"{len(actors)} people {where}, one of them {what}"
