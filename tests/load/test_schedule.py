"""Batches of several aspects: each of one size, every sample where it fits, all in a pure order."""

import doctest
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.errors import UsageError
from humanverse.load import schedule as module
from humanverse.load.schedule import Bucket, Schedule, aspect_sizes, bucketed

SIZES = aspect_sizes(256, widest=2)


def shapes(count, seed):
    return np.random.default_rng(seed).integers(100, 1000, (count, 2))


def schedule(buckets, share=(0, 1), **other):
    how = {"batch_size": 6, "seed": 1, "epoch": 2, "shuffle": True} | other
    return Schedule(buckets, share=share, **how)


@given(
    count=st.integers(0, 200),
    seed=st.integers(0, 99),
    world=st.sampled_from([1, 2, 3, 6]),
    last=st.sampled_from(["drop", "keep"]),
    shuffle=st.booleans(),
)
def test_every_sample_comes_once_at_its_own_size_whatever_the_ranks(
    count, seed, world, last, shuffle
):
    sizes = shapes(count, seed)
    buckets = bucketed(sizes, SIZES)
    how = {"last": last, "shuffle": shuffle, "seed": seed}
    whole = schedule(buckets, **how)
    ranks = [schedule(buckets, (rank, world), **how) for rank in range(world)]
    assert {len(rank) for rank in ranks} == {len(whole)}
    seen = []
    for batch in range(len(whole)):
        numbers, size = whole[batch]
        parts = [rank[batch] for rank in ranks]
        assert np.concatenate([part for part, _ in parts]).tolist() == numbers.tolist()
        assert {other for _, other in parts} == {size}
        for height, width in sizes[numbers]:
            off = [abs(np.log(width / height * h / w)) for h, w in SIZES]
            assert abs(np.log(width / height * size[0] / size[1])) == pytest.approx(min(off))
        seen += numbers.tolist()
    assert len(set(seen)) == len(seen)
    kept = count if last == "keep" else sum(b.count // 6 * 6 for b in buckets)
    assert len(seen) == kept


def test_batches_of_all_sizes_are_mixed_anew_each_epoch():
    buckets = bucketed(shapes(600, 0), SIZES)
    first, second = (schedule(buckets, epoch=epoch) for epoch in (0, 1))
    order = [first[n][1] for n in range(len(first))]
    assert order != [second[n][1] for n in range(len(second))]
    assert sum(a != b for a, b in pairwise(order)) > len(order) / 2
    still = schedule(buckets, shuffle=False)
    order = [still[n][1] for n in range(len(still))]
    assert order == sorted(order, key=SIZES.index)


def test_sizes_of_an_area_step_evenly_and_none_is_wider_than_told():
    sizes = aspect_sizes(512, step=64, widest=2)
    assert (512, 512) in sizes
    assert all(height % 64 == width % 64 == 0 for height, width in sizes)
    assert all(0.7 * 512**2 <= height * width <= 512**2 for height, width in sizes)
    assert sorted((w, h) for h, w in sizes) == sorted(sizes)
    for wrong in ({"side": 500}, {"side": 512, "widest": 0.5}, {"side": 32}):
        with pytest.raises(UsageError, match="no sizes of"):
            aspect_sizes(**wrong)


def test_a_batch_beyond_the_end_is_none():
    with pytest.raises(IndexError):
        schedule([Bucket(None, None, 12)])[2]


def test_its_examples_run():
    assert doctest.testmod(module).failed == 0
