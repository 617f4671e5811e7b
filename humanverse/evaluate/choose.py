"""Which samples of a set are measured: a function of their keys and a seed, and of nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b


def chosen(keys: Iterable[str], count: int | None, seed: int) -> list[str]:
    """`count` of the keys, in order; all of them, if nothing is said.

    They are those of the least hashes. So a smaller choice is a part of a larger one, and who
    paints samples and who measures them choose the same.
    """
    if count is None:
        return sorted(keys)
    return sorted(heapq.nsmallest(count, keys, key=lambda key: (hash_of(seed, key), key)))


def hash_of(*words: object) -> int:
    """63 bits that words decide."""
    text = "\0".join(map(str, words)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1
