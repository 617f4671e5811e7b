"""A run of training: from a packed root to checkpoints, going on where it was ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import humanverse
from humanverse.errors import UsageError
from humanverse.load.loader import Loader
from humanverse.load.samples import Samples
from humanverse.load.schedule import aspect_sizes
from humanverse.recipe import versions
from humanverse.terminal import Progress
from humanverse.train import checkpoint
from humanverse.train.cached import levels_of, preferring
from humanverse.train.checkpoint import Checkpoint
from humanverse.train.examples import Example, Examples
from humanverse.train.latents import Levels, measured
from humanverse.train.parts import made
from humanverse.train.previews import Previews
from humanverse.train.settings import Training
from humanverse.train.start import begin_from
from humanverse.train.trainee import Trainee
from humanverse.train.watch import Watch, opened
from humanverse.train.world import World, joined

ASPECT_STEP = 64
"""Pixels by which the sides of pictures of several aspects differ."""
FEW = 16
"""Samples that are looked at together before training begins."""
MEASURED = 256
"""Samples that the latents' levels are measured on."""


@dataclass(frozen=True)
class Reader:
    """Reads a dataset as examples."""

    dataset: Samples
    examples: Examples
    training: Training

    def loader(self, world: World, size: int | None = None) -> Loader:
        """A rank's batches, one a part of a step, if no other size is told."""
        data, optim = self.training.data, self.training.optim
        sizes = aspect_sizes(data.image_size, ASPECT_STEP, data.widest) if data.widest > 1 else []
        return self.dataset.loader(
            size or optim.batch_size // optim.accumulate,
            seed=optim.seed,
            rank=world.rank,
            world=world.size,
            workers=data.workers,
            **({"buckets": sizes} if len(sizes) > 1 else {"image_size": data.image_size}),
            crop=data.crop,
            tensors="torch",
            pin=world.device.type == "cuda",
        )

    def first(self, count: int) -> Iterator[Example]:
        """Some samples as every rank sees them, the first of an epoch."""
        alone, size = World(0, 1, self.examples.device), min(FEW, len(self.dataset))
        square = replace(self.training, data=replace(self.training.data, crop="centre", widest=1.0))
        batches = iter(replace(self, training=square).loader(alone, size))
        for batch in islice(batches, -(-count // size)):
            yield self.examples(batch)


def train(training: Training, root: str | Path, out: Path, start: Path | None = None) -> int:
    """Train until the settings' last step, or until SIGTERM; gives the step that was reached.

    Args:
        training: the recipe.
        root: a packed root.
        out: the run's folder: a checkpoint there is gone on from.
        start: a checkpoint, or a run, of whose network a new run's begins.

    Raises:
        UsageError: the settings cannot be, or are others than those the run began with.
        DataError: the dataset or the checkpoint is damaged.
    """
    with joined(training.run.device) as world:
        parts = made(training)
        examples = Examples(training, parts.autoencoder, parts.text, world.device)
        with humanverse.open(root, split=training.data.split) as held:
            examples, why = preferring(examples, held)
            for line in why if world.rank == 0 else ():
                Progress().says(f"encoding as it goes: {line}")
            dataset = held.only(examples.columns())
            reader = Reader(dataset, examples, training)
            loader = reader.loader(world)
            last = checkpoint.latest(out)
            if last is not None:
                agree(training, last)
                levels = Levels.of_json(last.state["levels"])
            else:
                levels = levels_of(examples, held) or measured(
                    example.latents for example in reader.first(MEASURED)
                )
                if start is not None:
                    begin_from(parts.network, checkpoint.opened(start))
            trainee = Trainee(training, parts, levels, world)
            done = 0
            if last is not None:
                trainee.load({name: last.tensors(name) for name in trainee.FILES})
                loader.load_state_dict(last.state["loader"])
                done = int(last.state["step"])
            previews = Previews(reader.first(training.run.samples), parts, levels, training)
            with opened(out, training, world, done) as watch:
                return _steps(trainee, loader, examples, watch, previews, out, done)


def _steps(
    trainee: Trainee,
    loader: Loader,
    examples: Examples,
    watch: Watch,
    previews: Previews,
    out: Path,
    done: int,
) -> int:
    training, batches = trainee.training, endless(loader)
    optim, run = training.optim, training.run
    with asked_to_stop() as asked:
        for number in range(done + 1, optim.steps + 1):
            with watch.waiting():
                read = list(islice(batches, optim.accumulate))
            parts = [examples(batch) for batch in read]
            learned = trainee.step(number, parts)
            stops = trainee.world.any(asked())
            last = number == optim.steps or stops
            if number % run.log_every == 0 or last:
                watch.step(number, learned)
            if number % run.save_every == 0 or last:
                save(trainee, loader, out, number)
            if stops:
                return number
            if run.sample_every and (number % run.sample_every == 0 or last):
                watch.picture(number, previews.painted(trainee))
    return max(done, optim.steps)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Says whether SIGTERM came, as when a job's time is up; the step at hand is finished."""
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number)) if here else None
    try:
        yield lambda: bool(came)
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


def save(trainee: Trainee, loader: Loader, out: Path, number: int) -> None:
    """Write a checkpoint of a step, and remove old ones."""
    files = trainee.tensors()
    if trainee.world.rank == 0:
        state = {
            "training": trainee.training.to_json(),
            "loader": loader.state_dict(),
            "levels": trainee.levels.to_json(),
            "versions": versions(),
        }
        checkpoint.save(out, number, files, state)
        checkpoint.prune(out, trainee.training.run.keep)
    trainee.world.wait()


def endless(loader: Loader) -> Iterator[dict[str, Any]]:
    """Batches, epoch after epoch."""
    while True:
        yield from loader


def agree(training: Training, last: Checkpoint) -> None:
    """See that a run goes on as it began; how long, how fast and where may change.

    Raises:
        UsageError: a setting that decides what is learned differs.
    """
    before = Training.of_json(last.state["training"])
    now = training.optim
    optim = replace(before.optim, steps=now.steps, rate=now.rate, cooldown=now.cooldown)
    before = replace(before, name=training.name, optim=optim, run=training.run)
    for name, section in training.sections().items():
        other = before.sections()[name]
        for field, value in vars(section).items():
            if vars(other)[field] != value:
                raise UsageError(
                    f"{last.folder.parent.parent} was begun with {name}.{field}="
                    f"{vars(other)[field]}, not {value}: give that, or another folder"
                )
