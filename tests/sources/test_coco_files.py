"""Pictures that COCO's files tell of are planned, and people are moved into what is stored."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse import coco, plan
from humanverse.errors import UsageError
from humanverse.keys import bytes_key
from humanverse.layers.store import Store
from humanverse.plan import Plan, make_plan
from humanverse.sources.coco import is_coco
from humanverse.sources.coco_truth import Truth, _area, _clipped


def write(path, **told):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": {}, "images": [], "annotations": []} | told))
    return path


def image(number, name, folder="val2014"):
    url = f"http://images.cocodataset.org/{folder}/{name}"
    return {"id": number, "file_name": name, "width": 640, "height": 480, "coco_url": url}


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them missing, one without a caption, one in another folder."""
    for name in ("val2014/a.jpg", "images/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    images = [image(5, "a.jpg"), image(3, "b.jpg"), image(9, "gone.jpg")]
    write(tmp_path / "annotations" / "person_keypoints_val2014.json", images=images)
    captions = [{"id": 8, "image_id": 5, "caption": "late"}]
    captions += [{"id": 2, "image_id": 5, "caption": "first\n"}]
    write(tmp_path / "annotations" / "captions_val2014.json", annotations=captions)
    return tmp_path


def test_every_picture_is_a_row_with_its_first_caption_and_its_size(folder):
    store = Store(folder / "root")
    path = folder / "annotations" / "person_keypoints_val2014.json"
    manifest = make_plan(store, [path], Plan())
    rows = [row for u in plan.units(store) for row in plan.read_unit(store, u).to_pylist()]
    by_file = {row["file"]: row for row in rows}
    assert set(by_file) == {"a.jpg", "b.jpg"} and not manifest["online"]
    assert by_file["a.jpg"]["key"] == bytes_key(b"val2014/a.jpg")
    assert (by_file["a.jpg"]["caption"], by_file["b.jpg"]["caption"]) == ("first", None)
    assert (by_file["b.jpg"]["width_hint"], by_file["b.jpg"]["height_hint"]) == (640, 480)
    (other,) = [row for _, t in plan.read_unplanned(store) for row in t.to_pylist()]
    assert (other["file"], other["reason"]) == ("gone.jpg", "not_at_hand")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname"])
def test_a_picture_s_name_leads_nowhere_else(tmp_path, name):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    path = write(tmp_path / "coco" / "annotations" / "k.json", images=[image(1, name)])
    store = Store(tmp_path / "root")
    make_plan(store, [path], Plan())
    (other,) = [row for _, t in plan.read_unplanned(store) for row in t.to_pylist()]
    assert other["reason"] == "not_at_hand"


def test_other_json_is_a_table_as_before(tmp_path):
    table = tmp_path / "urls.json"
    table.write_text('[{"url": "http://localhost/1.jpg"}]')
    lines = tmp_path / "lines.json"
    lines.write_text('{"url": "http://localhost/2.jpg", "images": "x"}\n')
    assert not is_coco(table) and not is_coco(lines)
    store = Store(tmp_path / "root")
    make_plan(store, [table], Plan())
    assert sum(unit.rows for unit in plan.units(store)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"info": {}, "images": [', "cannot be read as JSON"),
        ('{"images": [], "annotations": {}}', "no annotation file of COCO's"),
        ('{"images": [], "annotations": []}', "holds no images"),
        ('{"images": [{"id": 1}], "annotations": []}', "has no id or file_name"),
        ('{"images": [1], "annotations": []}', "has no id or file_name"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "person_keypoints.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as refused:
        make_plan(Store(tmp_path / "root"), [path], Plan())
    assert "\n" not in str(refused.value)


def person(number, box, outline=(), **told):
    pose = np.zeros((133, 3), np.float32)
    pose[0] = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1
    area = (box[2] - box[0]) * (box[3] - box[1]) / 2
    made = coco.annotation(pose, box, area) | {"id": number, "image_id": 1}
    return made | {"segmentation": [list(outline)] if outline else []} | told


def truth_of(tmp_path, *people, size=(640, 480)):
    picture = image(1, "a.jpg") | {"width": size[0], "height": size[1]}
    return Truth(write(tmp_path / "person_keypoints.json", images=[picture], annotations=people))


def test_people_are_moved_into_the_square_in_the_middle(tmp_path):
    truth = truth_of(tmp_path, person(1, (100, 48, 200, 240)))
    (found,) = truth.people("a.jpg", (640, 480), (512, 512))
    scale = 512 / 480
    np.testing.assert_allclose(found.box, np.array([20, 48, 120, 240]) * scale)
    np.testing.assert_allclose(found.pose[0], [70 * scale, 144 * scale, 1], rtol=1e-6)
    assert found.share == pytest.approx(100 * 192 / 2 / 480**2)
    (found,) = truth.people("a.jpg", (640, 480), (320, 240))
    np.testing.assert_allclose(found.box, [50, 24, 100, 120])


def test_people_whom_the_cut_leaves_out_are_gone_and_others_are_what_is_left(tmp_path):
    """The square begins at 80. One lies left of it, one across its edge, three quarters within."""
    truth = truth_of(tmp_path, person(1, (0, 0, 79, 100)), person(2, (60, 0, 140, 100)))
    (found,) = truth.people("a.jpg", (640, 480), (480, 480))
    np.testing.assert_allclose(found.box, [0, 0, 60, 100])
    assert found.share == pytest.approx(0.75 * 80 * 100 / 2 / 480**2)
    assert found.pose[0].tolist() == [20, 50, 1]
    truth = truth_of(tmp_path, person(2, (20, 0, 120, 100)))
    (found,) = truth.people("a.jpg", (640, 480), (480, 480))
    assert not found.pose.any()  # its only point is cut away


def test_of_an_outline_that_part_counts_which_is_left(tmp_path):
    """A triangle with its tip in the square: a quarter of its box's half, not half of it."""
    outline = (60, 0, 60, 40, 100, 0)
    truth = truth_of(tmp_path, person(1, (60, 0, 100, 40), outline))
    (found,) = truth.people("a.jpg", (640, 480), (480, 480))
    assert found.share == pytest.approx(0.25 * 40 * 40 / 2 / 480**2)
    beside = (60, 0, 60, 40, 79, 0)
    truth = truth_of(tmp_path, person(1, (60, 0, 100, 40), beside))
    assert truth.people("a.jpg", (640, 480), (480, 480)) == []


@given(
    st.tuples(st.floats(-90, 190), st.floats(-90, 190)),
    st.tuples(st.floats(1, 150), st.floats(1, 150)),
    st.lists(st.integers(0, 359), min_size=3, max_size=9, unique=True),
)
def test_a_cut_outline_covers_as_much_as_there_are_pixels_in_it(middle, radii, angles):
    """Of convex ones: corners on an ellipse."""
    turns = np.radians(sorted(angles))
    around = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    outline = around * radii + middle
    left = _clipped(outline, (100, 80))
    assert _area(left) <= min(_area(outline), 8000) + 1e-6
    if len(left):
        assert left.min() >= -1e-9 and (left.max(axis=0) <= np.array([100, 80]) + 1e-9).all()
    pixels = np.stack(np.meshgrid(np.arange(100), np.arange(80)), axis=2).reshape(-1, 1, 2) + 0.5
    edges, to_pixels = np.roll(outline, -1, axis=0) - outline, pixels - outline
    inside = (edges[:, 0] * to_pixels[..., 1] >= edges[:, 1] * to_pixels[..., 0]).all(axis=1)
    assert abs(inside.sum() - _area(left)) <= np.hypot(*edges.T).sum() + 4


def test_a_crowd_is_told_and_what_is_no_person_is_not(tmp_path):
    runs = {"size": [480, 640], "counts": [0, 640 * 480]}
    crowd = person(1, (200, 0, 300, 100), iscrowd=1, segmentation=runs)
    dog = person(2, (200, 0, 300, 100), category_id=18)
    (found,) = truth_of(tmp_path, crowd, dog).people("a.jpg", (640, 480), (480, 480))
    assert found.crowd


def test_of_a_folder_the_whole_body_s_file_says_more_of_the_same_person(tmp_path):
    pose = np.full((133, 3), 100, np.float32)
    pose[:, 2] = 1
    told = {"id": 4, "image_id": 1}
    body = coco.annotation(pose, (50, 50, 150, 150), whole=False) | told
    whole = coco.annotation(pose, (50, 50, 150, 150)) | told
    pictures = [image(1, "a.jpg")]
    write(tmp_path / "person_keypoints_val2017.json", images=pictures, annotations=[body])
    (found,) = Truth(tmp_path).people("a.jpg", (640, 480), (640, 480))
    assert found.pose[:17].all() and not found.pose[17:].any()
    write(tmp_path / "coco_wholebody_val_v1.0.json", images=pictures, annotations=[whole])
    (found,) = Truth(tmp_path).people("a.jpg", (640, 480), (640, 480))
    np.testing.assert_array_equal(found.pose, pose)
    with pytest.raises(UsageError, match="holds no person_keypoints"):
        Truth(tmp_path / "nothing")


@pytest.mark.parametrize(
    "spoilt", [{"bbox": [1, 2]}, {"keypoints": [1, 2]}, {"area": None}, {"segmentation": [[1]]}]
)
def test_annotations_that_are_none_are_refused_in_one_line(tmp_path, spoilt):
    with pytest.raises(UsageError, match="not in COCO's format") as refused:
        truth_of(tmp_path, person(1, (0, 0, 9, 9)) | spoilt)
    assert "\n" not in str(refused.value)
