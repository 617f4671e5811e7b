"""Every pair of hashes within a distance is found, and none besides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.select import hamming
from humanverse.select.hamming import distinct, pairs_between, pairs_within


def planted(number, distance, seed):
    """Random hashes, some of them with neighbours, sorted, each once."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 1 << 64, number, dtype=np.uint64)
    near = hashes[: number // 2].copy()
    for _ in range(distance):
        near ^= np.uint64(1) << random.integers(0, 64, len(near), dtype=np.uint64)
    return distinct(np.concatenate([hashes, near]))


def apart(hashes, others):
    return np.bitwise_count(hashes[:, None] ^ others)


def brute_force(hashes, distance):
    return np.argwhere(np.triu(apart(hashes, hashes) <= distance, 1))


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, 300), distance=st.integers(0, 10), seed=st.integers(0, 1000))
def test_every_pair_within_the_distance_is_found_and_none_besides(number, distance, seed):
    hashes = planted(number, distance + 1, seed)
    assert np.array_equal(pairs_within(hashes, distance), brute_force(hashes, distance))


@settings(max_examples=20, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 255), unique=True, max_size=80),
    shift=st.integers(0, 56),
    distance=st.integers(0, 8),
)
def test_hashes_that_agree_in_most_bits_are_told_apart_by_the_others(hashes, shift, distance):
    crowd = distinct(np.array(hashes, np.uint64) << np.uint64(shift))
    assert np.array_equal(pairs_within(crowd, distance), brute_force(crowd, distance))


@settings(max_examples=20, deadline=None)
@given(
    number=st.integers(0, 200),
    others=st.integers(0, 200),
    distance=st.integers(0, 8),
    seed=st.integers(0, 1000),
)
def test_every_pair_of_one_of_each_is_found(number, others, distance, seed):
    hashes = planted(number, distance, seed)
    known = distinct(np.concatenate([planted(others, 2, seed + 1), hashes[: len(hashes) // 3]]))
    wanted = np.argwhere(apart(hashes, known) <= distance)
    assert np.array_equal(pairs_between(hashes, known, distance), wanted)


@pytest.mark.parametrize("distance", [2, 4, 6])
def test_a_crowd_that_agrees_on_whole_blocks_is_searched_by_its_other_bits(monkeypatch, distance):
    monkeypatch.setattr(hamming, "LONG", 50)
    random = np.random.default_rng(distance)
    crowd = distinct(random.integers(0, 1 << 24, 1500, dtype=np.uint64) << np.uint64(20))
    hashes = distinct(np.concatenate([crowd, planted(500, distance, 1)]))
    assert np.array_equal(pairs_within(hashes, distance), brute_force(hashes, distance))


def test_more_hashes_than_are_compared_at_a_time_lose_no_pair(monkeypatch):
    monkeypatch.setattr(hamming, "SLAB", 64)
    hashes = planted(2000, 4, 3)
    assert np.array_equal(pairs_within(hashes, 4), brute_force(hashes, 4))
    others = planted(300, 4, 4)
    wanted = np.argwhere(apart(hashes, others) <= 18)[:0]
    assert np.array_equal(pairs_between(hashes, others, 4), wanted)
