"""Threads that read ahead and write behind change nothing but the time it takes."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.overlap import overlapped


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9), st.integers(1, 4))
def test_every_item_goes_through_all_three_in_its_order(items, size, threads):
    def double(some):
        assert len(some) <= size
        return [2 * one for one in some]

    done = overlapped(items, lambda n: n + 1, double, str, size=size, threads=threads)
    assert done == [str(2 * (n + 1)) for n in items]


def test_the_work_is_done_in_the_callers_thread_alone():
    seen = set()

    def work(some):
        seen.add(threading.current_thread())
        return some

    overlapped(range(20), lambda n: n, work, lambda n: n, size=3, threads=3)
    assert seen == {threading.current_thread()}


def test_the_next_items_are_loaded_while_these_are_worked_on():
    loaded = {n: threading.Event() for n in range(6)}

    def load(n):
        loaded[n].set()
        return n

    def work(some):
        following = max(some) + 1
        assert following == 6 or loaded[following].wait(10)
        return some

    assert overlapped(range(6), load, work, lambda n: n, size=2, threads=1) == list(range(6))


def test_no_more_is_held_than_was_said():
    size, lock, held, most = 4, threading.Lock(), 0, 0

    def count(change):
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)

    def load(n):
        count(+1)
        return n

    def save(n):
        count(-1)
        return n

    overlapped(range(100), load, lambda some: some, save, size=size, threads=2)
    assert held == 0
    assert most <= 4 * size


@pytest.mark.parametrize("place", ["load", "work", "save"])
def test_an_error_comes_through_and_leaves_no_thread_behind(place):
    def fails(_):
        raise ValueError(place)

    steps = {"load": lambda n: n, "work": lambda some: some, "save": lambda n: n} | {place: fails}
    with pytest.raises(ValueError, match=place):
        overlapped(range(50), **steps, size=4, threads=2)
    assert not [t for t in threading.enumerate() if t.name.startswith("overlap")]
