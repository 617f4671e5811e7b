"""Errors of depth and normals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.evaluate.structure import depth_error, evened, normal_errors

METRES = np.array([[1.0, 2.0], [4.0, 8.0]])


def test_depth_of_each_kind_is_brought_to_one_order():
    assert evened(METRES, "metric")[0, 0] == 1
    assert evened(METRES, "metric")[1, 1] == 0
    assert evened(METRES, "relative")[0, 0] == 1
    assert evened(METRES, "disparity")[0, 0] == 0
    assert depth_error(METRES, "metric", 5 / METRES + 3, "disparity") == pytest.approx(0, abs=1e-12)
    assert depth_error(METRES, "metric", METRES, "relative") > 0.01


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_offset_of_disparity_do_not_count(scale, offset):
    far = np.random.default_rng(0).normal(size=(6, 5))
    other = far[::-1]
    moved = depth_error(scale * far + offset, "disparity", other, "disparity")
    assert moved == pytest.approx(depth_error(far, "disparity", other, "disparity"), abs=1e-6)


def test_the_error_of_depth_is_the_mean_square_of_what_is_left():
    own, found = np.array([[0.0, 1.0, 0.5]]), np.array([[0.0, 1.0, 0.8]])
    assert depth_error(own, "disparity", found, "disparity") == pytest.approx(0.3**2 / 3)


def test_flat_depth_is_no_division_by_nothing():
    flat = np.full((3, 3), 7.0)
    assert depth_error(flat, "metric", flat, "disparity") == 0


@given(st.floats(0, 180))
def test_normals_turned_by_an_angle_are_off_by_it(angle):
    turned = np.radians(angle)
    own = np.full((4, 3, 3), [0.0, 0, 1])
    found = np.full((4, 3, 3), [np.sin(turned), 0, np.cos(turned)])
    squared, degrees = normal_errors(own, found)
    assert degrees == pytest.approx(angle, abs=1e-4)
    assert squared == pytest.approx(2 - 2 * np.cos(turned), abs=1e-9)
