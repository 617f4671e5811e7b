import numpy as np
import pytest

from humanverse.models.blaze.body import CELLS, SIZE, Body, mask_box, refined
from humanverse.models.blaze.evidence import (
    Candidate,
    agreement,
    features,
    probability,
    same_body,
    same_face,
)
from humanverse.models.blaze.face import FIRST, SECOND
from humanverse.models.blaze.regions import Region
from humanverse.models.blaze.ssd import Found
from humanverse.models.blaze.wholebody import fitting

AROUND = Region(100, 100, 256)


def body(region=AROUND, mask=None, shift=0.0):
    points = np.random.default_rng(0).uniform(50, 150, (33, 2)) + shift
    mask = np.zeros((SIZE, SIZE), np.float32) if mask is None else mask
    half = np.full(33, 0.5, np.float32)
    return Body(points, half, half, 1.0, points[:2], region, mask)


def found(x=50.0, y=50.0, size=20.0, hips=(50.0, 120.0), score=0.9):
    corners = np.array([[x, y], [x, y]]) + np.array([[-size / 2], [size / 2]])
    return Found(score, corners, np.array([hips, (50, 20), (0, 0), (0, 0)], float))


def candidate(score=0.9, flag=0.9):
    return Candidate(found(), body(), np.array([0.0, 0, 50, 100]), flag, 0.9, score)


def test_heat_around_a_landmark_refines_it():
    heat = np.full((CELLS, CELLS, 39), -20, np.float32)
    heat[30:33, 20:23, 0] = 10
    heat[30:33, 20:23, 1] = -1
    points = np.full((39, 2), 80, np.float32)
    points[:, 1] = 128
    moved = refined(points, heat)
    assert moved[0] == pytest.approx((84, 124), abs=0.01)
    assert moved[1] == pytest.approx((80, 128)), "weak heat moves nothing"


def test_a_landmark_outside_the_crop_stays_where_it_is():
    points = np.full((39, 2), 900, np.float32)
    assert np.array_equal(refined(points, np.zeros((CELLS, CELLS, 39), np.float32)), points)


def test_the_box_of_a_mask_is_where_the_mask_is():
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[40:200, 100:150] = 1
    mask[250, 2] = 1
    box = mask_box(body(Region(128, 128, 256), mask), 256, 256)
    assert box == pytest.approx((100, 40, 150, 200)), "the speck is left out"


def test_the_box_of_a_mask_ends_at_the_image():
    mask = np.ones((SIZE, SIZE), np.float32)
    assert mask_box(body(Region(50, 50, 900), mask), 80, 60) == pytest.approx((0, 0, 60, 80))


def test_an_empty_mask_and_one_outside_the_image_have_no_box():
    assert mask_box(body(), 100, 100) is None
    everywhere = np.ones((SIZE, SIZE), np.float32)
    assert mask_box(body(Region(5000, 5000, 10), everywhere), 100, 100) is None


def test_two_looks_that_see_the_same_agree():
    assert agreement(body(), body()) == 1
    assert agreement(body(), body(shift=30)) < 0.5
    assert same_body(body(), body(shift=1))
    assert not same_body(body(), body(shift=30))


def test_faces_are_the_same_when_they_lie_on_each_other_and_are_alike_in_size():
    assert same_face(found(), found(x=55))
    assert not same_face(found(), found(x=80))
    assert not same_face(found(), found(size=60))


def test_more_evidence_makes_a_person_likelier():
    weak, strong = (probability(features([candidate(score)]))[0] for score in (0.3, 0.95))
    assert 0 < weak < strong < 1


def test_company_makes_a_person_likelier():
    alone = probability(features([candidate(0.4)]))[0]
    beside = probability(features([candidate(0.4), candidate(0.95)]))[0]
    assert beside > alone


def test_nobody_has_no_features():
    assert probability(features([])).shape == (0,)


def test_each_detection_serves_the_box_it_fits_best():
    boxes = np.array([[0.0, 40, 100, 200], [200, 40, 300, 200]])
    near, far = found(), found(x=250, hips=(250, 120))
    assert fitting([far, near], boxes) == [near, far]


def test_no_detection_serves_two_boxes():
    boxes = np.array([[0.0, 40, 100, 200], [5, 40, 120, 210]])
    only = found()
    assert fitting([only], boxes) == [only, None]


def test_a_detection_elsewhere_fits_no_box():
    assert fitting([found()], np.array([[300.0, 300, 400, 400]])) == [None]


def test_the_face_has_68_points_out_of_the_mesh():
    assert FIRST.shape == SECOND.shape == (68,)
    assert max(FIRST.max(), SECOND.max()) < 468
