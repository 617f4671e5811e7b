"""Intervals: they hold the figure, narrow with more units, and keep what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.estimate.interval import Interval, quantile, ratio, share, total

UNITS = st.lists(
    st.integers(1, 500).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))),
    min_size=2,
    max_size=40,
)


@given(UNITS, st.integers(0, 1000))
def test_a_share_lies_in_its_interval_and_that_between_nothing_and_all(units, others):
    kept, rows = np.array(units).T
    told = share(kept, rows, len(units) + others)
    assert 0 <= told.low <= told.value <= told.high <= 1
    assert told.value == pytest.approx(kept.sum() / rows.sum())


@given(UNITS, st.integers(0, 1000))
def test_an_amount_a_row_lies_in_its_interval(units, others):
    parts, rows = np.array(units).T
    told = ratio(parts, rows, len(units) + others)
    assert 0 <= told.low <= told.value <= told.high


@given(UNITS)
def test_where_all_units_were_built_nothing_is_left_to_guess(units):
    kept, rows = np.array(units).T
    for told in (share(kept, rows, len(units)), ratio(kept, rows, len(units))):
        assert told.low == told.value == told.high


@given(UNITS, st.integers(2, 5))
def test_the_same_units_several_times_over_tell_more(units, times):
    kept, rows = np.array(units).T
    few, many = share(kept, rows, 10**6), share(np.tile(kept, times), np.tile(rows, times), 10**6)
    assert many.high - many.low <= few.high - few.low + 1e-9


@pytest.mark.parametrize(
    ("freedom", "known"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)]
)
def test_the_quantiles_are_those_of_the_tables(freedom, known):
    assert quantile(freedom) == pytest.approx(known, abs=1e-3)


def test_of_a_single_unit_nothing_is_known_of_the_rest():
    assert share([3], [10], 5) == Interval(0.3, 0.0, 1.0)
    assert ratio([3.0], [10], 5).high > 1e15


def test_of_what_was_never_seen_the_rule_of_three_tells_the_most():
    assert share([0] * 3, [100] * 3, 50) == Interval(0.0, 0.0, 0.01)
    assert share([100] * 3, [100] * 3, 50) == Interval(1.0, 0.99, 1.0)


@pytest.mark.parametrize("drawn", [5, 10, 20])
@pytest.mark.parametrize("alike", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("truth", [0.1, 0.3, 0.5])
def test_intervals_hold_the_truth_as_often_as_they_say(truth, alike, drawn):
    """Units whose rows are kept or lost together, as a share `alike` of their variance."""
    random = np.random.default_rng(1)
    if alike:
        sums = 1 / alike - 1
        shares = random.beta(truth * sums, (1 - truth) * sums, (1000, drawn))
    else:
        shares = np.full((1000, drawn), truth)
    kept, rows = random.binomial(200, shares), np.full(drawn, 200)
    told = [share(one, rows, 10**9) for one in kept]
    assert sum(one.low <= truth <= one.high for one in told) >= 0.9 * len(told)


def test_sums_of_figures_out_of_the_same_units_are_never_too_narrow():
    assert total([Interval(1, 0, 3), Interval(2, 1, 4)]) == Interval(3, 1, 7)
    assert total([]) == Interval(0, 0, 0)
