"""Rendered scenes for the lite geometry network: a cache on disk, and batches made hard to learn.

The cache holds what `humanverse.testing.scenes` renders; no photograph is ever read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset

from humanverse.testing import scenes
from humanverse.testing._texture import bank

SIDE = 192
SHAPES = ((192, 192), (216, 168), (168, 216), (240, 160), (228, 152), (156, 234))
"""Widths and heights, squeezed into a square as the network's input is."""
FIELDS = {
    "image": (np.uint8, (SIDE, SIDE, 3)),
    "disparity": (np.float16, (SIDE, SIDE)),
    "normals": (np.int8, (SIDE, SIDE, 3)),
    "people": (np.uint8, (SIDE, SIDE)),
}


def render_one(seed: int) -> dict[str, np.ndarray]:
    """The scene of a seed as the network sees it, SIDE x SIDE."""
    width, height = SHAPES[seed % len(SHAPES)]
    scene = scenes.render(seed, width, height)
    size = (SIDE, SIDE)
    normals = cv2.resize(scene.normals, size, interpolation=cv2.INTER_NEAREST)
    disparity = cv2.resize(1 / scene.depth, size, interpolation=cv2.INTER_NEAREST)
    return {
        "image": cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA),
        "disparity": disparity.astype(np.float16),
        "normals": np.round(normals * 127).astype(np.int8),
        "people": cv2.resize(scene.person_ids, size, interpolation=cv2.INTER_NEAREST),
    }


def fill(folder: Path, name: str, first: int, count: int, workers: int) -> dict[str, np.memmap]:
    """Render scenes `first` to `first + count` into `folder`, going on where a run was ended."""
    counted = folder / f"{name}.count"
    done = int(counted.read_text()) if counted.exists() else 0
    maps = {}
    for field, (dtype, shape) in FIELDS.items():
        path = folder / f"{name}.{field}"
        maps[field] = np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=(count, *shape))
    if done >= count:
        return maps
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers, of which there is one a core
    with ProcessPoolExecutor(workers) as pool:
        seeds = range(first + done, first + count)
        for index, row in enumerate(pool.map(render_one, seeds, chunksize=8), start=done):
            for field, value in row.items():
                maps[field][index] = value
            counted.write_text(str(index + 1))
    return maps


class Batches(IterableDataset):
    """Endless batches of augmented scenes: image, disparity, normals, people, on a square side."""

    def __init__(self, maps: dict[str, np.memmap], batch: int, side: int, seed: int) -> None:
        self.maps, self.batch, self.side, self.seed = maps, batch, side, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        count = len(self.maps["image"])
        while True:
            rows = [self._sample(int(i), rng) for i in rng.integers(0, count, self.batch)]
            image, disparity, normals, people = (np.stack(part) for part in zip(*rows, strict=True))
            yield (
                torch.from_numpy(image.transpose(0, 3, 1, 2).copy()),
                torch.from_numpy(disparity.astype(np.float32)[:, None]),
                torch.from_numpy(normals.transpose(0, 3, 1, 2).astype(np.float32)),
                torch.from_numpy((people > 0).astype(np.float32)[:, None]),
            )

    def _sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        image, disparity, normals, people = (np.asarray(self.maps[f][index]) for f in FIELDS)
        share = rng.uniform(0.6, 1) if rng.random() < 0.5 else 1.0
        high, wide = (int(SIDE * np.clip(share * s, 0.5, 1)) for s in rng.uniform(0.9, 1.1, 2))
        y, x = int(rng.integers(SIDE - high + 1)), int(rng.integers(SIDE - wide + 1))
        crop = (slice(y, y + high), slice(x, x + wide))
        image = cv2.resize(image[crop], (self.side, self.side), interpolation=cv2.INTER_AREA)
        half = (self.side // 2, self.side // 2)
        maps = [
            cv2.resize(np.ascontiguousarray(m[crop]), half, interpolation=cv2.INTER_NEAREST)
            for m in (disparity.astype(np.float32), normals, people)
        ]
        normals = maps[1].astype(np.float32) / 127
        mask = cv2.resize(
            np.ascontiguousarray(people[crop]),
            (self.side, self.side),
            interpolation=cv2.INTER_NEAREST,
        )
        image = harden(image.astype(np.float32) / 255, mask > 0, rng)
        if rng.random() < 0.5:
            image, normals = image[:, ::-1], normals[:, ::-1] * np.array([-1, 1, 1], np.float32)
            maps = [m[:, ::-1] for m in maps]
        return image.astype(np.float32), maps[0], normals, maps[2]


def harden(image: np.ndarray, people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Break what a network could lean on besides shape: colours, textures, sharpness, noise."""
    if rng.random() < 0.4:
        image = _estrange(image, people, rng)
    gain, lift = np.exp(rng.normal(0, 0.1, 3)), rng.normal(0, 0.05)
    image = np.clip(image * gain + lift, 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape)
    image = np.clip(image, 0, 1).astype(np.float32)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        coded = cv2.imencode(".jpg", (image * 255).astype(np.uint8), quality)[1]
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.float32) / 255
    return image


def _estrange(image: np.ndarray, people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of: foreign texture over people or surroundings, in patches, mixed channels, grey."""
    kind = rng.integers(4)
    if kind == 0:
        return _paint_over(image, people if rng.random() < 0.3 else ~people, rng)
    if kind == 1:
        return _cut_out(image, rng)
    if kind == 2:
        mix = np.eye(3) * 0.6 + rng.dirichlet(np.ones(3), 3) * 0.4
        return (image @ mix.T).astype(np.float32)
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)


def _texture(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3), two patterns of the bank in random colours, at a random scale."""
    tiles = bank()
    picture = np.zeros((side, side, 3), np.float32)
    for _ in range(2):
        tile = np.rot90(tiles[int(rng.integers(1, len(tiles)))], int(rng.integers(4)))
        cut = int(rng.integers(24, 128))
        part = cv2.resize(np.ascontiguousarray(tile[:cut, :cut]), (side, side))[..., None]
        picture += (rng.random(3) + (rng.random(3) - rng.random(3)) * part) / 2
    return np.clip(picture, 0, 1).astype(np.float32)


def _paint_over(image: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A foreign texture over the people or over all else, light and shade shining through."""
    keep = rng.uniform(0.2, 0.8)
    return np.where(where[..., None], image * keep + (1 - keep) * _texture(len(image), rng), image)


def _cut_out(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Patches of foreign texture."""
    image = image.copy()
    side = len(image)
    for _ in range(int(rng.integers(1, 5))):
        high, wide = (int(v) for v in rng.integers(side // 16, side // 4, 2))
        y, x = int(rng.integers(side - high)), int(rng.integers(side - wide))
        image[y : y + high, x : x + wide] = _texture(max(high, wide), rng)[:high, :wide]
    return image
