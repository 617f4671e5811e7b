"""Simulated runs: sums that can be done by hand, and what holds whatever the times are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.simulate.cluster import Cluster, Workers, cluster, dealt
from humanverse.simulate.local import local
from humanverse.simulate.times import Trouble, drawn_times

SECONDS = st.floats(0.01, 20)
TIMES = st.integers(1, 3).flatmap(
    lambda pools: st.lists(
        st.lists(SECONDS, min_size=pools, max_size=pools), min_size=1, max_size=30
    )
)


def plain(counts, **more):
    pools = tuple(Workers(f"pool{n}", count) for n, count in enumerate(counts))
    return Cluster(pools, item=0, **more)


def test_one_worker_takes_the_sum_of_its_units():
    run = cluster([[2.0]] * 7, plain([1]))
    assert (run.wall, run.busy["pool0"], run.limit) == (14, 1, "pool0")
    assert run.commits == [2.0 * n for n in range(1, 8)]


def test_two_pools_work_at_the_same_time():
    run = cluster([[2.0, 3.0]] * 10, plain([1, 1]))
    assert run.wall == 2 + 10 * 3
    assert run.limit == "pool1"
    assert run.idle["pool1"] == pytest.approx(2 / 32)


def test_a_collector_has_several_units_in_hand():
    pools = (Workers("collect", 1, slots=8),)
    assert cluster([[5.0]] * 16, Cluster(pools, item=0)).wall == 10


@given(TIMES, st.integers(1, 5))
def test_enough_workers_take_as_long_as_the_longest_unit(times, more):
    run = cluster(times, plain([len(times) * more] * len(times[0])))
    assert run.wall == pytest.approx(max(map(sum, times)))


@given(TIMES, st.lists(st.integers(1, 4), min_size=3, max_size=3), st.integers(1, 9))
def test_every_unit_is_committed_once_and_no_pool_works_more_than_all_the_time(times, counts, wave):
    run = cluster(times, plain(counts[: len(times[0])], wave=wave, start=1.0, hop=0.1))
    assert len(run.commits) == len(times)
    assert run.commits == sorted(run.commits)
    assert all(0 <= share <= 1 + 1e-9 for share in run.busy.values())
    assert run.wall >= max(map(sum, times))
    slowest = np.array(times).sum(axis=0) / counts[: len(times[0])]
    assert run.wall >= slowest.max() - 1e-9


@given(TIMES, st.integers(0, 5), st.integers(1, 4), st.integers(1, 3))
def test_with_nodes_that_are_lost_every_unit_is_still_committed_once(times, seed, nodes, each):
    on = plain([nodes * each] * len(times[0]), nodes=nodes, lost=4000, back=5.0, wave=10)
    run = cluster(times, on, seed)
    assert len(run.commits) == len(times)
    again = cluster(times, on, seed)
    assert (run.commits, run.redone) == (again.commits, again.redone)


def test_lost_nodes_cost_time_and_work():
    times = [[10.0, 10.0]] * 200
    calm = cluster(times, plain([8, 8], nodes=4))
    lost = cluster(times, plain([8, 8], nodes=4, lost=200, back=30.0))
    assert calm.redone == 0 < lost.redone
    assert lost.wall > calm.wall


@given(st.integers(1, 3), st.floats(0.1, 9), st.integers(1, 60), st.integers(1, 8))
def test_with_equal_units_more_workers_are_never_slower(pools, seconds, units, workers):
    """Where times differ and units are taken in order, one more worker may rarely cost time
    (Graham's anomalies): it is promised of equal ones alone."""
    times = [[seconds] * pools] * units
    few, more = (cluster(times, plain([n] * pools)).wall for n in (workers, workers + 1))
    assert more <= few + 1e-9


@given(st.lists(SECONDS, min_size=1, max_size=40), st.integers(1, 8))
def test_more_workers_for_a_list_of_units_take_no_longer_than_greed_allows(seconds, workers):
    run = cluster([[s] for s in seconds], plain([workers]))
    best = max(*seconds, sum(seconds) / workers)
    assert best - 1e-9 <= run.wall <= (2 - 1 / workers) * best + 1e-9  # Graham 1966


def test_waves_wait_for_their_last_unit():
    times = [[1.0]] * 8
    times[0] = [10.0]
    assert cluster(times, plain([4], wave=4)).wall == 11
    assert cluster(times, plain([4], wave=8)).wall == 10
    assert cluster([[1.0]] * 8, plain([4], wave=4, start=5.0)).between == pytest.approx(10 / 12)


def test_the_driver_and_the_store_can_be_what_a_run_waits_for():
    assert cluster([[1.0]] * 100, plain([50], hop=0.5)).limit == "driver"
    slow = cluster([[1.0]] * 100, plain([50], requests=40, request_rate=20))
    assert (slow.limit, slow.wall) == ("store", pytest.approx(201))


@given(TIMES.filter(lambda times: len(times[0]) == 1), st.integers(1, 8))
def test_the_local_loop_takes_the_sum_where_nothing_is_fetched(times, overlap):
    seconds = [row[0] for row in times]
    assert local([0.0] * len(seconds), seconds, overlap).wall == pytest.approx(sum(seconds))
    fetched = local(seconds, [0.0] * len(seconds), overlap)
    assert max(seconds) - 1e-9 <= fetched.wall <= sum(seconds) + 1e-9
    assert len(fetched.commits) == len(seconds)


def test_the_local_loop_fetches_while_it_works():
    run = local([4.0] * 16, [1.0] * 16)
    assert run.wall == pytest.approx(4 + 8 + 4 + 8)  # eight are there at once, and are taken first
    assert run.busy["rest"] == pytest.approx(16 / 24)


def test_drawn_times_are_rows_that_were_measured_and_a_seed_repeats_them():
    measured = [[1.0, 10.0], [2.0, 20.0]]
    drawn = drawn_times(measured, 500, seed=3)
    assert {tuple(row) for row in drawn.tolist()} == {(1.0, 10.0), (2.0, 20.0)}
    assert (drawn == drawn_times(measured, 500, seed=3)).all()
    troubled = drawn_times(measured, 500, 3, Trouble(0.1, 5.0, waits=0.2, deadline=30.0))
    assert (troubled >= drawn).all()
    assert 0.1 < (troubled[:, 0] == 30).mean() < 0.3


@given(
    st.lists(st.tuples(st.floats(0.1, 50), st.floats(0.25, 4)), min_size=1, max_size=4),
    st.floats(1, 200),
)
def test_dealt_workers_fit_where_one_of_each_pool_does(pools, there):
    work, cpus = zip(*pools, strict=True)
    counts = dealt(work, [(c, 0.0) for c in cpus], (there, 0.0))
    assert min(counts) >= 1
    if sum(cpus) <= there:
        assert sum(n * c for n, c in zip(counts, cpus, strict=True)) <= there + 1e-6


def test_workers_are_dealt_to_the_slowest_pool():
    assert dealt([1.0, 3.0], [(1, 0), (1, 0)], (8, 0)) == [2, 6]
    assert dealt([1.0, 3.0], [(1, 0), (0, 1)], (8, 2)) == [1, 2]
