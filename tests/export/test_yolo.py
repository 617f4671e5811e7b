"""YOLO labels, read by ultralytics' own reader and by one of a few lines."""

import numpy as np
import pytest
from export.exporting import contents, exported
from shared import needs_ultralytics

from humanverse import keypoints as kp
from humanverse.codec import encode_jpeg
from humanverse.export.yolo import description, line


@pytest.fixture(scope="module")
def handed(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("yolo")
    assert exported(whole.root, "yolo-pose", folder / "to") == 0
    return folder / "to"


def rows(folder, key):
    text = (folder / "labels" / f"{key}.txt").read_text()
    return np.array([one.split() for one in text.splitlines()], np.float64).reshape(-1, 56)


def test_boxes_and_points_are_the_scenes_as_shares_of_the_picture(whole, handed):
    for key, scene in whole.scenes.items():
        told = rows(handed, key)
        assert len(told) == len(scene.boxes)
        size = np.array([320, 240])
        for one, box, points in zip(told, scene.boxes, scene.keypoints, strict=True):
            middle, extent = one[1:3] * size, one[3:5] * size
            np.testing.assert_allclose(middle - extent / 2, box[:2], atol=1e-3)
            np.testing.assert_allclose(middle + extent / 2, box[2:], atol=1e-3)
            there = one[5:].reshape(17, 3)
            np.testing.assert_array_equal(there[:, 2], points[kp.BODY, 2] * 2)
            seen = there[:, 2] > 0
            np.testing.assert_allclose(
                there[seen, :2] * size, points[kp.BODY][seen, :2], rtol=0, atol=1e-3
            )
            assert not there[~seen].any()
    assert set(contents(handed / "images")) == {f"{key}.jpg" for key in whole.scenes}


@pytest.mark.filterwarnings("ignore")
def test_ultralytics_reads_every_person_and_finds_nothing_wrong(whole, handed):
    needs_ultralytics()
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.utils import YAML

    data = YAML.load(handed / "data.yaml", append_filename=True)
    read = YOLODataset(
        img_path=str(handed / data["train"]), data=data, task="pose", augment=False, imgsz=320
    )
    assert data["names"] == {0: "person"} and data["kpt_names"] == {0: [*kp.BODY_NAMES]}
    assert len(read.labels) == 8
    for label in read.labels:
        scene = whole.scenes[label["im_file"].rpartition("/")[2].removesuffix(".jpg")]
        assert label["shape"] == (240, 320) and len(label["bboxes"]) == len(scene.boxes)
        boxes = label["bboxes"] * [320, 240, 320, 240]
        np.testing.assert_allclose(boxes[:, 2:], scene.boxes[:, 2:] - scene.boxes[:, :2], atol=1e-3)
        flags = scene.keypoints[:, :17, 2] * 2
        np.testing.assert_array_equal(label["keypoints"][..., 2], flags)
    (handed / "labels.cache").unlink()


@pytest.mark.filterwarnings("ignore")
def test_what_lies_beyond_the_picture_is_cut_or_unlabelled_and_ultralytics_takes_it(tmp_path):
    needs_ultralytics()
    from ultralytics.data.utils import verify_image_label

    pose = np.full((133, 3), 0.9, np.float32)
    pose[:17, 0] = np.linspace(-50, 250, 17)
    pose[:17, 1] = np.linspace(120, -20, 17)
    pose[3] = np.nan
    text = line(pose, np.array([-10, 20, 150, 130], np.float32), 100, 200)
    (tmp_path / "a.txt").write_text(text + "\n")
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(np.zeros((100, 200, 3), np.uint8), 90))
    given = (str(tmp_path / "a.jpg"), str(tmp_path / "a.txt"), "", True, 1, 17, 3, False)
    _, boxes, _, _, points, missing, found, empty, corrupt, said = verify_image_label(given)
    assert (missing, found, empty, corrupt, said) == (0, 1, 0, 0, "")
    np.testing.assert_allclose(boxes, [[0, 0.375, 0.6, 0.75, 0.8]])
    inside = ((pose[:17, :2] >= 0) & (pose[:17, :2] <= [200, 100])).all(axis=1)
    np.testing.assert_array_equal(points[0, :, 2], inside * 2)
    assert 0 < inside.sum() < 16 and not inside[3]


def test_a_picture_of_nobody_has_an_empty_label(whole, handed):
    empty = [key for key, scene in whole.scenes.items() if not len(scene.boxes)]
    assert empty and all(len(rows(handed, key)) == 0 for key in empty)


def test_mirrored_points_are_told(handed):
    """ultralytics mirrors pictures by them."""
    (told,) = (one for one in (handed / "data.yaml").read_text().splitlines() if "flip_idx" in one)
    assert told == "flip_idx: [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]"


def test_splits_become_folders(split, tmp_path):
    assert exported(split.root, "yolo-pose", tmp_path / "to") == 0
    for folder, ending in (("images", "jpg"), ("labels", "txt")):
        expected = {f"{name}/{key}.{ending}" for key, name in split.of.items()}
        assert set(contents(tmp_path / "to" / folder)) == expected
    told = (tmp_path / "to" / "data.yaml").read_text().splitlines()
    assert told[:3] == [
        'train: "images/train"',
        'val: "images/validation"',
        'test: "images/test"',
    ]


@pytest.mark.parametrize(
    ("splits", "train", "val"),
    [
        ([""], "images", "images"),
        (["train"], "images/train", "images/train"),
        (["a", "b"], "images/a", "images/a"),
        (["test", "train"], "images/train", "images/test"),
        (["train", "val", "validation"], "images/train", "images/val"),
    ],
)
def test_yolo_has_the_two_splits_that_it_will_not_do_without(splits, train, val):
    lines = description(splits).splitlines()
    assert f'train: "{train}"' in lines and f'val: "{val}"' in lines
