"""An epoch's order follows from seed, epoch and position alone; all else decides who reads what."""

import doctest
import tracemalloc
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.errors import UsageError
from humanverse.load import order as module
from humanverse.load.order import Batches, Order, sample_random

SMALL = st.integers(1, 12)
ORDERS = st.builds(
    Order,
    st.integers(0, 500),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
    block=SMALL,
    window=SMALL,
)


def one_list(parts):
    return list(chain.from_iterable(parts))


def again(order):
    return Order(
        order.samples,
        seed=order.seed,
        epoch=order.epoch,
        shuffle=order.shuffle,
        block=order._block,
        window=order._window,
    )


@given(ORDERS)
def test_every_sample_comes_once_an_epoch(order):
    assert sorted(order[0 : len(order)].tolist()) == list(range(len(order)))


@given(ORDERS, st.lists(st.integers(0, 520), max_size=8))
def test_wherever_reading_stops_and_goes_on_the_order_is_the_same(order, stops):
    whole = order[0 : len(order)].tolist()
    places = sorted({0, len(order), *(min(stop, len(order)) for stop in stops)})
    parts = [again(order)[a:b].tolist() for a, b in pairwise(places)]
    assert one_list(parts) == whole
    for start in reversed(places):
        assert order[start : start + 7].tolist() == whole[start : start + 7]


@given(
    samples=st.integers(0, 300),
    share=st.integers(1, 6),
    worlds=st.tuples(st.sampled_from([1, 2, 3, 6]), st.sampled_from([1, 2, 3, 6])),
    workers=st.integers(1, 5),
    resume=st.integers(0, 40),
    last=st.sampled_from(["drop", "keep"]),
    seed=st.integers(0, 5),
)
def test_another_number_of_ranks_and_workers_reads_the_same_batches_after_any_stop(
    samples, share, worlds, workers, resume, last, seed
):
    """Ranks part a batch, a rank's workers take its batches in turn, from wherever it went on."""
    order, size = Order(samples, seed=seed, block=5, window=3), 6 * share

    def read(world, begin):
        ranks = [Batches(samples, size, rank, world, last) for rank in range(world)]
        begin = min(begin, len(ranks[0]))
        turns = [range(begin + worker, len(ranks[0]), workers) for worker in range(workers)]
        numbers = sorted(number for turn in turns for number in turn)
        return [[order[rank[number]].tolist() for rank in ranks] for number in numbers]

    one, other = (read(world, resume) for world in worlds)
    joined = [[one_list(parts) for parts in batches] for batches in (one, other)]
    assert joined[0] == joined[1]
    whole = [one_list(parts) for parts in read(1, 0)]
    assert joined[0] == whole[resume:]
    assert all(len(batch) == size for batch in whole[:-1])
    seen = one_list(whole)
    assert len(seen) == (samples if last == "keep" else samples // size * size)
    assert len(set(seen)) == len(seen)


def test_other_seeds_and_epochs_are_other_orders():
    orders = [Order(2000, seed=s, epoch=e)[0:2000] for s in range(3) for e in range(3)]
    for index, one in enumerate(orders):
        for other in orders[:index]:
            assert (one == other).mean() < 0.01


def test_an_order_is_that_of_a_shuffled_epoch_though_reading_stays_near():
    count = 100_000
    order = Order(count, block=16, window=32)[0:count]
    assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 0.02
    window = order[: 16 * 32]
    assert len(np.unique(window // 16)) == 32
    neighbours = np.abs(np.diff(window)) == 1
    assert neighbours.mean() < 0.01


def test_it_does_not_change_from_release_to_release():
    """Else a run that is taken up again would see samples twice."""
    assert Order(10, seed=1, epoch=2, block=2, window=2)[0:10].tolist() == FIXED


FIXED = [8, 6, 9, 7, 3, 2, 1, 0, 4, 5]


def test_ten_million_samples_are_put_in_order_in_a_moment():
    order = Order(10_000_000, seed=3)
    assert order[9_999_000:9_999_999].max() < 10_000_000
    assert order._blocks.nbytes < 2e6


def test_random_numbers_of_a_sample_follow_from_seed_epoch_and_key():
    key, other = "0" * 31 + "1", "1" + "0" * 31
    drawn = sample_random(1, 2, key).random(4)
    assert (sample_random(1, 2, key).random(4) == drawn).all()
    for seed, epoch, name in ((2, 2, key), (1, 3, key), (1, 2, other)):
        assert not (sample_random(seed, epoch, name).random(4) == drawn).any()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"size": 0}, "no batches of 0"),
        ({"size": 8, "world": 2, "rank": 2}, "rank 2 of 2"),
        ({"size": 10, "world": 4}, "take 8"),
        ({"size": 2, "world": 4}, "take 4"),
        ({"size": 4, "last": "pad"}, "drop or keep"),
    ],
)
def test_batches_that_cannot_be_are_refused(fields, told):
    with pytest.raises(UsageError, match=told):
        Batches(100, **fields)


def test_orders_that_cannot_be_are_refused():
    for fields in ({"seed": -1}, {"epoch": -1}, {"block": 0}, {"window": 0}):
        with pytest.raises(UsageError, match="no order of 5 samples"):
            Order(5, **fields)
    with pytest.raises(UsageError, match="forwards"):
        Order(5)[0:4:2]


def test_its_examples_run():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("samples", "block", "most"), [(200_000, 1, 24), (10, 10**7, 10**4)])
def test_an_order_holds_some_bytes_a_block_however_blocks_are_cut(samples, block, most):
    tracemalloc.start()
    order = Order(samples, block=block, window=8)
    assert order[0:1].tolist()[0] < samples
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * -(-samples // block) + 50_000
