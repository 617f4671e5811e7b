"""The decision on every sample, from arrays alone: its cluster, whether it stays, its split.

Rows are ordered by generation of the plan first. Whatever a later table brings is therefore judged
after what is there: it can neither take the place of a sample nor move it to another split, but
where it joins two clusters that had nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanverse.select.clusters import components, stars
from humanverse.select.cosine import pairs_alike
from humanverse.select.hamming import distinct, pairs_between, pairs_within

Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_BITS, MOST_BITS = 16, 48
"""Bits set in a perceptual hash that tells something. A photograph's has 32, since each bit says
whether a frequency exceeds the median; where most frequencies are 0 it has few."""
ALONE = -1


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples, so far, as arrays of equal length."""

    keys: NDArray[np.uint64]
    """(n, 2): the higher and the lower half of the key."""
    generation: NDArray[np.int32]
    """Of the plan."""
    pixels: Places
    """Of the picture as stored."""
    original: Places
    """Of the picture as served."""
    phash: NDArray[np.uint64]
    sha256: NDArray[np.uint64]
    """The first 64 bits of it."""
    embedding: NDArray[np.floating] | None = None
    """(n, d), unit vectors; zeros where there is none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided; places are of rows, `ALONE` where there is none."""

    cluster: Places
    """The row that a cluster of several is called after; `ALONE` without near-duplicates."""
    duplicate_of: Places
    """The row that stands for this one, if another does."""
    benchmark: Places
    """The benchmark's picture that it looks like, or that the row that stands for it does."""
    split: NDArray[np.int8]
    """Number of the split."""


def choose(
    rows: Rows,
    *,
    max_distance: int,
    min_cosine: float,
    shares: Mapping[str, float],
    benchmarks: NDArray[np.uint64],
    max_benchmark_distance: int,
) -> Choice:
    """Decide on all rows at once.

    Args:
        rows: in any order; the answer is the same for each.
        max_distance: bits in which hashes of near-duplicates may differ, without embeddings.
        min_cosine: of near-duplicates' embeddings, where there are any.
        shares: of the splits, in order.
        benchmarks: hashes of pictures that must not be there, sorted, each once.
        max_benchmark_distance: bits in which a hash may differ from one of them.
    """
    count = len(rows.keys)
    own = np.arange(count)
    node, pairs = _alike(rows, max_distance, min_cosine)
    some = _in_company(node, pairs)
    named, centre = (some[places] for places in _grouped(rows, node[some], pairs, some))
    cluster, star = np.full(count, ALONE), own.copy()
    cluster[some], star[some] = named, centre
    like = _of_benchmarks(rows.phash, benchmarks, max_benchmark_distance)
    called = np.where(cluster == ALONE, own, cluster)
    return Choice(
        cluster=cluster,
        duplicate_of=np.where(star == own, ALONE, star),
        benchmark=_spread(like, star),
        split=split_of(rows.keys[called, 1], shares),
    )


def split_of(low: NDArray[np.uint64], shares: Mapping[str, float]) -> NDArray[np.int8]:
    """The number of a split by the lower half of a key.

    The key is a hash already. Its upper half orders the shards, so a split by that one would lie in
    one corner of the dataset.
    """
    bounds = np.cumsum(list(shares.values()))[:-1] * 2.0**64
    return np.searchsorted(bounds, low.astype(np.float64), side="right").astype(np.int8)


def tells(phash: NDArray[np.uint64]) -> Mask:
    """Whether a hash tells anything of its picture."""
    bits = np.bitwise_count(phash)
    return np.asarray((bits >= LEAST_BITS) & (bits <= MOST_BITS))


def _alike(rows: Rows, max_distance: int, min_cosine: float) -> tuple[Places, Places]:
    """The node of each row, equal for equal pictures, and the pairs of nodes that look alike."""
    if rows.embedding is not None:
        return _alike_by_embedding(rows, rows.embedding, min_cosine)
    telling = tells(rows.phash)
    hashes, node = _numbered(rows.phash[telling])
    _, rest = _numbered(rows.sha256[~telling])  # flat: they are the same, or they are not
    out = np.empty(len(telling), np.int64)
    out[telling], out[~telling] = node, rest + len(hashes)
    return out, pairs_within(hashes, max_distance)


def _alike_by_embedding(
    rows: Rows, vectors: NDArray[np.floating], least: float
) -> tuple[Places, Places]:
    known = np.asarray(vectors.any(axis=1))  # where there is none, nobody is alike
    node, pairs = pairs_alike(vectors[known], rows.keys[known, 1], least)
    out = np.empty(len(known), np.int64)
    out[known], out[~known] = node, len(known) + np.arange(int((~known).sum()))
    return out, pairs


def _numbered(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Places]:
    """The distinct values, sorted, and for each value its place there."""
    once = distinct(values)
    return once, np.searchsorted(once, values)


def _in_company(node: Places, pairs: Places) -> Places:
    """The rows that share their node, or whose node is one of a pair."""
    several = np.bincount(node) > 1
    several[pairs.ravel()] = True
    return np.flatnonzero(several[node])


def _grouped(rows: Rows, node: Places, pairs: Places, some: Places) -> tuple[Places, Places]:
    """Of rows in company, each one's cluster and who stands for it, as places among these rows."""
    nodes, node = np.unique(node, return_inverse=True)
    pairs = np.searchsorted(nodes, pairs)
    high, low, generation = rows.keys[some, 0], rows.keys[some, 1], rows.generation[some]
    size = -rows.original[some], -rows.pixels[some]
    first_rank, first = _least(len(nodes), node, np.lexsort((low, high, generation)))
    best_rank, best = _least(len(nodes), node, np.lexsort((low, high, *size, generation)))
    together = components(len(nodes), pairs)
    # Of a cluster's nodes the one whose first row comes first.
    np.minimum.at(first_rank, together, first_rank)
    named = first[first_rank[together]]
    centre = best[best_rank[stars(best_rank, pairs)]]
    return named[node], centre[node]


def _least(nodes: int, node: Places, order: Places) -> tuple[Places, Places]:
    """For each node the rank of its first row in an order, and the order itself."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    least = np.full(nodes, len(order), np.int64)
    np.minimum.at(least, node, rank)
    return least, order


def _of_benchmarks(phash: NDArray[np.uint64], known: NDArray[np.uint64], distance: int) -> Places:
    """For each row the nearest of the known hashes, the first of several; `ALONE` if none."""
    out = np.full(len(phash), ALONE, np.int64)
    telling = np.flatnonzero(tells(phash))
    pairs = pairs_between(phash[telling], known, distance)
    row, theirs = telling[pairs[:, 0]], pairs[:, 1]
    apart = np.bitwise_count(phash[row] ^ known[theirs])
    order = np.lexsort((theirs, apart))[::-1]  # the nearest is written last
    out[row[order]] = theirs[order]
    return out


def _spread(like: Places, star: Places) -> Places:
    """What any of a star's rows looks like, for all of them."""
    hits = np.flatnonzero(like != ALONE)
    nothing = np.iinfo(np.int64).max
    least = np.full(len(like), nothing, np.int64)
    np.minimum.at(least, star[hits], like[hits])
    return np.where(least[star] == nothing, ALONE, least[star])
