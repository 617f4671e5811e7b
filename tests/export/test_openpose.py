import json

import numpy as np
import pytest
from export.exporting import contents, exported
from PIL import Image

from humanverse import keypoints as kp
from humanverse.drawing import OPENPOSE_FROM_COCO
from humanverse.export.openpose import person, picture

NAMES = (
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist"),
    *("MidHip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar"),
    *("LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
)
"""The order of BODY_25, by OpenPose's documentation."""


@pytest.fixture
def numbered():
    """A person each of whose points lies at its own number."""
    points = np.arange(133, dtype=np.float32)
    return np.stack([points, points * 10, points / 133 + 0.001], axis=1)


def points(told, part):
    return np.reshape(told[f"{part}_keypoints_2d"], (-1, 3)).astype(np.float32)


def test_body_25_has_the_names_and_the_order_of_openpose(numbered):
    body = points(person(numbered), "pose")
    assert len(body) == len(NAMES) == 25
    words = {"Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Eye", "Ear", "Heel"}
    words |= {"BigToe", "SmallToe"}
    for name, place in zip(NAMES, body, strict=True):
        if name[0] in "LR" and name[1:] in words:
            part = name[1:].replace("Toe", "_toe").lower()
            side = "left" if name[0] == "L" else "right"
            expected = kp.NAMES.index(f"{side}_{part}")
            np.testing.assert_array_equal(place, numbered[expected])
    np.testing.assert_array_equal(body[0], numbered[0])


def test_body_25_is_as_openpose_s_18_points_are_drawn(numbered):
    """Both have the upper body in the same order; hips, knees and ankles come one later."""
    body = points(person(numbered), "pose")[:, 0]
    drawn = [*OPENPOSE_FROM_COCO]
    assert [*body[:1], *body[2:8], *body[9:19]] == [drawn[0], *drawn[2:]]


def test_neck_hip_and_pupils_lie_in_the_middle_and_are_as_sure_as_the_least_sure(numbered):
    told = person(numbered)
    neck, hip = points(told, "pose")[[NAMES.index("Neck"), NAMES.index("MidHip")]]
    assert neck.tolist() == pytest.approx([5.5, 55, numbered[5, 2]])
    assert hip.tolist() == pytest.approx([11.5, 115, numbered[11, 2]])
    face = points(told, "face")
    assert len(face) == 70
    np.testing.assert_array_equal(face[:68], numbered[kp.FACE])
    eyes = numbered[kp.FACE][36:42], numbered[kp.FACE][42:48]
    for pupil, eye in zip(face[68:], eyes, strict=True):
        assert pupil.tolist() == pytest.approx([*eye[:, :2].mean(axis=0), eye[:, 2].min()])
    unsure = numbered.copy()
    unsure[6, 2] = 0
    assert points(person(unsure), "pose")[1].tolist() == [0, 0, 0]


def test_hands_are_ours_each_on_its_side(numbered):
    told = person(numbered)
    np.testing.assert_array_equal(points(told, "hand_left"), numbered[kp.LEFT_HAND])
    np.testing.assert_array_equal(points(told, "hand_right"), numbered[kp.RIGHT_HAND])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_lies_nowhere_is_zeros(numbered, bad):
    numbered[3, 1] = bad
    numbered[100, 2] = 0
    told = json.loads(json.dumps(picture([numbered], 10, 20), allow_nan=False))["people"][0]
    assert points(told, "pose")[NAMES.index("LEar")].tolist() == [0, 0, 0]
    assert points(told, "hand_left")[9].tolist() == [0, 0, 0]
    assert points(told, "pose")[NAMES.index("REar")].tolist() == numbered[4].tolist()


def test_every_picture_has_a_file_with_all_its_people_and_its_size(whole, tmp_path):
    assert exported(whole.root, "openpose", tmp_path) == 0
    for key, scene in whole.scenes.items():
        told = json.loads((tmp_path / "keypoints" / f"{key}_keypoints.json").read_text())
        with Image.open(tmp_path / "images" / f"{key}.jpg") as image:
            assert image.size == (told["canvas_width"], told["canvas_height"]) == (320, 240)
        assert len(told["people"]) == len(scene.keypoints)
        for one, points_of_it in zip(told["people"], scene.keypoints, strict=True):
            left = points_of_it[kp.LEFT_HAND] * (points_of_it[kp.LEFT_HAND, 2:] > 0)
            np.testing.assert_allclose(points(one, "hand_left"), left, rtol=0, atol=1e-4)
    assert len(contents(tmp_path / "keypoints")) == len(contents(tmp_path / "images")) == 8


def test_splits_become_folders(split, tmp_path):
    assert exported(split.root, "openpose", tmp_path, "--without-images") == 0
    assert not (tmp_path / "images").exists()
    names = {name.removesuffix("_keypoints.json") for name in contents(tmp_path / "keypoints")}
    assert names == {f"{name}/{key}" for key, name in split.of.items()}
