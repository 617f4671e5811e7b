import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from humanverse import coco
from humanverse import keypoints as kp
from humanverse.drawing import CONFIDENT
from humanverse.testing.scenes import HIDDEN, VISIBLE

places = st.floats(-1000, 5000, width=32).map(np.float32)
flags = st.sampled_from([0.0, HIDDEN, VISIBLE])


@st.composite
def labelled(draw):
    """Poses whose confidences are what COCO can say."""
    points = draw(hnp.arrays(np.float32, (kp.COUNT, 2), elements=places, fill=st.just(7.25)))
    seen = draw(hnp.arrays(np.float32, kp.COUNT, elements=flags))
    points[seen == 0] = 0
    return np.column_stack([points, seen]).astype(np.float32)


@given(labelled())
def test_what_coco_can_say_of_a_pose_comes_back_to_the_bit(pose):
    text = json.dumps(coco.annotation(pose, (1, 2, 3, 4)))
    np.testing.assert_array_equal(coco.pose_of(json.loads(text)), pose)


@given(labelled())
def test_an_annotation_of_a_pose_of_an_annotation_is_the_same(pose):
    once = coco.annotation(pose, (1.5, 2, 31, 44.25), 77.5)
    assert coco.annotation(coco.pose_of(once), coco.box_of(once), once["area"]) == once


def test_a_box_is_left_top_width_height_and_comes_back():
    made = coco.annotation(np.zeros((133, 3)), (10, 20, 40, 80.5))
    assert made["bbox"] == [10, 20, 30, 60.5]
    np.testing.assert_array_equal(coco.box_of(made), [10, 20, 40, 80.5])
    assert made["area"] == coco.area_of((10, 20, 40, 80.5)) == pytest.approx(0.53 * 30 * 60.5)


def test_confidence_says_whether_a_point_is_labelled_and_seen():
    pose = np.ones((133, 3), np.float32)
    pose[:6, 2] = 0, CONFIDENT, CONFIDENT + 0.01, HIDDEN, HIDDEN + 0.01, VISIBLE
    made = coco.annotation(pose, (0, 0, 2, 2))
    assert made["keypoints"][2:18:3] == [0, 0, 1, 1, 2, 2]
    assert made["keypoints"][:9] == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert made["num_keypoints"] == 15


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_point_that_lies_nowhere_is_not_labelled(bad):
    pose = np.ones((133, 3), np.float32)
    pose[0, 0] = pose[91, 1] = pose[5, 2] = bad
    made = coco.annotation(pose, (0, 0, 2, 2))
    assert made["num_keypoints"] == 15
    assert json.loads(json.dumps(made, allow_nan=False))["lefthand_kpts"][:3] == [0, 0, 0]
    assert made["lefthand_box"] == [1, 1, 0, 0] and made["lefthand_valid"]


def test_parts_without_labels_are_invalid_and_their_boxes_zeros():
    pose = np.zeros((133, 3), np.float32)
    pose[kp.RIGHT_HAND] = 1
    pose[kp.RIGHT_HAND, :2] = np.arange(42).reshape(21, 2)
    made = coco.annotation(pose, (0, 0, 2, 2))
    valid = {name: made[f"{name}_valid"] for name in ("foot", "face", "lefthand", "righthand")}
    assert valid == {"foot": False, "face": False, "lefthand": False, "righthand": True}
    assert made["lefthand_box"] == made["face_box"] == [0, 0, 0, 0]
    assert made["righthand_box"] == [0, 1, 40, 40]
    assert made["num_keypoints"] == 0


def test_the_body_alone_has_coco_s_fields_alone():
    pose = np.ones((133, 3), np.float32)
    made = coco.annotation(pose, (0, 0, 2, 2), whole=False)
    assert set(made) == {
        *("category_id", "iscrowd", "bbox", "area", "num_keypoints", "keypoints", "segmentation"),
    }
    np.testing.assert_array_equal(coco.pose_of(made)[:17], pose[:17])
    assert not coco.pose_of(made)[17:].any()


def test_a_result_keeps_points_that_nobody_would_label():
    pose = np.random.default_rng(0).uniform(0, 99, (133, 3)).astype(np.float32)
    pose[:, 2] = 0.01
    made = coco.result(pose, 0.5)
    assert made["score"] == 0.5 and {len(made[name]) for name in coco.PARTS} == {51, 18, 204, 63}
    np.testing.assert_array_equal(coco.pose_of(made)[:, :2], pose[:, :2])
    assert set(coco.result(pose, 1, whole=False)) == {"category_id", "score", "keypoints"}


def test_flags_between_those_of_coco_count_as_labelled_as_its_evaluation_counts_them():
    told = {"lefthand_kpts": [3, 4, 0.08, 5, 6, 1.0, 7, 8, 2] + [0] * 54}
    assert coco.pose_of(told)[91:95].tolist() == [[3, 4, 0.5], [5, 6, 0.5], [7, 8, 1], [0, 0, 0]]


def test_spreads_and_mirrored_points_agree():
    assert coco.SIGMAS.shape == (133,)
    hands, body = (coco.SIGMAS[p] for p in (kp.LEFT_HAND, kp.BODY))
    np.testing.assert_array_equal(hands, coco.SIGMAS[kp.RIGHT_HAND])
    np.testing.assert_array_equal(body, body[kp.FLIP[kp.BODY]])


def test_spreads_of_the_body_are_those_of_pycocotools():
    Params = pytest.importorskip("pycocotools.cocoeval").Params
    np.testing.assert_allclose(coco.SIGMAS[kp.BODY], Params("keypoints").kpt_oks_sigmas, rtol=1e-12)


def test_spreads_names_and_bones_are_those_of_mmpose():
    pytest.importorskip("mmengine", reason="mmpose is not installed")
    from pathlib import Path

    from humanverse.models.mmpose import config_path

    rtmw = config_path(Path("rtmw-m_8xb1024-270e_cocktail14-256x192"))
    names = {}
    exec((rtmw.parents[3] / "_base_/datasets/coco_wholebody.py").read_text(), names)
    told = names["dataset_info"]
    assert told["sigmas"] == coco.SIGMAS.tolist()
    assert [told["keypoint_info"][n]["name"] for n in range(23)] == list(kp.NAMES[:23])
    links = [told["skeleton_info"][n]["link"] for n in range(19)]
    skeleton = [[kp.NAMES.index(one) + 1 for one in link] for link in links]
    assert skeleton == coco.CATEGORY["skeleton"]


@pytest.mark.real
@pytest.mark.parametrize("file", ["coco_mini_person_keypoints", "coco_wholebody_2images"])
def test_real_annotations_come_back(real, file):
    whole = file.startswith("coco_wholebody")
    truth = json.loads((real / "annotations" / f"{file}.json").read_text())
    category = truth["categories"][0]
    assert {name: category[name] for name in coco.CATEGORY} == coco.CATEGORY
    for told in truth["annotations"]:
        made = coco.annotation(coco.pose_of(told), coco.box_of(told), told["area"], whole=whole)
        assert made["num_keypoints"] == told["num_keypoints"]
        assert made["keypoints"] == told["keypoints"]
        assert made["area"] == told["area"]
        np.testing.assert_allclose(made["bbox"], told["bbox"], rtol=0, atol=1e-9)
        for name in coco.PARTS if whole else ():
            ours, theirs = (np.reshape(one[name], (-1, 3)) for one in (made, told))
            np.testing.assert_allclose(ours[:, :2], theirs[:, :2], rtol=2e-7)
            np.testing.assert_array_equal(ours[:, 2] > 0, theirs[:, 2] > 0)
            valid = name.replace("_kpts", "_valid")
            assert name == "keypoints" or made[valid] == told[valid]
