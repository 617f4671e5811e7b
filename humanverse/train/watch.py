"""What a run tells: a bar on a terminal, JSON lines elsewhere, and its log on disk.

`log.jsonl` in the run's folder has a line for each step that is told. Where a run goes on from an
earlier checkpoint, the lines beyond it are taken back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.terminal import Steps
from humanverse.train.grid import write_png
from humanverse.train.settings import Training
from humanverse.train.trainee import Learned
from humanverse.train.world import World

LOG = "log.jsonl"


class Tracker(Protocol):
    """Somebody else who is told."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""
        ...

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """A grid of samples (H, W, 3)."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class Watch:
    """Tells of steps; on rank 0 alone, but all ranks must call it."""

    def __init__(self, out: Path, training: Training, world: World, done: int) -> None:
        self.out, self.training, self.world = out, training, world
        self.last, self.at, self.waited = done, time.monotonic(), 0.0
        self.tracker: Tracker | None = None
        self.bar: Steps | None = None
        if world.rank == 0:
            out.mkdir(parents=True, exist_ok=True)
            self.tracker = tracker(training, out)
            self.bar = Steps(done, training.optim.steps)
            _shorten(out / LOG, done)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this rank waits for the loader."""
        begun = time.monotonic()
        yield
        self.waited += time.monotonic() - begun

    def step(self, number: int, learned: Learned) -> None:
        """Tell of a step."""
        losses = self.world.mean(learned.losses).tolist()
        now = time.monotonic()
        took = max(now - self.at, 1e-9)
        rate, waited = (number - self.last) * self.training.optim.batch_size / took, self.waited
        self.last, self.at, self.waited = number, now, 0.0
        values = {
            "loss": sum(losses),
            **dict(zip(self.training.network.branches, losses, strict=True)),
        }
        values |= {"gradient": _number(learned.gradient), "samples_per_second": rate}
        values["loader_share"] = waited / took
        if self.bar is None or self.tracker is None:
            return
        line = {"step": number} | {name: float(f"{value:.6g}") for name, value in values.items()}
        with (self.out / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.bar.tell(line)
        self.tracker.numbers(number, values)

    def picture(self, number: int, pixels: NDArray[np.uint8] | None) -> None:
        """Keep a grid of samples, in `samples/` of the run's folder."""
        if pixels is not None and self.tracker is not None:
            write_png(self.out / "samples" / f"step-{number:08d}.png", pixels)
            self.tracker.picture(number, pixels)
        self.at, self.waited = time.monotonic(), 0.0

    def close(self) -> None:
        """The end."""
        if self.bar is not None and self.tracker is not None:
            self.bar.close()
            self.tracker.close()


@contextmanager
def opened(out: Path, training: Training, world: World, done: int) -> Iterator[Watch]:
    """A watch over a run that has done some steps."""
    watch = Watch(out, training, world, done)
    try:
        yield watch
    finally:
        watch.close()


class Nobody:
    """No tracker."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:  # noqa: D102
        pass

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:  # noqa: D102
        pass

    def close(self) -> None:  # noqa: D102
        pass


class TensorBoard:
    """Event files in the run's folder, for `tensorboard --logdir`."""

    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(out / "tensorboard"))

    def numbers(self, step: int, values: Mapping[str, float]) -> None:  # noqa: D102
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:  # noqa: D102
        self.writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self) -> None:  # noqa: D102
        self.writer.close()


class WeightsAndBiases:
    """A run of wandb, offline unless WANDB_MODE says otherwise."""

    def __init__(self, out: Path, training: Training) -> None:
        import importlib
        import os

        # By name, since type checkers need not have it.
        wandb = importlib.import_module("wandb")
        os.environ.setdefault("WANDB_MODE", "offline")
        self.run: Any = wandb.init(project="humanverse", dir=str(out), config=training.to_json())
        self.image: Any = wandb.Image

    def numbers(self, step: int, values: Mapping[str, float]) -> None:  # noqa: D102
        self.run.log(dict(values), step=step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:  # noqa: D102
        self.run.log({"samples": self.image(pixels)}, step=step)

    def close(self) -> None:  # noqa: D102
        self.run.finish()


def tracker(training: Training, out: Path) -> Tracker:
    """Whom the settings ask to tell.

    Raises:
        UsageError: its package is not installed.
    """
    name = training.run.tracker
    try:
        if name == "tensorboard":
            return TensorBoard(out)
        return WeightsAndBiases(out, training) if name == "wandb" else Nobody()
    except ImportError as error:
        raise UsageError(f"run.tracker={name}: install the package {name} first") from error


def _shorten(log: Path, done: int) -> None:
    """Keep the lines up to a step; one that was cut short goes too."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= done:
                kept.append(line)
        except (ValueError, LookupError):
            continue
    log.write_text("".join(f"{line}\n" for line in kept))


def _number(value: torch.Tensor) -> float:
    full = value.full_tensor() if hasattr(value, "full_tensor") else value
    return float(full)
