"""From surfaces to a photograph: light, shadow, lens, sensor and compression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.testing._places import Place
from humanverse.testing._raster import FAR, Canvas

Array = NDArray[np.floating[Any]]


def develop(
    canvas: Canvas, place: Place, feet: Array, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB. `feet` (n, 3) are x, z, radius of what throws a shadow."""
    _paint_sky(canvas, place, rng)
    light: Array = _lit(canvas, rng) * _ground_shadows(canvas, feet, rng)[..., None]
    if rng.random() < 0.6:
        light = light * _crevices(canvas, rng)[..., None]
    glow = canvas.glow[..., None]
    linear: Array = canvas.colour * (glow + (1 - glow) * light)
    linear = _lens(linear.astype(np.float32), canvas.depth, canvas.owners > 0, rng)
    return _sensor(linear, rng)


def _paint_sky(canvas: Canvas, place: Place, rng: np.random.Generator) -> None:
    empty = canvas.depth >= FAR
    if not empty.any():
        return
    height = empty.shape[0]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = place.sky[0] + (place.sky[1] - place.sky[0]) * down
    if rng.random() < 0.6:  # clouds
        small = rng.random((6, 9), dtype=np.float32)
        clouds = cv2.resize(small, empty.shape[::-1], interpolation=cv2.INTER_CUBIC)
        sky = sky + np.clip(clouds - 0.45, 0, 1)[..., None] * rng.uniform(0, 0.8)
    canvas.colour[empty] = np.broadcast_to(sky, canvas.colour.shape)[empty]


def _unit(vector: NDArray[np.floating]) -> Array:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _lit(canvas: Canvas, rng: np.random.Generator) -> Array:
    """(H, W, 3), light arriving: a soft sky and one to three lamps."""
    normals = canvas.normals
    up = normals[..., 1:2] * 0.5 + 0.5
    warm = np.exp(rng.normal(0, 0.12, (2, 3))).astype(np.float32)
    light = rng.uniform(0.25, 0.6) * warm[0] * up + rng.uniform(0.1, 0.35) * warm[1] * (1 - up)
    for strength in (1.0, 0.5, 0.4)[: int(rng.integers(1, 4))]:
        way = _unit(np.array([rng.normal(0, 1), rng.uniform(0.1, 1.5), rng.normal(0.4, 0.8)]))
        colour = strength * rng.uniform(0.2, 1.1) * np.exp(rng.normal(0, 0.12, 3))
        light = light + np.maximum(normals @ way, 0)[..., None] * colour
    if rng.random() < 0.25:  # a flash beside the lens
        fall = 1 / np.maximum(canvas.depth, 0.5) ** 2
        towards = np.maximum(normals @ canvas.camera.rotation[2], 0)
        flash = (towards * fall / np.percentile(fall, 80)).clip(0, 2)[..., None]
        rest = rng.choice([0.05, 0.3, 0.7])  # by night the flash is nearly all there is
        light = light * rest + flash * (1 - rest)
    return np.asarray(light, np.float32)


def _ground_shadows(canvas: Canvas, feet: Array, rng: np.random.Generator) -> Array:
    """(H, W), soft dark spots where things stand, drawn out away from a low sun."""
    shade = np.ones(canvas.depth.shape, np.float32)
    points = canvas.points()
    ground = (np.abs(points[..., 1]) < 0.02) & (canvas.depth < FAR)
    if not ground.any():
        return shade
    x, z = points[ground][:, 0], points[ground][:, 2]
    angle, stretch, dark = rng.uniform(0, 2 * np.pi), rng.uniform(1, 5), rng.uniform(0.1, 0.75)
    c, s = np.cos(angle), np.sin(angle)
    cast = np.ones_like(x)
    for foot_x, foot_z, radius in feet:
        dx, dz = x - foot_x, z - foot_z
        along, across = c * dx + s * dz, -s * dx + c * dz
        along = np.where(along > 0, along / stretch, along)
        cast *= 1 - dark * np.exp(-(((along**2 + across**2) / radius**2) ** 2))
    shade[ground] = cast
    return shade


def _crevices(canvas: Canvas, rng: np.random.Generator) -> Array:
    """(H, W), less light where the surroundings stand nearer to the camera."""
    near = 1 / canvas.depth
    size = max(3.0, 0.03 * min(near.shape) * rng.uniform(0.5, 2))
    around = cv2.GaussianBlur(near, (0, 0), size)
    hidden = np.clip((around - near) / near, 0, 1)
    return (1 - rng.uniform(0.2, 0.7) * hidden).astype(np.float32)


def _lens(
    linear: Array, depth: Array, people: NDArray[np.bool_], rng: np.random.Generator
) -> Array:
    """Blur away from the plane in focus, darker corners, a soft lens."""
    if rng.random() < 0.35 and people.any():
        focus = float(np.median(depth[people]))
        away = np.abs(1 / depth - 1 / focus) * focus
        widest = 0.02 * min(depth.shape) * rng.uniform(0.5, 2.5)
        for level in (0.33, 0.66, 1.0):
            soft = cv2.GaussianBlur(linear, (0, 0), widest * level)
            weight = np.asarray(np.clip(away / 0.6 / level - 0.5, 0, 1), np.float32)
            linear = linear + (soft - linear) * cv2.GaussianBlur(weight, (0, 0), 1.0)[..., None]
    if rng.random() < 0.4:
        y, x = np.ogrid[-1 : 1 : depth.shape[0] * 1j, -1 : 1 : depth.shape[1] * 1j]
        linear = linear * (1 - rng.uniform(0, 0.3) * (x**2 + y**2))[..., None]
    if rng.random() < 0.5:
        linear = np.asarray(cv2.GaussianBlur(linear, (0, 0), rng.uniform(0.3, 1.0)), np.float32)
    return np.asarray(linear, np.float32)


def _sensor(linear: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, white balance, tone, noise, JPEG."""
    middle = float(np.percentile(linear.mean(axis=2), 75)) + 1e-4
    gain = rng.uniform(0.2, 0.75) / middle
    linear = np.clip(linear * gain * np.exp(rng.normal(0, 0.06, 3)), 0, None).astype(np.float32)
    linear = linear / (1 + linear * rng.uniform(0, 0.4))
    shown = np.clip(linear, 0, 1) ** (1 / rng.uniform(1.9, 2.6))
    if rng.random() < 0.06:
        shown = np.repeat(shown.mean(axis=2, keepdims=True), 3, axis=2)
    grain = rng.normal(0, rng.choice([0.004, 0.015, 0.03]), shown.shape).astype(np.float32)
    image: NDArray[np.uint8] = (np.clip(shown + grain, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))]
        coded = cv2.imencode(".jpg", image, quality)[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image
