"""All pairs of 64-bit hashes that differ in few bits, exactly, without comparing all with all.

The pigeonhole of Manku, Jain and Das Sarma (WWW 2007): of m blocks of bits, two hashes that differ
in d bits agree on at least m - d whole ones. So for each choice of m - d blocks these are moved to
the front, the hashes are sorted, and only those that agree there are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

BITS = 64
ALL = (1 << BITS) - 1
MOST_BLOCKS = 16
MOST_FRONT = 22
"""Bits of which there is room for a table of all values."""
SORTING = 8
"""What it costs to arrange and sort a hash, in comparisons of two."""
CALL = 20_000
"""What an order costs however few there are."""
LONG = 4096
"""Hashes that agree on some blocks, from which on they are told apart by the bits that differ among
them first."""
DEPTH = 2
"""How often; then each is compared with each."""
SLAB = 1 << 17
"""Hashes of which the comparisons are in memory at a time."""


def pairs_within(hashes: Hashes, distance: int) -> Places:
    """Every pair that differs in at most so many bits.

    Args:
        hashes: (n,), sorted, no two of them equal.
        distance: bits, from 0.

    Returns:
        (pairs, 2) places, the smaller first, sorted.
    """
    found = list(_search(hashes, distance))
    pairs = np.concatenate([np.zeros((0, 2), np.uint64), *found])
    return _places(np.searchsorted(hashes, np.sort(pairs, axis=1)))


def pairs_between(hashes: Hashes, others: Hashes, distance: int) -> Places:
    """Every pair of one of each that differs in at most so many bits.

    Args:
        hashes: (n,).
        others: (m,), sorted, no two of them equal.
        distance: bits, from 0.

    Returns:
        (pairs, 2): place in `hashes`, place in `others`, sorted.
    """
    found = [np.zeros((0, 2), np.int64)]
    for order in _orders(ALL, distance, len(others), len(hashes)):
        theirs = np.sort(order.applied(others))
        edges = _edges(theirs >> order.behind, order.front)
        for start in range(0, len(hashes), SLAB):
            mine = order.applied(hashes[start : start + SLAB])
            front = (mine >> order.behind).astype(np.int64)
            at, after = edges[front], edges[front + 1]
            active = np.flatnonzero(after > at)
            while active.size:
                near = np.bitwise_count(mine[active] ^ theirs[at[active]]) <= distance
                hit = active[near]
                place = np.searchsorted(others, order.undone(theirs[at[hit]]))
                found.append(np.stack([hit + start, place], 1))
                at[active] += 1
                active = active[after[active] > at[active]]
    return _places(np.concatenate(found))


def distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each value once, sorted. NumPy's own hashes them, which takes ten times as long."""
    values = np.sort(values)
    return values[np.r_[True, values[1:] != values[:-1]]] if len(values) else values


@dataclass(frozen=True)
class _Order:
    """The 64 bits in another order."""

    parts: Sequence[tuple[int, int]]
    """Lowest bit and width of each, from the front."""
    front: int
    """Bits in front by which hashes are sorted."""

    @property
    def behind(self) -> np.uint64:
        """The other bits."""
        return np.uint64(BITS - self.front)

    def applied(self, values: Hashes) -> Hashes:
        """The values in this order."""
        return _moved(values, self._moves())

    def undone(self, values: Hashes) -> Hashes:
        """The values as they were."""
        return _moved(values, ((to, start, width) for start, to, width in self._moves()))

    def _moves(self) -> Iterator[tuple[int, int, int]]:
        to = BITS
        for start, width in self.parts:
            to -= width
            yield start, to, width


def _moved(values: Hashes, moves: Iterable[tuple[int, int, int]]) -> Hashes:
    out = np.zeros_like(values)
    for start, to, width in moves:
        part = values >> np.uint64(start)
        part &= np.uint64((1 << width) - 1)
        part <<= np.uint64(to)
        out |= part
    return out


def _search(hashes: Hashes, distance: int, depth: int = 0) -> Iterator[Hashes]:
    """Pairs of hashes; some twice."""
    if len(hashes) < 2 or distance < 1:
        return
    differ = int(np.bitwise_or.reduce(hashes ^ hashes[0]))
    for order in _orders(differ if depth < DEPTH else 0, distance, len(hashes)):
        values = np.sort(order.applied(hashes))
        fronts = values >> order.behind if order.front else np.zeros_like(values)
        starts = np.flatnonzero(np.r_[True, fronts[1:] != fronts[:-1]])
        sizes = np.diff(np.r_[starts, len(values)])
        del fronts
        long = (sizes > LONG) & (order.front > 0)
        for start, size in zip(starts[long], sizes[long], strict=True):
            for pairs in _search(values[start : start + size], distance, depth + 1):
                yield order.undone(pairs)
        left = np.repeat(np.where(long, 0, starts + sizes), sizes) - np.arange(len(values)) - 1
        for pairs in _compared(values, left, distance):
            yield order.undone(pairs)


def _compared(values: Hashes, left: Places, distance: int) -> Iterator[Hashes]:
    """Each value against as many of the next ones as `left` says, and perhaps more."""
    for start in range(0, len(values), SLAB):
        mine = left[start : start + SLAB]
        active, step = np.flatnonzero(mine > 0), 1
        while active.size:
            if active.size * 4 > SLAB:  # most of them: side by side, without looking them up
                end = min(start + SLAB, len(values) - step)
                apart = np.bitwise_count(values[start:end] ^ values[start + step : end + step])
                near = np.flatnonzero(apart <= distance) + start
            else:
                at = active + start
                apart = np.bitwise_count(values[at] ^ values[at + step])
                near = at[apart <= distance]
            if near.size:
                yield np.stack([values[near], values[near + step]], 1)
            step += 1
            active = active[mine[active] >= step]


def _orders(differ: int, distance: int, number: int, asked: int | None = None) -> Iterator[_Order]:
    """Choices of blocks: two hashes within the distance agree in front in one of these orders.

    Args:
        differ: the bits in which any of the hashes differ.
        distance: bits.
        number: hashes that are sorted.
        asked: hashes that are held against them; the same ones if None.
    """
    free = [bit for bit in reversed(range(BITS)) if differ >> bit & 1]
    rest = [bit for bit in reversed(range(BITS)) if not differ >> bit & 1]
    against = number if asked is None else asked
    room = len(free) if asked is None else MOST_FRONT

    def cost(blocks: int) -> float:
        agreed = min(len(free) * (blocks - distance) / blocks, room)
        compared = number * against / 2**agreed
        return math.comb(blocks, distance) * ((number + (asked or 0)) * SORTING + compared + CALL)

    most = min(len(free), max(MOST_BLOCKS, distance + 1))
    if distance >= most:
        yield _Order(_joined([*free, *rest]), 0)
        return
    count = min(range(distance + 1, most + 1), key=cost)
    edges = [len(free) * n // count for n in range(count + 1)]
    blocks = [free[low:high] for low, high in pairwise(edges)]
    for chosen in combinations(range(count), count - distance):
        front = [bit for n in chosen for bit in blocks[n]]
        behind = [bit for n, block in enumerate(blocks) if n not in chosen for bit in block]
        yield _Order(_joined([*front, *behind, *rest]), min(room, len(front)))


def _joined(bits: Sequence[int]) -> list[tuple[int, int]]:
    """Bits from the front as parts of neighbours: lowest bit and width of each."""
    parts: list[tuple[int, int]] = []
    for bit in bits:
        if parts and parts[-1][0] == bit + 1:
            parts[-1] = (bit, parts[-1][1] + 1)
        else:
            parts.append((bit, 1))
    return parts


def _edges(fronts: Hashes, bits: int) -> Places:
    """(2**bits + 1,): where in sorted fronts each possible one begins."""
    return np.searchsorted(fronts, np.arange((1 << bits) + 1, dtype=np.uint64))


def _places(pairs: Places) -> Places:
    """Each pair of places once, sorted."""
    packed = pairs.astype(np.uint64)
    once = distinct(packed[:, 0] << np.uint64(32) | packed[:, 1])
    return np.stack([once >> np.uint64(32), once & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)
