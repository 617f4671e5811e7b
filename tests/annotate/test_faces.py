"""Nobody is known by the face that a sample shows; labels and everything else stay."""

import tarfile

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes.perfect import SEEDS, SIZE
from shared import HERE

import humanverse
from humanverse.annotate import BlurFaces
from humanverse.annotate.faces import BLOCKS, HEAD, blur, grown, head_in, head_of
from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.errors import UsageError
from humanverse.keypoints import FACE
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.run.build import Settings, build
from humanverse.testing.perfect import Known
from humanverse.testing.scenes import render

SIDES = st.floats(-50, 150)


@given(st.tuples(SIDES, SIDES, SIDES, SIDES))
def test_a_few_squares_are_left_of_a_box_and_all_of_the_rest(sides):
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    pixels, box = noise.copy(), np.array(sides, np.float32)
    blur(pixels, box)
    left, top = np.floor(np.clip(box[:2], 0, [100, 80])).astype(int)
    right, bottom = np.ceil(np.clip(box[2:], 0, [100, 80])).astype(int)
    outside = np.ones((80, 100), bool)
    outside[top:bottom, left:right] = False
    assert (pixels[outside] == noise[outside]).all()
    if right - left > 4 * BLOCKS and bottom - top > 4 * BLOCKS:
        inside = pixels[top:bottom, left:right].astype(float)
        assert inside.std() < 0.4 * noise[top:bottom, left:right].std()


@pytest.mark.parametrize("seed", range(20))
def test_a_head_is_around_all_that_is_known_of_it(seed):
    scene = render(seed, 200, 200, people=1)
    for points, box in zip(scene.keypoints, scene.boxes, strict=True):
        known = points[np.r_[HEAD, FACE]]
        known = known[known[:, 2] >= 0.3][:, :2]
        low, high = np.split(head_of(points, box), 2)
        assert ((known >= low) & (known <= high)).all()


def test_without_a_sure_point_the_upper_part_of_a_person_is_the_head():
    box = np.array([10, 20, 50, 180], np.float32)
    assert head_of(np.zeros((133, 3), np.float32), box).tolist() == [10, 20, 50, 68]
    assert head_in(np.array([0, 0, 100, 120], np.float32)).tolist() == [0, 0, 100, 100]
    assert grown(box, 2).tolist() == [-10, -60, 70, 260]


def stage_on(image, boxes, scores, people=()):
    batch = pa.table(
        {
            "key": ["0" * 32],
            "image": pa.array([image], pa.large_binary()),
            "boxes": [boxes],
            "box_scores": [scores],
            "person_boxes": pa.array([[]], pa.list_(pa.list_(pa.float32(), 4))),
            "keypoints": pa.array([list(people)], pa.list_(pa.list_(pa.float32(), 399))),
        }
    )
    (row,) = BlurFaces()(batch).to_pylist()
    return row


def test_people_of_whom_the_detector_was_not_sure_are_blurred_too():
    image = encode_jpeg(render(1, 120, 90, people=0).image, 90)
    row = stage_on(image, [[10.0, 10.0, 40.0, 80.0], [60.0, 10.0, 90.0, 80.0]], [0.11, 0.09])
    assert row["face_boxes"] == [[10, 10, 40, 40]]
    assert decode_jpeg(row["blurred"]).shape == (90, 120, 3)


def test_a_picture_of_nobody_keeps_its_bytes():
    image = encode_jpeg(render(1, 60, 50, people=0).image, 90)
    assert stage_on(image, [], []) == {"key": "0" * 32, "blurred": image, "face_boxes": []}


def test_shards_hold_the_blurred_picture_in_place_of_the_other(tmp_path):
    known, photos, root = Known(SEEDS, SIZE), tmp_path / "photos", tmp_path / "root"
    photos.mkdir()
    for number, scene in enumerate(known.scenes):
        cv2.imwrite(str(photos / f"{number}.png"), scene.image[..., ::-1])
    recipe = HERE / "recipes" / "faceless.py"
    build(recipe, [photos], root, settings=Settings("local"))
    assert verify(Store(root)) == []
    packed = {name.partition(".")[2] for tar in root.glob("shards/*.tar") for name in names(tar)}
    assert packed == {"jpg", "txt", "json", "pose.json"}
    whole = {}
    for tar in root.glob("collect/*.tar"):
        with tarfile.open(tar) as opened:
            for name in opened.getnames():
                whole[name.partition(".")[0]] = decode_jpeg(opened.extractfile(name).read())
    with humanverse.open(root) as dataset:
        assert len(dataset) == len(known.scenes)
        for sample in dataset:
            faces = sample["meta"]["face_boxes"]
            assert len(faces) == sample["meta"]["person_count"] > 0
            before = whole[sample["key"]]
            apart = np.abs(before.astype(int) - sample["image"]).max(axis=2)
            for left, top, right, bottom in np.clip(faces, 0, None).round().astype(int):
                apart[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = 0
            assert np.percentile(apart, 99) < 25  # encoded once more
            truth = known.keypoints(before)
            assert np.abs(sample["poses"] - truth).max() < 1e-4


def names(tar):
    with tarfile.open(tar) as opened:
        return opened.getnames()


def test_a_size_that_is_none_is_refused():
    with pytest.raises(UsageError, match="more than 0"):
        BlurFaces(grow=0).check()
