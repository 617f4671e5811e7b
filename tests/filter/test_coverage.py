import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.filter.coverage import coverage

WIDTH, HEIGHT = 40, 30
corners = st.tuples(*(st.integers(-10, 50) for _ in range(4)))
box_lists = st.lists(corners, max_size=6).map(lambda rows: np.array(rows, float).reshape(-1, 4))


def painted(boxes):
    """The reference: count covered pixels."""
    counts = np.zeros((HEIGHT, WIDTH), int)
    for x0, y0, x1, y1 in boxes.astype(int):
        counts[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += 1
    return counts


@settings(deadline=None)
@given(box_lists)
def test_the_union_is_what_painting_the_boxes_covers(boxes):
    assert coverage(boxes, WIDTH, HEIGHT) == pytest.approx((painted(boxes) > 0).mean())


@settings(deadline=None)
@given(box_lists)
def test_the_sum_counts_overlaps_twice(boxes):
    assert coverage(boxes, WIDTH, HEIGHT, "sum") == pytest.approx(painted(boxes).mean())


@settings(deadline=None)
@given(box_lists)
def test_the_largest_box_covers_no_more_than_the_union_nor_that_than_the_sum(boxes):
    largest, union, total = (
        coverage(boxes, WIDTH, HEIGHT, rule) for rule in ("largest", "union", "sum")
    )
    assert 0 <= largest <= union + 1e-12 <= total + 2e-12
    assert union <= 1


@settings(deadline=None)
@given(box_lists, st.randoms())
def test_the_order_of_boxes_does_not_matter(boxes, random):
    order = list(range(len(boxes)))
    random.shuffle(order)
    assert coverage(boxes[order], WIDTH, HEIGHT) == coverage(boxes, WIDTH, HEIGHT)


def test_no_boxes_cover_nothing():
    for rule in ("union", "largest", "sum"):
        assert coverage(np.zeros((0, 4)), 10, 10, rule) == 0


def test_a_box_around_the_frame_covers_all_of_it():
    assert coverage(np.array([[-5, -5, 50, 50]]), 10, 10) == 1


def test_a_frame_without_area_and_an_unknown_rule_are_refused():
    with pytest.raises(ValueError, match="no area"):
        coverage(np.zeros((0, 4)), 0, 10)
    with pytest.raises(ValueError, match="none of union"):
        coverage(np.zeros((0, 4)), 10, 10, "most")
