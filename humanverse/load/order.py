"""The order of an epoch: a pure function of seed, epoch and position.

Samples lie in blocks, as they lie in shards. Blocks are permuted, and some of them at a time (a
window) shuffled sample by sample, so that reading stays near and order does not. Who reads which
position is no part of it: ranks, workers and where a run was taken up again change nothing.

>>> order = Order(10, seed=0, epoch=0, block=2, window=2)
>>> sorted(order[0:10].tolist()) == list(range(10))
True
>>> order[3:7].tolist() == order[0:10].tolist()[3:7]
True
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError

BLOCK: Final = 64
"""Samples that lie side by side and are moved together: some megabytes."""
WINDOW: Final = 128
"""Blocks that are shuffled together: 8,192 samples, from 128 places of the dataset."""

Last = Literal["drop", "keep"]
"""What becomes of samples that do not fill the last batch of an epoch."""

_BLOCKS, _WINDOW, _SAMPLE, _REPLACEMENT, _BATCHES = range(5)
"""What random numbers are for: none are used twice."""

Places = NDArray[np.int64]


class Order:
    """The samples of an epoch, by position; a slice of positions gives their numbers."""

    def __init__(
        self,
        samples: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
        block: int = BLOCK,
        window: int = WINDOW,
        bucket: int = 0,
    ) -> None:
        """Permute the blocks of so many samples: 8 bytes for each block, and no more.

        Orders of several `bucket`s are drawn apart.

        Raises:
            UsageError: a number is less than it can be.
        """
        if min(samples, seed, epoch) < 0 or min(block, window) < 1:
            raise UsageError(
                f"no order of {samples} samples has seed={seed}, epoch={epoch}, block={block}, "
                f"window={window}"
            )
        self.samples, self.seed, self.epoch, self.shuffle = samples, seed, epoch, shuffle
        block = max(1, min(block, samples))  # one that reaches beyond the end is as good
        self._block, self._window = block, window
        count = -(-samples // block)
        self._bucket = bucket
        self._blocks = _random(seed, epoch, _BLOCKS, bucket).permutation(count)
        starts = np.arange(0, count, window, dtype=np.int64) * block
        # The last block may be shorter: windows behind the one that it is in begin sooner.
        short = np.flatnonzero(self._blocks == count - 1) // window
        starts[int(short.sum()) + 1 :] -= count * block - samples
        self._starts = np.append(starts, samples)
        """Position at which each window begins, and the end."""
        self._latest: tuple[int, Places] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, positions: slice) -> Places:
        """The numbers of the samples at some positions, (n,)."""
        start, stop, step = positions.indices(self.samples)
        if step != 1:
            raise UsageError("an order is read forwards, one position after the other")
        if not self.shuffle:
            return np.arange(start, max(start, stop))
        parts = [np.empty(0, np.int64)]
        while start < stop:
            number = int(np.searchsorted(self._starts, start, "right")) - 1
            first, until = self._starts[number : number + 2].tolist()
            parts.append(self._shuffled(number)[start - first : stop - first])
            start = until
        return np.concatenate(parts)

    def _shuffled(self, number: int) -> Places:
        """The samples of a window. The latest is kept: batches are smaller than windows."""
        kept, samples = self._latest
        if kept != number:
            blocks = self._blocks[number * self._window : (number + 1) * self._window]
            samples = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
            samples = samples[samples < self.samples]
            _random(self.seed, self.epoch, _WINDOW, self._bucket, number).shuffle(samples)
            self._latest = number, samples
        return samples


@dataclass(frozen=True, slots=True)
class Batches:
    """An epoch cut into batches, each over all ranks, and a rank's part of each."""

    samples: int
    size: int
    """Samples of a batch, over all ranks together."""
    rank: int = 0
    world: int = 1
    last: Last = "drop"

    def __post_init__(self) -> None:
        if self.size < 1 or self.world < 1 or not 0 <= self.rank < self.world:
            raise UsageError(
                f"no batches of {self.size} are read by rank {self.rank} of {self.world}"
            )
        if self.size % self.world:
            raise UsageError(
                f"a batch of {self.size} cannot be shared by {self.world} ranks evenly: "
                f"take {self.size // self.world * self.world or self.world}, or another multiple"
            )
        if self.last not in ("drop", "keep"):
            raise UsageError(f"last={self.last!r}: drop or keep")

    def __len__(self) -> int:
        """Batches of an epoch, the same for every rank."""
        whole, rest = divmod(self.samples, self.size)
        return whole + (self.last == "keep" and rest > 0)

    def __getitem__(self, number: int) -> slice:
        """Positions of this rank's part of a batch: in the order of ranks they are the batch.

        The last one may be shorter, and none of it left for the last ranks.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        share = self.size // self.world
        start = number * self.size + self.rank * share
        return slice(min(start, self.samples), min(start + share, self.samples))


def batch_order(seed: int, epoch: int, batches: int) -> Places:
    """The order in which batches of several buckets follow one another."""
    return _random(seed, epoch, _BATCHES).permutation(batches)


def sample_random(seed: int, epoch: int, key: str) -> np.random.Generator:
    """Random numbers of one sample in one epoch, for its augmentation, whoever reads it."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return _random(seed, epoch, _SAMPLE, *np.frombuffer(digest, "<u8").tolist())


def replacement(seed: int, epoch: int, sample: int, attempt: int) -> int:
    """A number that says who stands in for a sample that cannot be read, at each attempt."""
    return int(_random(seed, epoch, _REPLACEMENT, sample, attempt).integers(1 << 62))


def _random(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
