"""What each batch of an epoch is made of: samples in order, one size for each batch.

Pictures of several shapes are not squeezed into one: each sample goes where its aspect fits best,
each bucket is read in an order of its own, and batches of all buckets follow one another at random.
Everything follows from seed, epoch and the number of a batch, as it does without buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.load.order import Batches, Last, Order, Places, batch_order
from humanverse.load.view import Size


@dataclass(frozen=True)
class Bucket:
    """Samples that are seen at one size."""

    size: Size | None
    members: Places | None
    """Numbers of its samples, ascending; all if None."""
    count: int


class Schedule:
    """The batches of one epoch for one rank."""

    def __init__(
        self,
        buckets: Sequence[Bucket],
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: tuple[int, int] = (0, 1),
        last: Last = "drop",
    ) -> None:
        """Cut buckets into batches. `share` is a rank, and how many there are.

        Raises:
            UsageError: batches of this size cannot be.
        """
        rank, world = share
        self._buckets = buckets
        self._batches = [Batches(b.count, batch_size, rank, world, last) for b in buckets]
        self._orders = [
            Order(b.count, seed=seed, epoch=epoch, shuffle=shuffle, bucket=number)
            for number, b in enumerate(buckets)
        ]
        self._first = np.cumsum([0, *map(len, self._batches)])
        """Number of each bucket's first batch, before they are mixed."""
        mixed = shuffle and len(buckets) > 1
        self._mixed = batch_order(seed, epoch, len(self)) if mixed else None

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, batch: int) -> tuple[Places, Size | None]:
        """The samples of this rank's part of a batch, and the size at which they are seen."""
        if not 0 <= batch < len(self):
            raise IndexError(f"batch {batch} of {len(self)}")
        batch = batch if self._mixed is None else int(self._mixed[batch])
        number = int(np.searchsorted(self._first, batch, "right")) - 1
        bucket = self._buckets[number]
        places = self._batches[number][batch - int(self._first[number])]
        samples = self._orders[number][places]
        return samples if bucket.members is None else bucket.members[samples], bucket.size


def aspect_sizes(side: int, step: int = 64, widest: float = 2.0) -> list[Size]:
    """Heights and widths of about side x side pixels: multiples of `step`, up to an aspect.

    >>> aspect_sizes(512, widest=1.5)
    [(576, 448), (512, 512), (448, 576)]

    Raises:
        UsageError: the side is no multiple of the step.
    """
    if step < 1 or side < step or side % step or widest < 1:
        raise UsageError(f"no sizes of {side} by steps of {step} are up to {widest} wide")
    found = set()
    for width in range(step, round(side * widest) + 1, step):
        height = max(step, side * side // width // step * step)
        found |= {(height, width), (width, height)}
    return sorted((s for s in found if max(s) <= widest * min(s)), key=lambda s: s[1] / s[0])


def bucketed(sizes: NDArray[np.integer[Any]], buckets: Sequence[Size]) -> list[Bucket]:
    """Samples of sizes (n, 2), height and width, each in the bucket nearest in aspect."""
    aspects = np.log(sizes[:, 1] / sizes[:, 0])
    wanted = np.log([width / height for height, width in buckets])
    ranks = np.argsort(wanted, kind="stable")
    between = (wanted[ranks][1:] + wanted[ranks][:-1]) / 2
    nearest = ranks[np.searchsorted(between, aspects)]
    members = [np.flatnonzero(nearest == number) for number in range(len(buckets))]
    return [Bucket(size, own, len(own)) for size, own in zip(buckets, members, strict=True)]
