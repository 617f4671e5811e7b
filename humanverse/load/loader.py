"""Batches for training, in an order that nothing but seed, epoch and position decides.

Threads read and decode: codecs let go of the GIL, and nothing has to be sent between processes.
Where a run stands is told by three numbers; taken up again, with as many ranks and workers as there
are then, it goes on with the batch it would have seen next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from humanverse.errors import DataError, UsageError
from humanverse.load.order import Batches, Last, Order, replacement, sample_random
from humanverse.load.samples import Samples
from humanverse.load.view import Sample, Size, View, drawn, largest

Batch = dict[str, Any]
"""Of each column a list, or one array where all its values are of one shape."""
Transform = Callable[[Sample, np.random.Generator], Sample]
Broken = Literal["raise", "replace"]

STATE = "humanverse.loader.v1"
AHEAD = 2
"""Batches that are being read while one is used."""
TRIES = 8
"""Samples tried in a broken one's place."""


@dataclass(frozen=True)
class Reading:
    """How batches are made, apart from where in the epoch they are."""

    batch_size: int
    """Samples of a batch, over all ranks together."""
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    workers: int = 4
    """Threads."""
    last: Last = "drop"
    """What becomes of samples that do not fill the last batch; the same for every number of ranks.
    """
    image_size: int | tuple[int, int] | None = None
    """Side, or height and width, at which pictures and labels come; None leaves each its own."""
    crop: Literal["centre", "random"] = "centre"
    """random: another crop each epoch, mirrored every second time."""
    transform: Transform | None = None
    """What else is done to a sample, with random numbers of its own."""
    broken: Broken = "raise"
    """replace: where a sample cannot be read another one takes its place, and is counted."""

    def size(self) -> tuple[int, int] | None:
        """Height and width."""
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size


class Loader:
    """An iterator over the batches of an epoch; iterated again, over those of the next."""

    def __init__(self, dataset: Samples, reading: Reading, epoch: int = 0) -> None:
        """Begin an epoch. Nothing is read before it is iterated.

        Raises:
            UsageError: batches of this size cannot be, or nothing would be in one.
        """
        self.dataset, self.reading, self.epoch = dataset, reading, epoch
        self.batch = 0
        """Number of the batch that comes next."""
        self.replaced: dict[str, str] = {}
        """Samples that could not be read, by key, with what was wrong, since this loader was made.
        """
        if reading.workers < 1:
            raise UsageError(f"workers={reading.workers}: 1 or more read")
        if not len(self):
            raise UsageError(
                f"{len(dataset)} samples make no batch of {reading.batch_size}: "
                "take a smaller one, or last='keep'"
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._batches())

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: of constant size, and the same on every rank."""
        return {
            "schema": STATE,
            "seed": self.reading.seed,
            "epoch": self.epoch,
            "batch": self.batch,
            "batch_size": self.reading.batch_size,
            "samples": len(self.dataset),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader stood, whatever its ranks and workers were.

        Raises:
            UsageError: it read other samples, or in other batches or another order.
        """
        mine = self.state_dict()
        for name in ("schema", "seed", "batch_size", "samples"):
            if state.get(name) != mine[name]:
                raise UsageError(
                    f"the state is of {name}={state.get(name)}, and this loader of {mine[name]}: "
                    "it would see other batches"
                )
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left of the epoch. At its end the next one begins."""
        batches, pool = self._batches(), ThreadPoolExecutor(self.reading.workers, "load")
        samples = self.dataset.at_epoch(self.reading.seed, self.epoch)
        order = Order(
            len(self.dataset),
            seed=self.reading.seed,
            epoch=self.epoch,
            shuffle=self.reading.shuffle,
        )
        waiting: deque[list[Future[Sample]]] = deque()
        following = iter(range(self.batch, len(batches)))
        try:
            while True:
                while len(waiting) <= AHEAD and (number := next(following, None)) is not None:
                    places = order[batches[number]].tolist()
                    waiting.append([pool.submit(self._sample, samples, place) for place in places])
                if not waiting:
                    break
                made = collated([future.result() for future in waiting.popleft()])
                self.batch += 1
                yield made
            self.epoch, self.batch = self.epoch + 1, 0
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _batches(self) -> Batches:
        told = self.reading
        return Batches(len(self.dataset), told.batch_size, told.rank, told.world, told.last)

    def _sample(self, samples: Samples, number: int) -> Sample:
        """A sample, or what stands in for it."""
        for attempt in range(TRIES):
            try:
                return self._seen(samples, number)
            except DataError as error:
                if self.reading.broken == "raise" or attempt == TRIES - 1:
                    raise
                self.replaced[samples.key(number)] = str(error)
                count = len(samples)
                number = replacement(self.reading.seed, self.epoch, number, attempt) % count
        raise AssertionError  # the last attempt raised

    def _seen(self, samples: Samples, number: int) -> Sample:
        random = sample_random(self.reading.seed, self.epoch, samples.key(number))
        size = self.reading.size()

        def choose(shape: Size) -> View:
            assert size is not None
            random_crop = self.reading.crop == "random"
            return drawn(shape, size, random) if random_crop else largest(shape, size)

        sample = samples.look(number, choose if size else None)
        return self.reading.transform(sample, random) if self.reading.transform else sample


def collated(samples: Sequence[Sample]) -> Batch:
    """Samples as a batch: arrays of one shape are stacked, all else stands in lists.

    A column that only some samples have is null for the others. People differ in number, so `poses`
    is a list, unless every sample shows one.
    """
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: _together([sample.get(name) for sample in samples]) for name in names}


def _together(values: list[Any]) -> Any:
    if values and all(isinstance(value, np.ndarray) for value in values):
        first = values[0]
        if all(v.shape == first.shape and v.dtype == first.dtype for v in values):
            return np.stack(values)
    return values
