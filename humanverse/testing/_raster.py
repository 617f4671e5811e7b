"""Solids seen by a pinhole camera: exact depth and normals, one small window of rays a solid.

World and camera frames have +X right, +Y up, +Z towards the viewer; the camera looks along its -Z.
A ray's camera-frame direction has z = -1, so the distance along it is the depth itself, and an
affine map of a solid leaves it unchanged: every shape is met in its own simple coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from humanverse.testing._texture import Paint

Array = NDArray[np.floating[Any]]

FAR = 80.0
"""Metres; what lies farther is sky."""
NEAR = 0.05


@dataclass(frozen=True)
class Rays:
    """Rays of one window in some frame: one origin, directions by component, each (h, w)."""

    origin: Array
    x: Array
    y: Array
    z: Array

    def along(self, vector: Array) -> Array:
        """(h, w), the directions' share along `vector` (3,)."""
        x, y, z = vector.tolist()
        share: Array = self.x * x + self.y * y + self.z * z
        return share

    def squared(self) -> Array:
        """(h, w), the directions' squared lengths."""
        lengths: Array = self.x * self.x + self.y * self.y + self.z * self.z
        return lengths


class Shape(Protocol):
    """A convex body in its own coordinates."""

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner, (3,) each."""
        ...

    def hit(self, rays: Rays) -> Array:
        """(h, w), where each ray enters; NaN or infinite where it misses."""
        ...

    def outward(self, points: Array) -> Array:
        """(n, 3), a vector along the outward normal at surface points (n, 3)."""
        ...


def _first_root(a: Array, b: Array, c: Array | float) -> Array:
    """The smaller root of a t² + 2 b t + c = 0 for a > 0; NaN where there is none."""
    root: Array = (-b - np.sqrt(b * b - a * c)) / a
    return root


@dataclass(frozen=True)
class Ball:
    """The unit ball; an affine map makes it any ellipsoid."""

    def bounds(self) -> tuple[Array, Array]:
        """See `Shape`."""
        return -np.ones(3, np.float32), np.ones(3, np.float32)

    def hit(self, rays: Rays) -> Array:
        """See `Shape`."""
        o = rays.origin
        return _first_root(rays.squared(), rays.along(o), float(o @ o) - 1)

    def outward(self, points: Array) -> Array:
        """See `Shape`."""
        return points


def _cone_side(rays: Rays, squared: Array, radius: float, slope: float) -> Array:
    """Where rays meet x² + z² = (radius + slope * y)²; `squared` are their squared lengths."""
    ox, oy, oz = rays.origin.tolist()
    edge = radius + slope * oy
    a = squared - (1 + slope * slope) * (rays.y * rays.y)
    b = ox * rays.x + oz * rays.z - (slope * edge) * rays.y
    root = _first_root(a, b, ox * ox + oz * oz - edge * edge)
    if slope:
        root[a <= 0] = np.nan  # such a ray enters by an end
    return root


def _within(rays: Rays, t: Array, low: float, high: float) -> Array:
    """`t`, made NaN where its point has y outside [low, high]."""
    y = float(rays.origin[1]) + t * rays.y
    t[(y < low) | (y > high)] = np.nan
    return t


@dataclass(frozen=True)
class Limb:
    """The hull of two spheres on the y axis: radius `start` at 0, `end` at `length`."""

    start: float
    end: float
    length: float

    @property
    def _lean(self) -> float:
        return (self.start - self.end) / self.length  # sine of the side's angle to the axis

    def bounds(self) -> tuple[Array, Array]:
        """See `Shape`."""
        wide = max(self.start, self.end)
        low = min(-self.start, self.length - self.end)
        high = max(self.start, self.length + self.end)
        return np.array([-wide, low, -wide], np.float32), np.array([wide, high, wide], np.float32)

    def hit(self, rays: Rays) -> Array:
        """See `Shape`."""
        squared, o = rays.squared(), rays.origin
        near = rays.along(o)
        far = near - self.length * rays.y
        gap = float(o @ o)
        reach = gap + self.length * (self.length - 2 * float(o[1]))  # squared, to the far centre
        ends: Array = np.fmin(
            _first_root(squared, near, gap - self.start**2),
            _first_root(squared, far, reach - self.end**2),
        )
        lean = self._lean
        if abs(lean) >= 1:  # one sphere holds the other
            return ends
        cosine = float(np.sqrt(1 - lean * lean))
        side = _cone_side(rays, squared, self.start / cosine, -lean / cosine)
        side = _within(rays, side, lean * self.start, self.length + lean * self.end)
        return np.asarray(np.fmin(ends, side))

    def outward(self, points: Array) -> Array:
        """See `Shape`."""
        lean = float(np.clip(self._lean, -1, 1))
        around = np.hypot(points[:, 0], points[:, 2])
        slide = lean / max(1e-6, float(np.sqrt(1 - lean * lean)))
        # The axis point whose sphere touches the surface here.
        foot = np.clip(points[:, 1] - around * slide, 0, self.length)
        result = points.copy()
        result[:, 1] -= foot
        return result


@dataclass(frozen=True)
class Drum:
    """A cut cone with flat ends: radius `start` at y = 0, `end` at y = `length`."""

    start: float
    end: float
    length: float

    def bounds(self) -> tuple[Array, Array]:
        """See `Shape`."""
        wide = max(self.start, self.end)
        low = np.array([-wide, 0, -wide], np.float32)
        return low, np.array([wide, self.length, wide], np.float32)

    def hit(self, rays: Rays) -> Array:
        """See `Shape`."""
        slope = (self.end - self.start) / self.length
        side = _cone_side(rays, rays.squared(), self.start, slope)
        best = _within(rays, side, 0, self.length)
        for y, radius in ((0.0, self.start), (self.length, self.end)):
            t = (y - rays.origin[1]) / rays.y
            x, z = rays.origin[0] + t * rays.x, rays.origin[2] + t * rays.z
            t[(x * x + z * z > radius * radius) | (t < 0)] = np.nan
            best = np.fmin(best, t)
        return best

    def outward(self, points: Array) -> Array:
        """See `Shape`."""
        slope = (self.end - self.start) / self.length
        around = np.hypot(points[:, 0], points[:, 2])
        side = points.copy()
        side[:, 1] = -slope * around
        gap_side = np.abs(around - (self.start + slope * points[:, 1]))
        gap_lid = np.minimum(np.abs(points[:, 1]), np.abs(points[:, 1] - self.length))
        lid = np.zeros_like(points)
        lid[:, 1] = np.where(points[:, 1] > self.length / 2, 1, -1)
        return np.where((gap_lid < gap_side)[:, None], lid, side).astype(np.float32)


@dataclass(frozen=True)
class Box:
    """The cube [-1, 1]³; an affine map makes it any box."""

    def bounds(self) -> tuple[Array, Array]:
        """See `Shape`."""
        return -np.ones(3, np.float32), np.ones(3, np.float32)

    def hit(self, rays: Rays) -> Array:
        """See `Shape`."""
        enter, leave = np.float32(-np.inf), np.float32(np.inf)
        for origin, along in zip(rays.origin, (rays.x, rays.y, rays.z), strict=True):
            one, other = (-1 - origin) / along, (1 - origin) / along
            enter = np.maximum(enter, np.minimum(one, other))
            leave = np.minimum(leave, np.maximum(one, other))
        return np.where(enter < leave, enter, np.nan)

    def outward(self, points: Array) -> Array:
        """See `Shape`."""
        axis = np.abs(points).argmax(axis=1)
        result = np.zeros_like(points)
        rows = np.arange(len(points))
        result[rows, axis] = np.sign(points[rows, axis])
        return result


@dataclass(frozen=True)
class Solid:
    """A shape put into the world: world = centre + frame @ own coordinates."""

    shape: Shape
    centre: Array  # (3,)
    frame: Array  # (3, 3), the shape's axes as columns
    paint: Paint
    owner: int = 0
    """The person it belongs to, from 1; 0 for things."""


@dataclass(frozen=True)
class Camera:
    """A pinhole whose axis goes through the picture's middle."""

    width: int
    height: int
    focal: float
    """Pixels."""
    position: Array  # (3,)
    rotation: Array  # (3, 3), world to camera

    def project(self, points: NDArray[np.floating]) -> Array:
        """World points (n, 3) to (n, 3): x, y in pixels, depth in metres."""
        seen = (np.asarray(points, np.float32) - self.position) @ self.rotation.T
        depth = -seen[:, 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        x = self.width / 2 + self.focal * seen[:, 0] / safe
        y = self.height / 2 - self.focal * seen[:, 1] / safe
        return np.stack([x, y, depth], axis=1).astype(np.float32)

    def rays(self, rows: slice, columns: slice, to_own: Array, origin: Array) -> Rays:
        """The rays of a window, in the frame that `to_own` (3, 3) leads to from the world."""
        x = np.arange(columns.start, columns.stop, dtype=np.float32)
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        x = (x + (0.5 - self.width / 2)) / self.focal
        y = ((self.height / 2 - 0.5) - y) / self.focal
        parts = (a * x + (b * y - c) for a, b, c in (to_own @ self.rotation.T).tolist())
        return Rays(origin, *parts)


class Canvas:
    """What the camera sees of some solids: depth, normals (world frame), owners and colours."""

    def __init__(self, camera: Camera, solids: Sequence[Solid]) -> None:
        size = (camera.height, camera.width)
        self.camera = camera
        self.depth: Array = np.full(size, FAR, np.float32)
        self.normals: Array = np.broadcast_to(camera.rotation[2], (*size, 3)).copy()
        self.owners: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.colour: Array = np.zeros((*size, 3), np.float32)
        self.glow: Array = np.ones(size, np.float32)
        """1 where the colour shines by itself, 0 where it needs light."""
        if solids:
            to_own = np.linalg.inv(np.stack([solid.frame for solid in solids]))
            self._draw(solids, to_own.astype(np.float32))

    def points(self) -> Array:
        """(H, W, 3), the world point of every pixel, in metres."""
        rows, columns = slice(0, self.camera.height), slice(0, self.camera.width)
        rays = self.camera.rays(rows, columns, np.eye(3, dtype=np.float32), self.camera.position)
        along = np.stack([rays.x, rays.y, rays.z], axis=2)
        return self.camera.position + self.depth[..., None] * along

    def _draw(self, solids: Sequence[Solid], to_own: Array) -> None:
        """First which solid is met where, then the looks of only what is seen."""
        nearest = np.full(self.depth.shape, -1, np.int32)
        for index, (rows, columns) in enumerate(self._windows(solids)):
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            origin = to_own[index] @ (self.camera.position - solids[index].centre)
            rays = self.camera.rays(rows, columns, to_own[index], origin)
            with np.errstate(all="ignore"):  # rays that miss divide by zero or root below it
                t = solids[index].shape.hit(rays)
            depth = self.depth[rows, columns]
            nearer = (t > NEAR) & (t < depth)
            np.copyto(depth, t, where=nearer)
            np.copyto(nearest[rows, columns], np.int32(index), where=nearer)
        points = self.points().reshape(-1, 3)
        order = np.argsort(nearest, axis=None, kind="stable")
        seen, starts = np.unique(nearest.ravel()[order], return_index=True)
        for index, spots in zip(seen, np.split(order, starts[1:]), strict=True):
            if index >= 0:
                self._finish(solids[index], to_own[index], spots, points[spots])

    def _finish(self, solid: Solid, to_own: Array, spots: NDArray[np.intp], points: Array) -> None:
        """Normals and colour of a solid's visible pixels, `spots` (n,), at world points (n, 3)."""
        own = (points - solid.centre) @ to_own.T
        normals = solid.shape.outward(own) @ to_own
        normals /= np.sqrt(np.einsum("ni,ni->n", normals, normals) + 1e-20)[:, None]
        scale = np.sqrt((solid.frame * solid.frame).sum(axis=0))
        footprint = self.depth.ravel()[spots] / self.camera.focal
        self.normals.reshape(-1, 3)[spots] = normals
        self.owners.ravel()[spots] = solid.owner
        self.colour.reshape(-1, 3)[spots] = solid.paint.at(own * scale, footprint)
        self.glow.ravel()[spots] = solid.paint.glow

    def _windows(self, solids: Sequence[Solid]) -> list[tuple[slice, slice]]:
        """The rows and columns each solid may cover; empty where it is out of sight."""
        bounds = np.array([solid.shape.bounds() for solid in solids], np.float32)  # (n, 2, 3)
        frames = np.stack([solid.frame for solid in solids])
        centres = np.stack([solid.centre for solid in solids])
        corners = np.stack([bounds[:, _CORNERS[:, axis], axis] for axis in range(3)], axis=2)
        corners = np.einsum("nij,nkj->nki", frames, corners) + centres[:, None]  # (n, 8, 3)
        seen = self.camera.project(corners.reshape(-1, 3)).reshape(-1, 8, 3)
        size = np.array([self.camera.width, self.camera.height])
        low = np.floor(seen[..., :2].min(axis=1)).clip(0, size)
        high = np.ceil(seen[..., :2].max(axis=1)).clip(0, size)
        around = (seen[..., 2] < NEAR).any(axis=1)  # it reaches behind the camera
        low[around], high[around] = 0, size
        high[(seen[..., 2] < NEAR).all(axis=1)] = 0
        edges = np.concatenate([low, high], axis=1).astype(int).tolist()
        return [(slice(top, bottom), slice(left, right)) for left, top, right, bottom in edges]


_CORNERS = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
