"""Pairs of unit vectors that point almost the same way.

Few vectors are all held against each other. Many are first put into cells around some of them, each
into its two nearest, and compared there, as SemDeDup does (arXiv 2303.09540): a pair is missed
only if it shares neither.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from humanverse.select.hamming import distinct

Places = NDArray[np.int64]
Vectors = NDArray[np.floating]

ALL_WITH_ALL = 20_000
"""Vectors up to which none is missed."""
NEAREST = 2
SLAB = 4096
"""Vectors that are multiplied at a time."""


def pairs_alike(vectors: Vectors, order: NDArray[np.uint64], least: float) -> tuple[Places, Places]:
    """Nodes of equal vectors, and pairs of nodes that point almost the same way.

    Args:
        vectors: (n, d) of length 1.
        order: (n,) numbers at random that belong to the vectors: the least are centres of cells,
            so that the answer does not depend on the order of rows.
        least: cosine of a pair.

    Returns:
        (n,) node of each vector; (pairs, 2) nodes, the smaller first, sorted.
    """
    whole = np.ascontiguousarray(vectors)
    digests = (hashlib.blake2b(row.data, digest_size=8).digest() for row in whole)
    numbers = np.fromiter((int.from_bytes(d, "big") for d in digests), np.uint64, len(whole))
    once = distinct(numbers)
    node = np.searchsorted(once, numbers)
    one = np.empty(len(once), np.int64)
    one[node] = np.arange(len(node))
    # Of equal vectors any one's number would do, but it must be the same one for all orders.
    lowest = np.full(len(once), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, node, order)
    found = [np.zeros((0, 2), np.int64)]
    for members in _cells(whole[one], lowest):
        found.append(members[_within(whole[one[members]], least)])
    pairs = np.sort(np.concatenate(found), axis=1)
    return node, np.unique(pairs, axis=0)


def _cells(vectors: Vectors, order: NDArray[np.uint64]) -> list[Places]:
    """Places of the vectors of each cell; all in one if they are few."""
    count = len(vectors)
    if count <= ALL_WITH_ALL:
        return [np.arange(count)]
    centres = vectors[np.argsort(order)[: math.isqrt(count)]].astype(np.float32)
    cell = np.empty((count, NEAREST), np.int64)
    for start in range(0, count, SLAB):
        near = vectors[start : start + SLAB].astype(np.float32) @ centres.T
        cell[start : start + SLAB] = np.argpartition(-near, NEAREST, axis=1)[:, :NEAREST]
    by_cell = np.argsort(cell.ravel(), kind="stable")
    sizes = np.bincount(cell.ravel(), minlength=len(centres))
    return [np.sort(part) for part in np.split(by_cell // NEAREST, np.cumsum(sizes)[:-1])]


def _within(vectors: Vectors, least: float) -> Places:
    """(pairs, 2) places of those that are alike among some vectors."""
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(vectors), SLAB):
        mine = vectors[start : start + SLAB].astype(np.float32)
        for other in range(start, len(vectors), SLAB):
            theirs = vectors[other : other + SLAB].astype(np.float32)
            i, j = np.nonzero(mine @ theirs.T >= least)
            pairs = np.stack([i + start, j + other], 1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)
