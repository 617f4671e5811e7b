"""From what stages took follows how fast they are, how busy, and what a run waits for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.layers.store import Store
from humanverse.layers.timings import (
    FOLDER,
    Timing,
    note_timings,
    read_timings,
    speeds_of,
)


def timing(stage, begun, seconds, rows=10, pool="a", worker="x:1"):
    return Timing(stage, pool, worker, float(begun), float(seconds), rows)


def test_what_was_noted_is_read_back(tmp_path):
    store, units = Store(tmp_path), [[timing("a", 0, 1)], [timing("a", 1, 1), timing("b", 2, 3)]]
    for number, timings in enumerate(units):
        note_timings(store, f"00-{number:07d}", 0, timings)
    assert read_timings(store) == units
    assert read_timings(store, most=1) == units[1:]


def test_a_damaged_note_tells_nothing(tmp_path):
    store = Store(tmp_path)
    note_timings(store, "00-0000000", 0, [timing("a", 0, 1)])
    store.note(f"{FOLDER}/00-0000001.g0.json", b"{")
    store.note(f"{FOLDER}/00-0000002.g0.json", b'{"stages": [{"stage": "a"}]}')
    assert len(read_timings(store)) == 1


def test_nothing_noted_is_no_speed():
    assert speeds_of([]).stages == []
    assert speeds_of([]).limit is None


def test_a_run_waits_for_the_busiest_pool_and_its_slowest_stage():
    # The collector has a unit in hand all the time; two labellers idle half of it.
    units = [
        [
            timing("collect", 10 * n, 10),
            timing("people", 10 * n + 10, 1, 5, "people", f"x:{2 + n % 2}"),
            timing("pose", 10 * n + 11, 3, 4, "people", f"x:{2 + n % 2}"),
        ]
        for n in range(10)
    ]
    speeds = speeds_of(units)
    collect, people, pose = speeds.stages
    assert speeds.limit == collect
    assert (speeds.units, speeds.elapsed) == (10, pytest.approx(104))
    assert collect.rate == pytest.approx(1)  # 100 rows in 100 seconds
    assert collect.busy == pytest.approx(100 / 104)
    assert (people.workers, people.rate) == (2, pytest.approx(2 * 50 / 10))
    assert pose.busy == people.busy == pytest.approx(40 / (2 * 104))
    assert pose.own == pytest.approx(30 / (2 * 104))


def test_units_that_a_worker_has_in_hand_together_count_once():
    speeds = speeds_of([[timing("a", 0, 10)], [timing("a", 0, 10)], [timing("a", 5, 10)]])
    assert speeds.stages[0].busy == pytest.approx(1)
    assert speeds.stages[0].rate == pytest.approx(30 / 15)
    assert speeds.stages[0].seconds == pytest.approx(30)


SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=20)


@given(SPANS, st.integers(1, 3))
def test_nobody_is_busier_than_all_the_time(spans, workers):
    units = [[timing("a", b, s, worker=f"x:{n % workers}")] for n, (b, s) in enumerate(spans)]
    speeds = speeds_of(units)
    seconds = {t for b, s in spans for t in range(b, b + s)}
    assert speeds.elapsed == pytest.approx(len(seconds))
    assert 0 < speeds.stages[0].busy <= 1 + 1e-9
