"""Graphs of near-duplicates: what hangs together, and around which picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


def components(number: int, pairs: Places) -> Places:
    """For each of so many nodes the smallest node that it hangs together with, over any chain.

    Args:
        number: nodes.
        pairs: (pairs, 2), which are joined.
    """
    root = np.arange(number)
    while True:
        ends = root[pairs]
        pairs = pairs[ends[:, 0] != ends[:, 1]]
        if not len(pairs):
            return root
        ends = root[pairs]
        np.minimum.at(root, ends.max(1), ends.min(1))
        while True:  # a root's own root, until it is one
            further = root[root]
            if np.array_equal(further, root):
                break
            root = further


def stars(rank: Places, pairs: Places) -> Places:
    """For each node the one that stands for it: itself, or the best of its neighbours that stay.

    From the best node on, each that is left stays and takes its neighbours with it. So no two that
    stay are neighbours, and each that goes is a neighbour of the one that stands for it.

    Args:
        rank: (nodes,) numbers that differ, the best node's the lowest.
        pairs: (pairs, 2), neighbours.
    """
    stays, undecided = np.zeros(len(rank), bool), np.ones(len(rank), bool)
    better = np.where((rank[pairs[:, 0]] < rank[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    left = better
    while len(left):
        waits = np.zeros(len(rank), bool)
        waits[left[:, 1]] = True
        stays |= undecided & ~waits
        undecided &= waits
        undecided[left[stays[left[:, 0]], 1]] = False
        left = left[undecided[left].all(1)]
    stays |= undecided
    near = better[stays[better[:, 0]] & ~stays[better[:, 1]]]
    best = np.where(stays, rank, np.iinfo(np.int64).max)
    np.minimum.at(best, near[:, 1], rank[near[:, 0]])
    order = np.argsort(rank)
    return np.asarray(order[np.searchsorted(rank[order], best)])
