"""Connections grow while the line bears them, shrink when it does not, and come in order."""

import asyncio
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.collect.web.congestion import FLOOR, START, Congestion
from humanverse.collect.web.slots import Slots


def feed(machine, share, outcomes, full=True):
    """Outcomes of which an even share is late."""
    late = 0.0
    for _ in range(outcomes):
        late += share
        machine.observe(machine.generation, late >= 1, full)
        late -= late >= 1


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=600),
)
def test_the_limit_stays_within_its_bounds(most, outcomes):
    machine = Congestion(most)
    for generation, late, full in outcomes:
        machine.observe(generation, late, full)
        assert machine.floor <= machine.limit <= most
        assert 0 <= machine.usual <= 1


@given(st.floats(0, 0.15), st.integers(64, 300))
@settings(max_examples=30, deadline=None)
def test_the_dead_links_of_a_usual_table_do_not_keep_it_from_the_most(share, most):
    machine = Congestion(most)
    feed(machine, share, 200 * most)
    assert machine.limit == most


@given(st.floats(0.2, 0.29) | st.floats(0.32, 0.6), st.integers(64, 300))
@settings(max_examples=30, deadline=None)
def test_a_table_of_dead_links_is_got_used_to(share, most):
    assert reached(share, most) == most


@given(st.floats(0.29, 0.32), st.integers(64, 300))
@settings(max_examples=30, deadline=None)
def test_a_share_on_the_edge_of_an_excess_keeps_the_limit_about_the_start_and_above(share, most):
    """There one outcome more or less decides over each window, and it may never get to the most."""
    assert reached(share, most) > START


def reached(share, most):
    """The highest limit in sixty windows and more."""
    machine, highest = Congestion(most), 0
    for _ in range(60):
        feed(machine, share, most)
        highest = max(highest, machine.limit)
    return highest


@given(st.integers(0, 10**6), st.integers(16, 120), st.floats(0.02, 0.12))
@settings(max_examples=10, deadline=None)
def test_it_settles_around_what_the_line_bears(seed, capacity, dead):
    """Beyond its capacity the line loses what is too much; the rest is late by chance."""
    chance, machine = random.Random(seed), Congestion(400)
    limits = []
    for _ in range(12_000):
        lost = max(0.0, 1 - capacity / machine.limit)
        machine.observe(machine.generation, chance.random() < dead + lost * (1 - dead), True)
        limits.append(machine.limit)
    settled = sorted(limits[6_000:])
    assert 0.5 * capacity < settled[len(settled) // 2] < 1.8 * capacity


def test_what_began_before_a_decrease_does_not_decrease_it_again():
    machine = Congestion(256, start=256)
    for _ in range(1000):
        machine.observe(0, True, True)
    assert machine.limit == 179
    assert machine.generation == 1


def test_a_limit_that_nobody_reaches_does_not_grow():
    machine = Congestion(256)
    feed(machine, 0.0, 5000, full=False)
    assert machine.limit == 32


def test_a_calm_window_is_needed_for_each_step():
    machine = Congestion(256)
    feed(machine, 0.0, 63)
    assert machine.limit == 32
    feed(machine, 0.0, 1)
    assert machine.limit == 40


@pytest.mark.parametrize("most", [1, 3, FLOOR, 31, 32])
def test_few_connections_are_all_there_from_the_start(most):
    assert Congestion(most).limit == most


def test_slots_are_handed_out_in_order_and_never_too_many():
    async def run():
        slots, active, peak, order = Slots(3), 0, 0, []

        async def work(number):
            nonlocal active, peak
            generation = await slots.take()
            active, peak = active + 1, max(peak, active + 1)
            order.append(number)
            await asyncio.sleep(0)
            active -= 1
            slots.give(generation, False)

        await asyncio.gather(*map(work, range(20)))
        return peak, order

    assert asyncio.run(run()) == (3, list(range(20)))


def test_files_of_rules_stand_behind_pictures():
    async def run():
        slots, order = Slots(1), []
        first = await slots.take()

        async def work(name, behind):
            generation = await slots.take(behind=behind)
            order.append(name)
            slots.give(generation, None)

        names = [("rules", True), ("picture", False), ("more rules", True), ("another", False)]
        tasks = [asyncio.create_task(work(*name)) for name in names]
        await asyncio.sleep(0)
        slots.give(first, None)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["picture", "another", "rules", "more rules"]


@given(st.lists(st.integers(0, 9), max_size=10))
@settings(deadline=None, max_examples=50)
def test_no_slot_is_lost_when_those_who_wait_are_cancelled(cancelled):
    async def run():
        slots = Slots(2)
        held = [await slots.take() for _ in range(2)]

        async def work():
            slots.give(await slots.take(), None)

        tasks = [asyncio.create_task(work()) for _ in range(10)]
        await asyncio.sleep(0)
        for number in cancelled:
            tasks[number].cancel()
            if number % 2:
                slots.give(held.pop(), None) if held else None
        for generation in held:
            slots.give(generation, None)
        await asyncio.gather(*tasks, return_exceptions=True)
        return [await asyncio.wait_for(slots.take(), 1) for _ in range(2)]

    assert len(asyncio.run(run())) == 2


def test_a_fixed_number_stays_fixed():
    slots = Slots(100, adaptive=False)
    for _ in itertools.repeat(None, 500):
        slots.give(0, True)
    assert slots.limit == 100
