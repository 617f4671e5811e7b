"""Sets: what of a folder is a picture, and which pictures are chosen."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import humanverse
from humanverse.codec import encode_depth, encode_normals
from humanverse.errors import DataError, UsageError
from humanverse.evaluate.choose import chosen
from humanverse.evaluate.sets import Folder, Root, choose, opened, seen

KEYS = st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=20)


def picture(path, height=20, width=30, value=0):
    pixels = np.full((height, width, 3), value, np.uint8)
    pixels[:, width // 2 :] = (10, 20, 200)  # blue, green, red
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


@given(KEYS, st.integers(0, 9), st.integers(0, 20))
def test_a_smaller_choice_is_a_part_of_a_larger_one(keys, seed, count):
    few, more = (chosen(sorted(keys), n, seed) for n in (count, count + 1))
    assert set(few) <= set(more) <= keys
    assert len(few) == min(count, len(keys))
    assert few == sorted(few) == chosen(sorted(keys, reverse=True), count, seed)


def test_another_seed_chooses_others():
    keys = [str(n) for n in range(100)]
    assert chosen(keys, 10, 0) != chosen(keys, 10, 1)


def test_a_folders_pictures_are_told_from_what_lies_beside_them(tmp_path):
    for name in ("a.png", "a.depth.png", "a.normal.png", "a.refined.png", "b.JPG", "grid.png"):
        picture(tmp_path / name)
    for name in ("a.txt", "a.json", "c.webm"):
        (tmp_path / name).write_text("{}")
    assert Folder(str(tmp_path)).keys() == ["a", "b"]
    picture(tmp_path / "b.png")
    with pytest.raises(UsageError, match="two pictures b"):
        opened(str(tmp_path))


def test_what_lies_beside_a_picture_is_read_with_it(tmp_path):
    picture(tmp_path / "a.png")
    depth = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    png, scale, offset = encode_depth(depth)
    (tmp_path / "a.depth.png").write_bytes(png)
    (tmp_path / "a.json").write_text(
        f'{{"depth": {{"kind": "disparity", "scale": {scale}, "offset": {offset}}}}}'
    )
    normals = np.zeros((20, 30, 3), np.float32) + np.array([0, 0.6, 0.8], np.float32)
    (tmp_path / "a.normal.png").write_bytes(encode_normals(normals))
    (tmp_path / "a.txt").write_text("somebody \n")
    sample = seen(opened(str(tmp_path)), "a", ("image", "caption", "depth", "normals"), 10)
    assert sample["image"].shape == (10, 10, 3)
    assert sample["image"][0, -1].tolist() == [200, 20, 10]
    assert sample["caption"] == "somebody"
    middle = depth[:, 5:25].reshape(10, 2, 10, 2).mean((1, 3))
    assert sample["depth_kind"] == "disparity"
    assert np.allclose(sample["depth"], middle, atol=1e-4)
    assert np.allclose(sample["normals"], [0, 0.6, 0.8], atol=0.01)


def test_what_cannot_be_read_is_named(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.depth.png").write_bytes(b"nothing")
    pictures = opened(str(tmp_path))
    with pytest.raises(DataError, match=r"a\.depth\.png cannot be read"):
        seen(pictures, "a", ("image", "depth"), 10)
    (tmp_path / "a.normal.png").write_bytes(encode_normals(np.ones((3, 3, 3), np.float32)))
    with pytest.raises(DataError, match="not of its picture's size"):
        seen(pictures, "a", ("image", "normals"), 10)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.png cannot be read as a picture"):
        seen(pictures, "a", ("image",), 10)


def test_a_fingerprint_is_of_the_chosen_pictures_bytes(tmp_path):
    for number in range(3):
        picture(tmp_path / f"{number}.png", value=number)
    before = Folder(str(tmp_path))
    first = before.fingerprint(["0", "1"])
    assert first != before.fingerprint(["0", "2"])
    picture(tmp_path / "2.png", value=9)
    assert Folder(str(tmp_path)).fingerprint(["0", "1"]) == first
    picture(tmp_path / "1.png", value=9)
    assert Folder(str(tmp_path)).fingerprint(["0", "1"]) != first


def test_the_same_keys_are_chosen_where_sets_share_any(tmp_path):
    for name in ("a/1", "a/2", "a/3", "a/4", "b/2", "b/3", "b/4", "b/5", "c/x", "c/y", "c/z"):
        picture(tmp_path / f"{name}.png")
    a, b, c = (opened(str(tmp_path / name)) for name in "abc")
    both = choose(a, b, None, 0)
    assert both.paired
    assert both.real == both.made == ("2", "3", "4")
    assert set(choose(a, b, 2, 7).made) < {"2", "3", "4"}
    apart = choose(a, c, None, 0)
    assert not apart.paired
    assert (len(apart.real), apart.made) == (3, ("x", "y", "z"))
    with pytest.raises(UsageError, match="--count 4: there are 3 pictures in both sets"):
        choose(a, b, 4, 0)
    with pytest.raises(UsageError, match=r"--count 4: there are 3 pictures in .*c"):
        choose(a, c, 4, 0)
    with pytest.raises(UsageError, match="2 or more"):
        choose(a, b, 1, 0)


def test_what_is_no_set_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        opened(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match=r"holds no \.png"):
        opened(str(tmp_path))


def test_a_root_gives_its_samples_middle(scenes):
    root = opened(str(scenes))
    assert isinstance(root, Root)
    key = root.keys()[0]
    sample = seen(root, key, ("image", "poses", "caption"), 64)
    with humanverse.open(scenes) as dataset:
        whole = dataset[key]
    assert sample["image"].shape == (64, 64, 3)
    assert sample["caption"] == whole["caption"]
    height, width = whole["image"].shape[:2]
    sure = (whole["poses"][..., 2] > 0) & (sample["poses"][..., 2] > 0)
    moved = (whole["poses"][..., :2] - [(width - height) / 2, 0]) * 64 / height
    assert sure.any()
    assert np.allclose(sample["poses"][sure][:, :2], moved[sure], atol=0.2)
