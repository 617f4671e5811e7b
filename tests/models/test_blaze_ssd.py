import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.models.blaze import ssd


def test_anchors_are_as_many_as_the_networks_give_rows():
    assert len(ssd.anchor_centres(ssd.POSE)) == 2254
    assert len(ssd.anchor_centres(ssd.FACE)) == 896


def test_anchors_go_row_by_row_through_the_cells():
    centres = ssd.anchor_centres(ssd.POSE)
    assert centres[0] == pytest.approx((0.5 / 28, 0.5 / 28))
    assert centres[2] == pytest.approx((1.5 / 28, 0.5 / 28))
    assert centres[-1] == pytest.approx((6.5 / 7, 6.5 / 7))


def test_overlapping_boxes_become_their_score_weighted_mean():
    rows = np.array([[0.0, 0, 10, 10, 5, 5], [2.0, 0, 12, 10, 9, 5]])
    merged = ssd.merge_overlapping(rows, np.array([0.75, 0.25]), 0.3)
    assert len(merged) == 1
    score, mean = merged[0]
    assert score == 0.75
    assert mean == pytest.approx([0.5, 0, 10.5, 10, 6, 5])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_merging_keeps_the_best_score_first_and_invents_no_box(seed, count):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (count, 2))
    rows = np.concatenate([corners, corners + rng.uniform(5, 50, (count, 2))], axis=1)
    scores = rng.uniform(0.1, 1, count)
    merged = ssd.merge_overlapping(rows, scores, 0.3)
    found = [score for score, _ in merged]
    assert found == sorted(found, reverse=True)
    assert len(merged) <= count
    assert not count or found[0] == scores.max()
    for _, mean in merged:
        assert (mean >= rows.min(axis=0) - 1e-9).all()
        assert (mean <= rows.max(axis=0) + 1e-9).all()


def test_planted_detections_are_decoded():
    """Two peaks far apart come back at their anchors' places, best first."""
    anchors = ssd.anchor_centres(ssd.POSE)
    regression = np.zeros((len(anchors), 12), np.float32)
    scores = np.zeros(len(anchors), np.float32)
    for row, score in ((100, 0.6), (1200, 0.9)):
        regression[row] = [1, 2, 30, 40, *[5, 6] * 4]
        scores[row] = score
    found = ssd.decode(ssd.POSE, anchors, regression, scores, least=0.5)
    assert [score for score, _ in found] == pytest.approx([0.9, 0.6])
    x, y = anchors[1200] * 224
    expected = [x + 1 - 15, y + 2 - 20, x + 1 + 15, y + 2 + 20, *[x + 5, y + 6] * 4]
    assert found[0][1] == pytest.approx(expected)


def test_nothing_above_the_threshold_gives_nothing():
    anchors = ssd.anchor_centres(ssd.FACE)
    empty = np.zeros((len(anchors), 16), np.float32)
    assert ssd.decode(ssd.FACE, anchors, empty, empty[:, 0], least=0.5) == []


def test_iou_of_boxes_without_area_is_zero():
    nothing = np.array([5.0, 5, 5, 5])
    assert ssd.iou(nothing, np.array([nothing, [0, 0, 10, 10]])) == pytest.approx([0, 0])
