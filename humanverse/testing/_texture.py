"""Paint for solids: procedural patterns between two colours, so that nothing is known by colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

TILE = 128
_CLOUDS, _LINES, _BLOTS = 18, 10, 12


@dataclass(frozen=True)
class Paint:
    """Colours of a surface: a pattern of the bank blends `base` into `accent`."""

    base: Array  # (3,), linear light
    accent: Array  # (3,)
    pattern: int
    size: float
    """Metres a tile of the pattern covers."""
    axes: Array  # (2, 3), how own coordinates fall on the pattern
    glow: float = 0.0
    grain: float = 0.0
    """How strongly finer clouds lighten and darken the pattern."""

    def at(self, points: Array, footprint: Array) -> Array:
        """(n, 3) colours at points (n, 3) in metres, where a pixel covers `footprint` (n,) metres.

        A pattern finer than a pixel fades into its mean, as it would in a lens.
        """
        if self.pattern == 0:
            return np.broadcast_to(self.base, points.shape)
        uv = points @ self.axes.T * (TILE / self.size)
        cells = uv.astype(np.int32) & (TILE - 1)
        tile = bank()[self.pattern]
        mean = float(tile.mean())
        sharp = np.minimum(self.size / (16 * footprint + 1e-9), 1)
        blend = mean + (tile[cells[:, 0], cells[:, 1]] - mean) * sharp
        colour: Array = self.base + (self.accent - self.base) * blend[:, None]
        if self.grain:
            fine = (uv * 5).astype(np.int32) & (TILE - 1)
            light = bank()[1 + self.pattern % _CLOUDS][fine[:, 1], fine[:, 0]] - 0.5
            colour *= (1 + self.grain * light * np.minimum(sharp * 2, 1))[:, None]
        return colour


@lru_cache(maxsize=1)
def bank() -> Array:
    """(n, TILE, TILE) patterns in [0, 1]: clouds of several roughness, woven lines, blots."""
    rng = np.random.default_rng(20)
    clouds = [_cloud(rng, rng.uniform(0.6, 2.2)) for _ in range(_CLOUDS)]
    lines = [_weave(rng) for _ in range(_LINES)]
    blots = [_blots(rng) for _ in range(_BLOTS)]
    return np.stack([np.zeros((TILE, TILE), np.float32), *clouds, *lines, *blots])


def _cloud(rng: np.random.Generator, roughness: float) -> Array:
    """Noise whose spectrum falls as 1 / f**roughness, as natural pictures' does."""
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    frequency[0, 0] = 1
    shape = frequency.shape
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / frequency**roughness
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (TILE, TILE))
    field = 0.5 + field / (4 * field.std())
    return np.asarray(np.clip(field, 0, 1), np.float32)


def _weave(rng: np.random.Generator) -> Array:
    """Stripes, checks, tiles or bricks."""
    count = int(rng.choice([2, 4, 8, 16]))
    duty = rng.uniform(0.15, 0.7)
    ramp = np.arange(TILE) / TILE * count
    stripe = (ramp % 1 < duty).astype(np.float32)
    style = rng.integers(4)
    if style == 0:
        return np.broadcast_to(stripe[None], (TILE, TILE)).copy()
    if style == 1:
        return np.asarray(np.abs(stripe[None] - stripe[:, None]), np.float32)
    if style == 2:
        return (stripe[None] + stripe[:, None]) / 2
    thin = (ramp % 1 < 0.12).astype(np.float32)
    shifted = np.where((ramp.astype(int) % 2 == 0)[:, None], thin[None], np.roll(thin, 8)[None])
    return np.maximum(thin[:, None], shifted).astype(np.float32)


def _blots(rng: np.random.Generator) -> Array:
    """Dots, strokes and letters-like marks of random tones, or leaves: clouds cut at a level."""
    if rng.random() < 0.4:
        return (_cloud(rng, rng.uniform(0.8, 1.8)) > rng.uniform(0.4, 0.6)).astype(np.float32)
    tile = np.full((TILE, TILE), float(rng.uniform(0, 0.3)), np.float32)
    for _ in range(int(rng.integers(10, 70))):
        tone = float(rng.uniform(0.2, 1))
        x, y = (int(v) for v in rng.integers(0, TILE, 2))
        if rng.random() < 0.5:
            cv2.circle(tile, (x, y), int(rng.integers(2, 9)), tone, -1)
        else:
            dx, dy = (int(v) for v in rng.integers(-20, 21, 2))
            cv2.line(tile, (x, y), (x + dx, y + dy), tone, int(rng.integers(1, 5)))
    return tile


def tone(rng: np.random.Generator, dark: float = 0.02, light: float = 0.9) -> Array:
    """(3,) a random colour in linear light, greys and strong hues alike."""
    grey = np.exp(rng.uniform(np.log(dark), np.log(light)))
    tint = rng.normal(0, rng.choice([0.08, 0.35, 0.8], p=[0.45, 0.4, 0.15]), 3)
    colour = np.clip(grey * np.exp(tint - tint.mean()), 0.005, 0.95)
    return np.asarray(colour, np.float32)


def plain(colour: Array, glow: float = 0.0) -> Paint:
    """One colour."""
    return Paint(colour, colour, 0, 1.0, np.eye(2, 3, dtype=np.float32), glow)


def rough(rng: np.random.Generator, colour: Array, size: float, contrast: float = 0.5) -> Paint:
    """A colour with the clouds of a natural surface."""
    accent = np.clip(
        colour * np.exp(rng.normal(0, contrast, 3) * 0.3 + rng.normal(0, contrast)), 0, 1
    )
    pattern = int(rng.integers(1, 1 + _CLOUDS))
    return Paint(colour, accent.astype(np.float32), pattern, size, _axes(rng), 0.0, _grain(rng))


def patterned(rng: np.random.Generator, size: float, colour: Array | None = None) -> Paint:
    """Any pattern between two random colours."""
    base = tone(rng) if colour is None else colour
    pattern = int(rng.integers(1, 1 + _CLOUDS + _LINES + _BLOTS))
    return Paint(base, tone(rng), pattern, size, _axes(rng), 0.0, _grain(rng))


def anything(rng: np.random.Generator, size: float) -> Paint:
    """A plain-looking surface or a patterned one, as often as things around us are."""
    if rng.random() < 0.45:
        return rough(rng, tone(rng), size, rng.uniform(0.05, 0.6))
    return patterned(rng, size * float(np.exp(rng.normal(0, 0.5))))


def _grain(rng: np.random.Generator) -> float:
    return float(max(0.0, rng.normal(0.3, 0.5)))


def _axes(rng: np.random.Generator) -> Array:
    """Two directions that see every face of a box: never along one of its axes alone."""
    turn = rng.normal(0, 0.25, (2, 3)) + rng.choice([-1, 1]) * np.array(
        [[1, 0.0, 0.9], [0, 1, 0.4]]
    )
    return np.asarray(turn, np.float32)
