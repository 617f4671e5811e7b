"""Batches for training, in an order that nothing but seed, epoch and position decides.

Threads read and decode: codecs let go of the GIL, and nothing has to be sent between processes.
Where a run stands is told by a few numbers; taken up again, with as many ranks and workers as there
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
from humanverse.load.batch import Batch, Gathered, Tensors, as_torch
from humanverse.load.order import Last, replacement, sample_random
from humanverse.load.samples import Room, Samples
from humanverse.load.schedule import Bucket, Schedule, bucketed
from humanverse.load.view import Sample, Size, View, drawn, largest

Transform = Callable[[Sample, np.random.Generator], Sample]
Broken = Literal["raise", "replace"]

STATE = "humanverse.loader.v1"
AHEAD = 2
"""Batches that are being read while one is used."""
TASKS = 4
"""Parts of a batch for each thread: enough that none is left idle, few enough to cost nothing."""
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
    image_size: int | Size | None = None
    """Side, or height and width, at which pictures and labels come; None leaves each its own."""
    buckets: Sequence[Size] | None = None
    """Several sizes, in place of `image_size`: a batch comes at one of them, and is made of samples
    of such an aspect. See `humanverse.load.schedule.aspect_sizes`.
    """
    crop: Literal["centre", "random"] = "centre"
    """random: another crop each epoch, mirrored every second time."""
    transform: Transform | None = None
    """What else is done to a sample, with random numbers of its own."""
    broken: Broken = "raise"
    """replace: where a sample cannot be read another one takes its place, and is counted."""
    tensors: Tensors = "numpy"
    """torch: tensors in place of arrays, channels first."""
    pin: bool = False
    """Whether tensors lie in memory that a GPU can fetch from."""

    def sizes(self) -> list[Size] | None:
        """Heights and widths of batches; None where samples keep their own."""
        if self.buckets is not None:
            return [tuple(size) if isinstance(size, list) else size for size in self.buckets]
        size = self.image_size
        if size is None:
            return None
        return [(size, size) if isinstance(size, int) else size]


class Loader:
    """An iterator over the batches of an epoch; iterated again, over those of the next."""

    def __init__(self, dataset: Samples, reading: Reading, epoch: int = 0) -> None:
        """Begin an epoch. Nothing is read before it is iterated.

        Raises:
            UsageError: batches of this size cannot be, or nothing would be in one.
        """
        _check(reading)
        self.dataset, self.reading, self.epoch = dataset, reading, epoch
        self.batch = 0
        """Number of the batch that comes next."""
        self.replaced: dict[str, str] = {}
        """Samples that could not be read, by key, with what was wrong, since this loader was made.
        """
        self._buckets = self._cut()
        if not len(self):
            raise UsageError(
                f"{len(dataset)} samples make no batch of {reading.batch_size}: "
                "take a smaller one, or last='keep'"
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._schedule())

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: of constant size, and the same on every rank."""
        told = self.reading
        return {
            "schema": STATE,
            "epoch": self.epoch,
            "batch": self.batch,
            "seed": told.seed,
            "batch_size": told.batch_size,
            "shuffle": told.shuffle,
            "last": told.last,
            "buckets": None if told.buckets is None else [list(size) for size in told.buckets],
            "dataset": self.dataset.fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader stood, whatever its ranks and workers were.

        Raises:
            UsageError: it read other samples, or in other batches or another order.
        """
        mine = self.state_dict()
        for name in mine.keys() - {"epoch", "batch"}:
            if state.get(name) != mine[name]:
                raise UsageError(
                    f"the state is of {name}={state.get(name)}, and this loader of {mine[name]}: "
                    "it would see other batches"
                )
        if not 0 <= state["batch"] <= len(self) or state["epoch"] < 0:
            raise UsageError(f"an epoch has {len(self)} batches, and the state is of {state}")
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left of the epoch. At its end the next one begins."""
        schedule, pool = self._schedule(), ThreadPoolExecutor(self.reading.workers, "load")
        samples = self.dataset.at_epoch(self.reading.seed, self.epoch)
        following = iter(range(self.batch, len(schedule)))
        waiting: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(waiting) <= AHEAD and (number := next(following, None)) is not None:
                    waiting.append(self._ask(pool, samples, *schedule[number]))
                if not waiting:
                    break
                made = waiting.popleft().result()
                self.batch += 1
                yield made
            self.epoch, self.batch = self.epoch + 1, 0
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _cut(self) -> list[Bucket]:
        if self.reading.buckets is None:
            sizes = self.reading.sizes()
            return [Bucket(sizes[0] if sizes else None, None, len(self.dataset))]
        return bucketed(self.dataset.sizes(), self.reading.buckets)

    def _schedule(self) -> Schedule:
        told = self.reading
        return Schedule(
            self._buckets,
            batch_size=told.batch_size,
            seed=told.seed,
            epoch=self.epoch,
            shuffle=told.shuffle,
            share=(told.rank, told.world),
            last=told.last,
        )

    def _ask(
        self, pool: ThreadPoolExecutor, samples: Samples, numbers: Any, size: Size | None
    ) -> Future[Batch]:
        """Have a batch made, in parts."""
        each = max(1, len(numbers) // (self.reading.workers * TASKS))
        made = Gathered(len(numbers))
        parts = [
            pool.submit(self._read, samples, numbers.tolist(), slice(at, at + each), size, made)
            for at in range(0, len(numbers), each)
        ]
        # Parts that it waits for were taken up before it: no thread waits for what is not begun.
        return pool.submit(self._finish, parts, made)

    def _finish(self, parts: Sequence[Future[None]], made: Gathered) -> Batch:
        for part in parts:
            part.result()
        batch = made.batch()
        return as_torch(batch, self.reading.pin) if self.reading.tensors == "torch" else batch

    def _read(
        self,
        samples: Samples,
        numbers: Sequence[int],
        rows: slice,
        size: Size | None,
        made: Gathered,
    ) -> None:
        """Read some rows of a batch."""
        for row, number in enumerate(numbers[rows], start=rows.start):
            room = made.room(row)
            made.put(row, self._sample(samples, number, size, room), room)

    def _sample(self, samples: Samples, number: int, size: Size | None, out: Room) -> Sample:
        """A sample, or what stands in for it."""
        for attempt in range(TRIES):
            try:
                return self._seen(samples, number, size, out)
            except DataError as error:
                if self.reading.broken == "raise" or attempt == TRIES - 1:
                    raise
                self.replaced[samples.key(number)] = str(error)
                count = len(samples)
                number = replacement(self.reading.seed, self.epoch, number, attempt) % count
        raise AssertionError  # the last attempt raised

    def _seen(self, samples: Samples, number: int, size: Size | None, out: Room) -> Sample:
        told = self.reading
        if told.crop == "centre" and told.transform is None:
            cut = None if size is None else lambda of: largest(of, size)
            return samples.look(number, cut, out)
        random = sample_random(told.seed, self.epoch, samples.key(number))

        def choose(of: Size) -> View:
            assert size is not None
            return drawn(of, size, random) if told.crop == "random" else largest(of, size)

        sample = samples.look(number, None if size is None else choose, out)
        return sample if told.transform is None else told.transform(sample, random)


def _check(reading: Reading) -> None:
    if reading.workers < 1:
        raise UsageError(f"workers={reading.workers}: 1 or more read")
    if reading.buckets is not None and (reading.image_size is not None or not reading.buckets):
        raise UsageError("buckets are one size or more, in place of image_size")
    for size in reading.sizes() or ():
        sides = size if isinstance(size, Sequence) and len(size) == 2 else (0, 0)
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise UsageError(f"no picture comes at {size}: a height and a width are wanted")
    for name, known in (
        ("crop", ("centre", "random")),
        ("broken", ("raise", "replace")),
        ("tensors", ("numpy", "torch")),
    ):
        if getattr(reading, name) not in known:
            raise UsageError(f"{name}={getattr(reading, name)!r}: {' or '.join(known)}")
    if reading.pin and reading.tensors != "torch":
        raise UsageError("pin=True is of tensors: it needs tensors='torch'")
