"""One sample for each of many of a dataset: what an evaluation is made of.

A sample is a function of the checkpoint, the settings, its key and what the dataset says under
that key, so a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import humanverse
from humanverse.errors import UsageError
from humanverse.evaluate.choose import chosen, hash_of
from humanverse.load.dataset import Dataset
from humanverse.train import checkpoint as checkpoints
from humanverse.train.grid import write_png
from humanverse.train.painter import Painter, painted, restored
from humanverse.train.sample import (
    Asked,
    Posed,
    as_asked,
    drawn,
    refined,
    shown_to_pixels,
    written,
)
from humanverse.train.world import device_of

TOLD: Final = "painted.json"
"""How a folder's samples were painted."""
REFINED: Final = "refined"
"""The folder beside them for the second stage's pictures."""


@dataclass(frozen=True)
class Of:
    """Which samples of a dataset are painted."""

    root: str
    count: int | None = None
    """All, if None; else those that `humanverse evaluate` chooses by the same seed."""
    batch: int = 8


def paint_set(
    stages: tuple[Path, Path | None], out: Path, asked: Asked, of: Of, device: str = "auto"
) -> Iterator[Path]:
    """Paint what is missing in a folder; gives the files as they are written.

    A sample is `{key}.png`, `{key}.txt`, `{key}.depth.png` with `{key}.json`, and
    `{key}.normal.png`; with a refiner, `refined/{key}.png` and its `.txt`, too.

    Args:
        stages: checkpoints of the first and, perhaps, the second stage.
        out: the folder.
        asked: seed, steps, guidance and size; the rest is the dataset's to say.
        of: whose captions and poses.
        device: where.

    Raises:
        UsageError: there is no such checkpoint or dataset, or the folder holds other samples.
        DataError: one is damaged.
    """
    if of.batch < 1 or (asked.steps is not None and asked.steps < 1):
        raise UsageError("--batch and --steps are 1 or more")
    base, second = _painters(stages, asked, device)
    side = asked.size or base.training.data.image_size
    with humanverse.open(of.root, ["caption", "poses", "meta"]) as dataset:
        keys = _keys(dataset, of, asked.seed)
        _settle(out, stages, base, asked, side)
        left = [key for key in keys if not _is_there(out, key, second is not None)]
        for start in range(0, len(left), of.batch):
            samples = [dataset[key] for key in left[start : start + of.batch]]
            yield from _paint(base, second, samples, out, (side, asked.seed))


def _painters(
    stages: tuple[Path, Path | None], asked: Asked, device: str
) -> tuple[Painter, Painter | None]:
    where = device_of(device)
    base = as_asked(restored(stages[0], where), asked)
    if base.training.stage != "base":
        raise UsageError(f"{stages[0]} is a refiner: give it as --refiner")
    if stages[1] is None:
        return base, None
    second = as_asked(restored(stages[1], where), asked)
    if second.training.stage != "refiner":
        raise UsageError("--refiner: the checkpoint is of a first stage")
    return base, second


def _keys(dataset: Dataset, of: Of, seed: int) -> list[str]:
    there = dataset.to_table(["key"])["key"].to_pylist()
    if of.count is not None and not 1 <= of.count <= len(there):
        raise UsageError(f"--count {of.count}: {of.root} has {len(there)} samples")
    keys = chosen(there, of.count, seed)
    if keys and "poses" not in dataset[keys[0]]:
        raise UsageError(f"{of.root} holds no poses to paint by")
    return keys


def _settle(
    out: Path, stages: tuple[Path, Path | None], base: Painter, asked: Asked, side: int
) -> None:
    """Write down how samples are painted, or see that those which are there were painted so."""
    run = base.training.run
    told: dict[str, Any] = {
        "checkpoint": _weights(stages[0]),
        "refiner": None if stages[1] is None else _weights(stages[1]),
        "steps": run.sample_steps,
        "guidance": run.guidance,
        "size": side,
        "seed": asked.seed,
    }
    path = out / TOLD
    if path.is_file():
        known = json.loads(path.read_bytes())
        if other := sorted(name for name in told if known.get(name) != told[name]):
            raise UsageError(
                f"{out} holds samples of another {', '.join(other)}: give another --out"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    attempt = path.with_suffix(".attempt")
    attempt.write_text(json.dumps(told) + "\n")
    attempt.replace(path)


def _weights(checkpoint: Path) -> str:
    state = checkpoints.opened(checkpoint).state
    return str(state["files"]["average.safetensors"]["sha256"])


def _is_there(out: Path, key: str, is_refined: bool) -> bool:
    there = (out / f"{key}.png").is_file()
    return there and (not is_refined or (out / REFINED / f"{key}.png").is_file())


def _paint(
    base: Painter,
    second: Painter | None,
    samples: Sequence[dict[str, Any]],
    out: Path,
    asked: tuple[int, int],
) -> Iterator[Path]:
    """A batch, at a side and by a seed."""
    side, seed = asked
    keys = [sample["key"] for sample in samples]
    captions = [sample.get("caption") or "" for sample in samples]
    seeds = [hash_of(seed, key) for key in keys]
    maps = {"pose": shown_to_pixels(_skeletons(samples, side))}
    pixels = base.pixels(base.paint(base.given(captions, maps, side), seeds, (side, side)))
    if second is not None:
        finer = refined(second, pixels, _skeletons(samples, 2 * side), captions, seeds)
        for key, caption, picture in zip(keys, captions, finer.rgb, strict=True):
            yield _text(out / REFINED / f"{key}.txt", caption)
            write_png(out / REFINED / f"{key}.png", picture)
            yield out / REFINED / f"{key}.png"
    for key, caption in zip(keys, captions, strict=True):
        yield _text(out / f"{key}.txt", caption)
    yield from written(painted(pixels), out, keys)


def _skeletons(samples: Sequence[dict[str, Any]], side: int) -> NDArray[np.uint8]:
    """(N, side, side, 3), each of the middle square of its picture."""
    shown = []
    for sample in samples:
        size = int(sample["meta"]["height"]), int(sample["meta"]["width"])
        shown.append(drawn(Posed(sample["poses"], size), side, 1)[0])
    return np.stack(shown)


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return path
