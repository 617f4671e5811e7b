import numpy as np

from humanverse import keypoints as kp
from humanverse.models.base import WHOLEBODY_KEYPOINTS


def test_every_keypoint_has_a_name_of_its_own_and_lies_in_one_group():
    assert len(kp.NAMES) == len(set(kp.NAMES)) == kp.COUNT == WHOLEBODY_KEYPOINTS
    groups = [kp.BODY, kp.FEET, kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND]
    assert [i for group in groups for i in range(kp.COUNT)[group]] == list(range(kp.COUNT))


def test_mirroring_twice_changes_nothing():
    assert (kp.FLIP[kp.FLIP] == np.arange(kp.COUNT)).all()


def test_left_and_right_names_change_places():
    for index, name in enumerate(kp.NAMES):
        if name.startswith("left_"):
            assert kp.NAMES[kp.FLIP[index]] == name.replace("left_", "right_", 1)


def test_face_points_mirror_within_the_face_and_its_middle_line_stays():
    """iBUG: 8 chin, 27-30 bridge, 33 under the nose, 51 57 62 66 lips; 36 and 45 outer corners."""
    face = kp.FLIP[kp.FACE] - kp.FACE.start
    still = np.flatnonzero(face == np.arange(68)).tolist()
    assert still == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    pairs = {0: 16, 17: 26, 31: 35, 36: 45, 37: 44, 40: 47, 48: 54, 60: 64, 67: 65}
    assert {one: int(face[one]) for one in pairs} == pairs


def test_bones_join_body_points_and_are_their_own_mirror_image():
    assert len(kp.BODY_EDGES) == 16
    mirrored = {frozenset((int(kp.FLIP[a]), int(kp.FLIP[b]))) for a, b in kp.BODY_EDGES}
    assert mirrored == {frozenset(edge) for edge in kp.BODY_EDGES}


def test_mirrored_keypoints_lie_across_the_picture():
    points = np.random.default_rng(0).uniform(0, 100, (2, kp.COUNT, 3)).astype(np.float32)
    flipped = kp.mirror(points, 100)
    left_wrist, right_wrist = kp.NAMES.index("left_wrist"), kp.NAMES.index("right_wrist")
    np.testing.assert_allclose(flipped[:, left_wrist, 0], 100 - points[:, right_wrist, 0])
    np.testing.assert_array_equal(flipped[:, left_wrist, 1:], points[:, right_wrist, 1:])
    np.testing.assert_allclose(kp.mirror(flipped, 100), points, atol=1e-4)
