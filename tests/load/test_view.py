"""A view shows picture, depth, normals and keypoints alike: what lay together still does."""

import doctest
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import humanverse
from humanverse.errors import UsageError
from humanverse.keypoints import FLIP
from humanverse.load import view as module
from humanverse.load.view import View, drawn, largest, whole
from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import mirror, render

SIDE = st.integers(1, 300)
SIZES = st.tuples(SIDE, SIDE)


def sample(scene):
    return {
        "key": "0" * 32,
        "image": scene.image,
        "depth": scene.depth,
        "normals": scene.normals,
        "poses": scene.keypoints,
        "caption": scene.caption,
    }


@pytest.mark.parametrize("seed", [3, 6, 9])
@pytest.mark.parametrize("mirrored", [False, True])
def test_half_a_scene_is_the_scene_rendered_at_half_the_size(seed, mirrored):
    large = render(seed, 400, 300, people=1)
    small = render(seed, 200, 150, people=1)
    small = mirror(small) if mirrored else small
    view = View(0, 0, 400, 300, (150, 200), mirrored)
    seen = view(sample(large))
    sure = small.keypoints[..., 2] > 0
    assert np.abs(seen["poses"] - small.keypoints)[sure][:, :2].max() < 1e-2
    inside = ~edges(small.depth)
    assert inside.mean() > 0.5
    assert np.median(np.abs(seen["depth"] / small.depth - 1)[inside]) < 1e-3
    assert (np.abs(seen["depth"] / small.depth - 1)[inside] < 0.02).mean() > 0.97
    alike = (seen["normals"] * small.normals).sum(axis=-1)[inside]
    assert (alike > 0.99).mean() > 0.95


def edges(depth):
    """Where something begins: there pixels of two things are mixed."""
    steep = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        jump = np.abs(np.diff(depth, axis=axis)) > 0.03 * depth.min()
        pad = [(0, 0), (0, 0)]
        for side in ((0, 1), (1, 0)):
            pad[axis] = side
            steep |= np.pad(jump, pad)
    return steep


@settings(max_examples=40)
@given(st.integers(0, 10_000), SIZES)
def test_a_spot_of_the_picture_is_where_its_keypoint_is(seed, size):
    """A bright pixel, a keypoint on it, depth and a normal of its own: one place after any view."""
    random = np.random.default_rng(seed)
    height, width = random.integers(40, 200, 2)
    view = drawn((height, width), (64, 48), random)
    y, x = view.top + random.integers(view.height), view.left + random.integers(view.width)
    image, depth = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.float32)
    normals = np.zeros((height, width, 3), np.float32)
    normals[..., 2] = 1
    image[y, x], depth[y, x], normals[y, x] = 255, 100, (1, 0, 0)
    poses = np.zeros((1, 133, 3), np.float32)
    poses[0, 5] = x + 0.5, y + 0.5, 0.9
    seen = view({"image": image, "depth": depth, "normals": normals, "poses": poses})
    point = 6 if view.mirrored else 5
    px, py, confidence = seen["poses"][0, point]
    assert confidence == np.float32(0.9)
    for bright in (seen["image"].max(axis=2), seen["depth"], np.abs(seen["normals"][..., 0])):
        rows, columns = np.nonzero(bright == bright.max())
        reach = max(1, 64 / view.height, 48 / view.width)
        assert np.abs(rows.mean() + 0.5 - py) <= reach
        assert np.abs(columns.mean() + 0.5 - px) <= reach
    sign = seen["normals"][..., 0].sum()
    assert sign < 0 if view.mirrored else sign > 0


@given(SIZES, SIZES, st.integers(0, 1000))
def test_views_lie_inside_their_picture_and_come_out_at_their_size(shape, size, seed):
    picture = np.zeros(shape, np.float32)
    for view in (
        whole(shape, size),
        largest(shape, size),
        drawn(shape, size, np.random.default_rng(seed)),
    ):
        assert 0 <= view.left <= view.left + view.width <= shape[1]
        assert 0 <= view.top <= view.top + view.height <= shape[0]
        assert min(view.width, view.height) >= 1
        assert view.pixels(picture).shape == size


def test_the_largest_crop_keeps_the_aspect_and_touches_two_sides():
    view = largest((100, 300), (64, 64))
    assert (view.left, view.top, view.width, view.height) == (100, 0, 100, 100)
    assert largest((100, 300), (64, 64), across=1).left == 200
    assert largest((300, 100), (64, 64), down=0).top == 0


def test_twice_mirrored_is_as_before():
    scene = render(9, 96, 80, people=2)
    once = View(0, 0, 96, 80, (80, 96), mirrored=True)
    seen = once(once(sample(scene)))
    assert (seen["image"] == scene.image).all()
    assert np.allclose(seen["normals"], scene.normals, atol=1e-6)
    assert np.allclose(seen["poses"][..., :2], scene.keypoints[..., :2], atol=1e-3)
    assert (once(sample(scene))["poses"][:, FLIP, 2] == scene.keypoints[..., 2]).all()


def test_points_and_boxes_outside_a_view_are_not_in_it():
    view = View(10, 10, 20, 20, (40, 40))
    poses = np.zeros((1, 133, 3), np.float32)
    poses[0, 0], poses[0, 1] = (5, 15, 1), (15, 15, 1)
    seen = view.poses(poses)[0]
    assert seen[0, 2] == 0
    assert seen[1].tolist() == [10, 10, 1]
    boxes = view.boxes(np.array([[0, 0, 20, 20], [40, 40, 50, 50]], np.float32))
    assert boxes.tolist() == [[0, 0, 20, 20], [40, 40, 40, 40]]
    assert view.poses(np.zeros((0, 133, 3), np.float32)).shape == (0, 133, 3)


def test_random_views_follow_from_their_random_numbers():
    first, second = (drawn((90, 120), (32, 32), np.random.default_rng(5)) for _ in range(2))
    assert first == second
    random = np.random.default_rng(0)
    views = [drawn((90, 120), (32, 32), random) for _ in range(200)]
    assert 60 < sum(view.mirrored for view in views) < 140
    assert min(view.height for view in views) >= 0.7 * 90 - 1
    assert not any(drawn((9, 9), (3, 3), random, flip=False).mirrored for _ in range(20))


def test_a_view_of_nothing_is_refused():
    with pytest.raises(UsageError, match="no view of"):
        largest((0, 5), (3, 3))


def test_its_examples_run():
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


@given(SIZES, st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(0, 1000))
def test_an_aligned_view_is_the_same_part_of_a_smaller_picture(shape, size, seed):
    view = drawn(shape, size, np.random.default_rng(seed))
    factor = view.reduction()
    aligned = view.aligned(factor)
    assert aligned.reduction() == factor
    for name in ("left", "top", "width", "height"):
        assert 0 <= getattr(view, name) - getattr(aligned, name) < factor
        assert getattr(aligned, name) % factor == 0
    small = aligned.reduced(factor)
    assert factor == 1 or (small.height >= size[0] and small.width >= size[1])
    points = np.array([[view.left + 3.5, view.top + 1.25]])
    assert np.allclose(small.places(points / factor), aligned.places(points), atol=1e-3)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_picture_that_is_decoded_smaller_lies_where_it_lay(factor, tmp_path):
    """Beside the same view of the whole picture, and of maps, which are read in full."""
    scene = render(5, 640, 480, people=1)
    smooth = cv2.GaussianBlur(scene.image, (0, 0), 6)
    pack_scenes(tmp_path, [encoded(replace(scene, image=smooth))])
    size = 440 // factor, 600 // factor
    random = [np.random.default_rng(1) for _ in range(2)]
    with humanverse.open(tmp_path, ["image", "depth", "normals", "poses"]) as dataset:
        seen = dataset.look(0, lambda of: drawn(of, size, random[0], least=0.95))
        assert seen["view"].reduction() == factor
        whole_one = dataset[0]
    expected = seen["view"](whole_one)
    assert np.abs(seen["image"].astype(int) - expected["image"]).mean() < 1.5
    shifted = np.roll(expected["image"], 1, axis=1)
    assert (
        np.abs(seen["image"].astype(int) - shifted).mean()
        > 1.5 * np.abs(seen["image"].astype(int) - expected["image"]).mean()
    )
    assert np.abs(seen["depth"] - expected["depth"]).max() < 1e-3
    alike = (seen["normals"] * expected["normals"]).sum(axis=-1)
    assert np.quantile(alike, 0.02) > 0.999
    assert np.allclose(np.linalg.norm(seen["normals"], axis=-1), 1, atol=1e-5)
    assert (seen["poses"] == expected["poses"]).all()
