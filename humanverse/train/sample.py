"""What `humanverse sample` does: prompt and pose in, files out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import humanverse
from humanverse.codec import encode_depth, encode_normals
from humanverse.drawing import skeleton
from humanverse.errors import DataError, UsageError
from humanverse.load.view import View, largest
from humanverse.train.examples import bytes_to_pixels
from humanverse.train.grid import grid, write_png
from humanverse.train.painter import Painted, Painter, painted, restored
from humanverse.train.world import device_of

MARGIN = 0.1
"""Of a pose whose picture's size is not known: how much is left about the people."""


@dataclass(frozen=True)
class Asked:
    """What samples are asked for. None is what the recipe says."""

    prompt: str = ""
    pose: str | None = None
    count: int = 4
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    size: int | None = None


def sample(
    checkpoint: Path, out: Path, asked: Asked, refiner: Path | None = None, device: str = "auto"
) -> Iterator[Path]:
    """Write samples, and a grid of them all; gives the files.

    Raises:
        UsageError: there is no such checkpoint or pose, or the sizes cannot be.
        DataError: the checkpoint is damaged.
    """
    if asked.count < 1 or (asked.steps is not None and asked.steps < 1):
        raise UsageError("--count and --steps are 1 or more")
    where = device_of(device)
    base = as_asked(restored(checkpoint, where), asked)
    if base.training.stage != "base":
        raise UsageError(f"{checkpoint} is a refiner: give it as --refiner")
    side = asked.size or base.training.data.image_size
    seeds = range(asked.seed, asked.seed + asked.count)
    captions = [asked.prompt] * asked.count
    poses = None if asked.pose is None else posed(asked.pose)
    beside = [] if poses is None else [drawn(poses, side, asked.count)]
    maps = {"pose": shown_to_pixels(beside[0])} if beside else {}
    pixels = base.pixels(base.paint(base.given(captions, maps, side), seeds, (side, side)))
    first = painted(pixels)
    yield from written(first, out, [f"{seed:06d}" for seed in seeds])
    if refiner is not None:
        second = as_asked(restored(refiner, where), asked)
        large = None if poses is None else drawn(poses, 2 * side, asked.count)
        finer = refined(second, pixels, large, captions, seeds)
        for seed, picture in zip(seeds, finer.rgb, strict=True):
            yield _png(out / f"{seed:06d}.refined.png", picture)
        small = [_halved(picture) for picture in finer.rgb]
        beside.append(np.stack(small))
    yield _png(out / "grid.png", grid(first, *beside))


def refined(
    second: Painter,
    pixels: dict[str, torch.Tensor],
    poses: NDArray[np.uint8] | None,
    captions: list[str],
    seeds: Sequence[int],
) -> Painted:
    """The second stage's pictures, of twice the size, by what the first one gave, and skeletons
    (N, H, W, 3) of that size.

    Raises:
        UsageError: it is no refiner.
    """
    if second.training.stage != "refiner":
        raise UsageError("--refiner: the checkpoint is of a first stage")
    side = pixels["rgb"].shape[2] * 2
    scaled = {
        name: torch.nn.functional.interpolate(shown, scale_factor=2, mode="bilinear")
        for name, shown in pixels.items()
    }
    if poses is not None:
        scaled["pose"] = shown_to_pixels(poses)
    maps = {name: shown for name, shown in scaled.items() if name in second.training.network.maps}
    given = second.given(captions, maps, side)
    return painted(second.pixels(second.paint(given, seeds, (side, side))))


@dataclass(frozen=True)
class Posed:
    """People, and the size of the picture they are in."""

    poses: NDArray[np.float32]
    """(n, 133, 3)"""
    size: tuple[int, int]
    """Height and width."""


def posed(told: str) -> Posed:
    """The people of a pose file, or of a sample as ROOT:KEY.

    The size of a file's picture is read of the `{key}.json` beside it; without one the people are
    framed by a square.

    Raises:
        UsageError: there is none, or it is no pose.
    """
    path = Path(told)
    if path.is_file():
        try:
            people = json.loads(path.read_bytes())["people"]
            points = [person["keypoints"] for person in people]
            poses = np.asarray(points, np.float32).reshape(-1, 133, 3)
        except (ValueError, LookupError, TypeError) as error:
            raise UsageError(f"{path} is no pose, as a dataset's {{key}}.pose.json is") from error
        beside = path.with_name(path.name.removesuffix(".pose.json") + ".json")
        if path.name.endswith(".pose.json") and beside.is_file():
            known = json.loads(beside.read_bytes())
            return Posed(poses, (int(known["height"]), int(known["width"])))
        return framed(poses)
    root, colon, key = told.rpartition(":")
    if not colon:
        raise UsageError(f"--pose {told}: give a {{key}}.pose.json, or ROOT:KEY")
    with humanverse.open(root, ["poses", "meta"]) as dataset:
        try:
            found: dict[str, Any] = dataset[key]
        except (KeyError, DataError) as error:
            raise UsageError(f"--pose {told}: {error.args[0]}") from error
    if "poses" not in found:
        raise UsageError(f"--pose {told}: the sample holds no pose")
    return Posed(found["poses"], (int(found["meta"]["height"]), int(found["meta"]["width"])))


def framed(poses: NDArray[np.float32]) -> Posed:
    """People in the middle of a square."""
    sure = poses[poses[..., 2] > 0][:, :2]
    if not len(sure):
        raise UsageError("--pose: nobody is seen in it")
    low, high = sure.min(0), sure.max(0)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    moved = poses.copy()
    moved[..., :2] += side / 2 - (low + high) / 2
    return Posed(moved, (max(1, round(side)),) * 2)


def drawn(posed: Posed, side: int, count: int) -> NDArray[np.uint8]:
    """Skeletons (count, side, side, 3) of the picture's largest square."""
    view: View = largest(posed.size, (side, side))
    return np.stack([skeleton(view.poses(posed.poses), side, side)] * count)


def written(samples: Painted, out: Path, names: Sequence[str]) -> Iterator[Path]:
    """A file a sample and branch, by its name: where the picture is there, all others are."""
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        stem = out / name
        if samples.depth is not None:
            data, scale, offset = encode_depth(samples.depth[number])
            told = {"kind": "disparity", "scale": scale, "offset": offset}
            stem.with_suffix(".depth.png").write_bytes(data)
            stem.with_suffix(".json").write_text(json.dumps({"depth": told}) + "\n")
            yield stem.with_suffix(".depth.png")
        if samples.normals is not None:
            stem.with_suffix(".normal.png").write_bytes(encode_normals(samples.normals[number]))
            yield stem.with_suffix(".normal.png")
        yield _png(stem.with_suffix(".png"), samples.rgb[number])


def shown_to_pixels(shown: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures (N, H, W, 3) as (N, 3, H, W) in [-1, 1]."""
    return bytes_to_pixels(torch.from_numpy(shown).movedim(-1, 1))


def as_asked(painter: Painter, asked: Asked) -> Painter:
    """With the steps and the guidance that are asked for."""
    run = painter.training.run
    if asked.steps is not None:
        run = replace(run, sample_steps=asked.steps)
    if asked.guidance is not None:
        run = replace(run, guidance=asked.guidance)
    return replace(painter, training=replace(painter.training, run=run))


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    parts = picture.reshape(height // 2, 2, width // 2, 2, 3)
    return np.asarray(np.round(parts.mean(axis=(1, 3))), np.uint8)


def _png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    write_png(path, pixels)
    return path
