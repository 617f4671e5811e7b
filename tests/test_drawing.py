"""Skeletons are drawn where keypoints lie, in a bone's own colour, and unsure ones not at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.drawing import openpose, rainbow, skeleton
from humanverse.keypoints import BODY_EDGES, mirror
from humanverse.testing.scenes import render

BOTH = pytest.mark.parametrize("draw", [skeleton, openpose])


def pose(**points):
    """One person of whom only these points are sure: number to place."""
    out = np.zeros((1, 133, 3), np.float32)
    for number, place in points.items():
        out[0, int(number.strip("_"))] = [*place, 1]
    return out


@pytest.mark.parametrize("bone", range(len(BODY_EDGES)))
def test_a_bone_lies_between_its_ends_in_its_colour_and_ten_pixels_wide_at_512(bone):
    start, end = BODY_EDGES[bone]
    picture = skeleton(pose(**{f"_{start}": (100, 200), f"_{end}": (400, 200)}), 512, 512)
    assert tuple(picture[200, 250]) == rainbow(len(BODY_EDGES))[bone]
    assert 10 <= (picture[:, 250].max(axis=1) > 127).sum() <= 12
    assert picture[200, :80].max() == 0
    assert picture[200, 420:].max() == 0


@BOTH
def test_nothing_is_drawn_of_points_that_are_not_sure(draw):
    scene = render(9, 96, 96, people=2)
    unsure = scene.keypoints * [1, 1, 0.3]
    assert draw(unsure.astype(np.float32), 96, 96).max() == 0
    assert draw(np.zeros((0, 133, 3), np.float32), 40, 60).shape == (40, 60, 3)


@BOTH
@settings(max_examples=30)
@given(seed=st.integers(0, 30), left=st.floats(-1e9, 1e9), top=st.floats(-1e9, 1e9))
def test_places_far_outside_do_no_harm(draw, seed, left, top):
    keypoints = render(seed % 3, 32, 32, people=1).keypoints + np.float32([left, top, 0])
    assert draw(keypoints.astype(np.float32), 32, 32).shape == (32, 32, 3)


@BOTH
def test_who_is_mirrored_is_drawn_mirrored(draw):
    keypoints = render(9, 128, 128, people=2).keypoints
    straight, turned = draw(keypoints, 128, 128), draw(mirror(keypoints, 128), 128, 128)
    drawn, other = straight.max(axis=2) > 127, turned[:, ::-1].max(axis=2) > 127
    assert (drawn & other).sum() > 0.9 * drawn.sum() > 0


def test_openposes_neck_stands_between_the_shoulders():
    picture = openpose(pose(_5=(300, 200), _6=(200, 200)), 512, 512)
    assert tuple(picture[200, 250]) == (255, 85, 0)
    assert tuple(picture[200, 200]) == (255, 170, 0)  # the right shoulder's joint
    assert openpose(pose(_5=(300, 200)), 512, 512)[200, 250].max() == 0


def test_hands_and_face_are_drawn_by_openpose_alone():
    hand, face = pose(_91=(20, 20), _92=(40, 20)), pose(_50=(30, 50))
    assert skeleton(hand, 64, 64).max() == skeleton(face, 64, 64).max() == 0
    assert openpose(hand, 64, 64)[20, 30].max() > 127
    assert tuple(openpose(face, 512, 512)[50, 30]) == (255, 255, 255)


@BOTH
@pytest.mark.parametrize("far", [1e9, 1e30, np.inf, np.nan])
def test_points_that_lie_nowhere_stop_nobody(draw, far):
    person = pose(**{f"_{number}": (10 + number, 20) for number in range(17)})
    person[0, 7, :2] = person[0, 5, 0] = far
    assert draw(person, 64, 64).any()
