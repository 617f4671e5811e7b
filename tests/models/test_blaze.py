"""The BlazePose family on photographs; skips where its weights are not at hand."""

import numpy as np
import pytest

from humanverse.filter.detectors import MIN_SCORES
from humanverse.keypoints import BODY, FACE

LEFT_EYE, RIGHT_EYE, LEFT_SHOULDER, RIGHT_SHOULDER = 1, 2, 5, 6
WHOLE = np.array([[0, 0, 512, 512]], np.float32)


def people(found):
    return found.boxes[found.scores >= MIN_SCORES["blazepose"]]


def test_one_person_is_found_in_a_portrait(detector, astronaut):
    boxes = people(detector.detect([astronaut])[0])
    assert len(boxes) == 1
    assert (boxes[0, 2:] - boxes[0, :2]).prod() > 0.3 * astronaut[..., 0].size


def test_two_people_are_found_side_by_side(detector, zidane):
    assert len(people(detector.detect([zidane])[0])) == 2


def test_nobody_is_found_where_nobody_is(detector):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    flat = np.full((20, 900, 3), 128, np.uint8)
    for found in detector.detect([noise, flat]):
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == (0,)


def test_boxes_lie_inside_the_image_best_first(detector, zidane):
    (found,) = detector.detect([zidane])
    height, width = zidane.shape[:2]
    assert (found.boxes >= 0).all()
    assert (found.boxes <= (width, height, width, height)).all()
    assert (np.diff(found.scores) <= 0).all()


def test_the_same_image_gives_the_same_bytes(detector, estimator, astronaut):
    once, again = detector.detect([astronaut, astronaut])
    assert once.boxes.tobytes() == again.boxes.tobytes()
    assert once.scores.tobytes() == again.scores.tobytes()
    once, again = estimator.estimate([astronaut, astronaut], [WHOLE, WHOLE])
    assert once.tobytes() == again.tobytes()


def test_left_and_right_are_the_persons_own(estimator, astronaut):
    """She faces us, so her left is on the right of the image."""
    ((person,),) = estimator.estimate([astronaut], [WHOLE])
    assert person[LEFT_EYE, 0] > person[RIGHT_EYE, 0]
    assert person[LEFT_SHOULDER, 0] > person[RIGHT_SHOULDER, 0]
    assert (person[[LEFT_EYE, RIGHT_EYE, LEFT_SHOULDER, RIGHT_SHOULDER], 2] > 0.5).all()


def test_the_face_lies_on_her_face(estimator, astronaut):
    ((person,),) = estimator.estimate([astronaut], [WHOLE])
    face = person[FACE]
    assert (face[:, 2] > 0.5).all()
    assert (face[:, :2] > (150, 40)).all()
    assert (face[:, :2] < (300, 220)).all()


def test_confident_keypoints_lie_within_the_image(estimator, detector, zidane):
    (found,) = detector.detect([zidane])
    (persons,) = estimator.estimate([zidane], [people(found)])
    assert persons.shape == (2, 133, 3)
    assert persons[:, BODY, 2].max(axis=1).min() > 0.5
    sure = persons[persons[..., 2] > 0]
    assert (sure[:, :2] >= 0).all()
    assert (sure[:, :2] <= zidane.shape[1::-1]).all()


def test_two_people_get_two_poses(estimator, zidane):
    boxes = np.array([[120, 200, 1120, 715], [740, 40, 1150, 715]], np.float32)
    (persons,) = estimator.estimate([zidane], [boxes])
    assert abs(persons[0, 0, 0] - persons[1, 0, 0]) > 200


@pytest.mark.parametrize(
    "box",
    [
        (100, 100, 101, 101),
        (100, 100, 100, 100),
        (511.5, 511.5, 512, 512),
        (-50, -50, 20, 600),
        (-1e6, -1e6, 1e6, 1e6),
        (600, 600, 700, 700),
        (0, 0, 512, 1),
        (300, 300, 200, 200),
    ],
)
def test_any_box_gives_finite_keypoints(estimator, astronaut, box):
    (persons,) = estimator.estimate([astronaut], [np.array([box], np.float32)])
    assert persons.shape == (1, 133, 3)
    assert persons.dtype == np.float32
    assert np.isfinite(persons).all()
    assert (persons[..., 2] >= 0).all()
    assert (persons[..., 2] <= 1).all()


def test_an_image_without_boxes_gives_no_person(estimator, astronaut):
    (persons,) = estimator.estimate([astronaut], [np.zeros((0, 4), np.float32)])
    assert persons.shape == (0, 133, 3)


def test_a_picture_without_people_gives_no_confidence(estimator):
    flat = np.full((200, 300, 3), 90, np.uint8)
    (persons,) = estimator.estimate([flat], [np.array([[10, 10, 200, 190]], np.float32)])
    assert not persons[..., 2].any()
