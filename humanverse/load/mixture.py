"""Several sources of samples as one: one after the other, or in shares of an epoch.

A mixture's epoch has a fixed number of samples, of which each part gives its share. A part is read
in passes, one behind the other without a gap: a pass is a permutation of all its samples, and an
epoch goes on in the pass where the one before stopped. So at any moment all samples of a part have
been seen equally often, but for one, whether an epoch takes a tenth of them or ten times all. Which
sample stands where follows from seed, epoch and number alone.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.load.order import Order
from humanverse.load.samples import Choose, Room, Samples
from humanverse.load.view import Sample

_PASSES: Final = 0x9A55
"""Parts the random numbers of passes from those of epochs."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sample of several sources comes from."""

    part: int
    samples: Samples
    number: int
    again: int = 0
    """How many passes of its part have begun in this epoch before its own."""

    def key(self) -> str:
        again = f"+{self.again}" if self.again else ""
        return f"{self.part}/{self.samples.key(self.number)}{again}"

    def told(self, sample: Sample) -> Sample:
        return sample | {"key": self.key(), "part": self.part}


class _Several(Samples):
    """Samples of several sources. Each says in `part` which one it is of."""

    parts: tuple[Samples, ...]

    @abstractmethod
    def _place(self, number: int) -> _Place: ...

    def key(self, number: int) -> str:
        """`PART/KEY`, and `+N` behind it in the Nth pass over its part after an epoch's first."""
        return self._place(number).key()

    def look(self, number: int, choose: Choose | None = None, out: Room | None = None) -> Sample:
        """A sample of one of the parts: see `Samples.look`."""
        place = self._place(number)
        return place.told(place.samples.look(place.number, choose, out))

    def __getitems__(self, numbers: Sequence[int]) -> list[Sample]:
        """Several samples: each part is asked once for all of its own."""
        places = [self._place(self._inside(number)) for number in numbers]
        groups: dict[int, list[int]] = {}
        for index, place in enumerate(places):
            groups.setdefault(id(place.samples), []).append(index)
        out: list[Sample] = [{} for _ in places]
        for indices in groups.values():
            samples = places[indices[0]].samples
            found = samples.__getitems__([places[index].number for index in indices])
            for index, sample in zip(indices, found, strict=True):
                out[index] = places[index].told(sample)
        return out

    def _mark(self, *words: object) -> str:
        told = "\n".join([*map(str, words), *(part.fingerprint() for part in self.parts)])
        digest = hashlib.sha256(told.encode()).hexdigest()[:16]
        return f"{type(self).__name__}:{len(self)}:{digest}"


class Concat(_Several):
    """All samples of several sources, one source after the other."""

    def __init__(self, *parts: Samples) -> None:
        self.parts = parts
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.parts else 0

    def at_epoch(self, seed: int, epoch: int) -> Samples:
        """The same, of what each part is made of then."""
        return Concat(*(part.at_epoch(seed, epoch) for part in self.parts))

    def sizes(self) -> NDArray[np.integer[Any]]:
        """Of each part's, if all of them know."""
        return np.concatenate([part.sizes() for part in self.parts])

    def fingerprint(self) -> str:
        """Of the parts and their order."""
        return self._mark()

    def _place(self, number: int) -> _Place:
        part = int(np.searchsorted(self._ends, number, "right"))
        samples = self.parts[part]
        return _Place(part, samples, number - int(self._ends[part]) + len(samples))


class Mixture(_Several):
    """An epoch of several sources, each with its share of it: see `mix`.

    Made anew by `at_epoch`, which a loader does by itself. As it comes it is epoch 0 of seed 0.
    """

    def __init__(
        self, parts: Sequence[Samples], shares: Sequence[int], *, seed: int = 0, epoch: int = 0
    ) -> None:
        """Take so many samples of each part an epoch.

        Raises:
            UsageError: a part has no samples, or would never give one.
        """
        for number, (part, share) in enumerate(zip(parts, shares, strict=True)):
            if not len(part):
                raise UsageError(f"part {number} of a mixture has no samples: leave it out")
            if share < 1:
                raise UsageError(
                    f"part {number} weighs too little to give a sample of an epoch of "
                    f"{sum(shares)}: take more samples, or leave it out"
                )
        self.parts, self.shares = tuple(parts), tuple(shares)
        self.seed, self.epoch = seed, epoch
        self._ends = np.cumsum(self.shares, dtype=np.int64)
        self._passes: dict[tuple[int, int], tuple[Samples, Order]] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.parts else 0

    def at_epoch(self, seed: int, epoch: int) -> Samples:
        """Its samples in an epoch."""
        return Mixture(self.parts, self.shares, seed=seed, epoch=epoch)

    def fingerprint(self) -> str:
        """Of the parts and their shares, and of no epoch."""
        return self._mark(*self.shares)

    def _place(self, number: int) -> _Place:
        part = int(np.searchsorted(self._ends, number, "right"))
        share, size = self.shares[part], len(self.parts[part])
        begun = self.epoch * share
        turn, position = divmod(begun + number - int(self._ends[part]) + share, size)
        samples, order = self._pass(part, turn)
        again = turn - begun // size
        return _Place(part, samples, int(order[position : position + 1][0]), again)

    def _pass(self, part: int, turn: int) -> tuple[Samples, Order]:
        """A part at one of its passes, and the order in which that gives its samples.

        Blocks are permuted and shuffled each in itself: neighbours stay near, and the epoch's own
        order mixes them further.
        """
        if (part, turn) not in self._passes:
            own = np.random.SeedSequence((self.seed, _PASSES, part)).generate_state(1)[0]
            order = Order(len(self.parts[part]), seed=int(own), epoch=turn, window=1)
            self._passes[part, turn] = self.parts[part].at_epoch(self.seed, turn), order
        return self._passes[part, turn]


def concat(*parts: Samples) -> Concat:
    """All samples of several sources, one source after the other.

    A sample's `key` is `PART/KEY` and its `part` the source's number, from 0.
    """
    return Concat(*parts)


def mix(weights: Mapping[Samples, float], samples: int | None = None) -> Mixture:
    """Sources in shares of an epoch.

    Over the epochs each source is read in whole passes: no sample comes again before all others of
    its source have come, and none is left out. An epoch of a source that gives more than it has
    shows samples several times, under keys of their own and with crops of their own.

    Args:
        weights: of each source, relative to the others.
        samples: of an epoch, over all sources; as many as they have together if None.

    Raises:
        UsageError: a weight is no positive number, or a source is empty or would never be read.
    """
    for part, weight in enumerate(weights.values()):
        if not 0 < weight < math.inf:
            raise UsageError(f"part {part} of a mixture weighs {weight}: more than 0 is wanted")
    if not weights:
        raise UsageError("a mixture of nothing: name at least one source and its weight")
    total = sum(map(len, weights)) if samples is None else samples
    if total < 1:
        raise UsageError(f"an epoch of {total} samples: 1 or more")
    return Mixture(list(weights), _shares(list(weights.values()), total))


def _shares(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers as near to the weights as can be, `total` together: largest remainders first.

    The order of equal ones is that of the weights.
    """
    exact = np.asarray(weights, np.float64) / max(weights)
    exact *= total / exact.sum()
    shares = np.floor(exact).astype(np.int64)
    behind = np.argsort(shares - exact, kind="stable")
    shares[behind[: total - int(shares.sum())]] += 1
    return [int(share) for share in shares]
