import dataclasses

import numpy as np
import pytest

from humanverse import keypoints as kp
from humanverse.testing import scenes
from humanverse.testing._raster import Ball, Box, Camera, Canvas, Drum, Limb, Solid
from humanverse.testing._texture import plain


@pytest.fixture(scope="module")
def crowd():
    return [scenes.render(seed, 160, 128, people=2) for seed in range(12)]


def test_the_same_seed_gives_the_same_bytes():
    one, other = scenes.render(3, 96, 80), scenes.render(3, 96, 80)
    for field in dataclasses.fields(scenes.Scene):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_other_seeds_give_other_pictures():
    assert (scenes.render(3, 96, 80).image != scenes.render(4, 96, 80).image).any()


def test_arrays_have_the_promised_shapes_and_types(crowd):
    for scene in crowd:
        count = len(scene.boxes)
        assert (scene.image.shape, scene.image.dtype) == ((128, 160, 3), np.uint8)
        assert (scene.depth.shape, scene.depth.dtype) == ((128, 160), np.float32)
        assert (scene.normals.shape, scene.normals.dtype) == ((128, 160, 3), np.float32)
        assert scene.keypoints.shape == (count, 133, 3)
        assert scene.person_ids.max(initial=0) == count
        assert scene.caption


def test_depth_is_positive_and_ends_at_the_sky(crowd):
    for scene in crowd:
        assert scene.depth.min() > 0
        assert scene.depth.max() <= 80


def test_normals_are_unit_and_face_the_viewer(crowd):
    for scene in crowd:
        np.testing.assert_allclose(np.linalg.norm(scene.normals, axis=2), 1, atol=1e-4)
        assert ((scene.normals * -_rays(scene)).sum(axis=2) > -0.02).all()


def test_normals_agree_with_the_slope_of_the_depth_on_people(crowd):
    """The cross product of neighbouring surface points is the normal, except across edges."""
    angles = []
    for scene in crowd:
        points = _rays(scene) * scene.depth[..., None]
        across, down = np.diff(points, axis=1)[:-1], np.diff(points, axis=0)[:, :-1]
        slope = np.cross(down, across)
        slope /= np.linalg.norm(slope, axis=2, keepdims=True)
        ids = scene.person_ids
        inner = (
            (ids[:-1, :-1] > 0) & (ids[:-1, 1:] == ids[:-1, :-1]) & (ids[1:, :-1] == ids[:-1, :-1])
        )
        cosine = (slope * scene.normals[:-1, :-1]).sum(axis=2)[inner]
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    assert np.median(np.concatenate(angles)) < 12


def test_boxes_bound_the_masks_exactly(crowd):
    for scene in crowd:
        for index, box in enumerate(scene.boxes.astype(int), start=1):
            rows, columns = np.nonzero(scene.person_ids == index)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == edges


def test_visible_keypoints_lie_on_their_person(crowd):
    for scene in crowd:
        for index, points in enumerate(scene.keypoints, start=1):
            x, y = points[points[:, 2] == scenes.VISIBLE, :2].T.astype(int)
            assert (scene.person_ids[y, x] == index).all()


def test_keypoints_outside_the_picture_have_no_confidence(crowd):
    for scene in crowd:
        x, y, seen = np.moveaxis(scene.keypoints, 2, 0)
        outside = (x < 0) | (y < 0) | (x >= 160) | (y >= 128)
        assert (seen[outside] == 0).all()


def test_a_mirrored_scene_swaps_left_and_right():
    scene = scenes.render(11, 120, 96, people=1)
    flipped = scenes.mirror(scene)
    wrist = kp.NAMES.index("left_wrist"), kp.NAMES.index("right_wrist")
    assert flipped.keypoints[0, wrist[0], 0] == 120 - scene.keypoints[0, wrist[1], 0]
    np.testing.assert_array_equal(flipped.normals[:, ::-1, 0], -scene.normals[:, :, 0])
    np.testing.assert_array_equal(flipped.depth[:, ::-1], scene.depth)
    rows, columns = np.nonzero(flipped.person_ids == 1)
    assert flipped.boxes[0].tolist() == [
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    ]
    np.testing.assert_allclose(scenes.mirror(flipped).keypoints, scene.keypoints, atol=1e-4)


def test_the_person_who_faces_the_viewer_has_their_left_on_our_right():
    """Told by the face: the left eye lies to the right of the right eye when the nose is seen."""
    right = 0
    for seed in range(20):
        for points in scenes.render(seed, 96, 96, people=1).keypoints:
            if (points[:3, 2] == scenes.VISIBLE).all():
                right += 1 if points[1, 0] > points[2, 0] else -1
    assert right > 5


def test_people_and_place_can_be_asked_for():
    assert len(scenes.render(5, 64, 64, people=0).boxes) == 0
    assert len(scenes.render(5, 256, 192, people=3).boxes) >= 1
    outdoors = [scenes.render(seed, 64, 64, people=0, indoors=False) for seed in range(6)]
    assert max(scene.depth.max() for scene in outdoors) > 60
    assert "room" in scenes.render(5, 64, 64, indoors=True).caption


def test_sizes_and_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="16 x 16"):
        scenes.render(0, 8, 64)
    with pytest.raises(ValueError, match="0 to 8 people"):
        scenes.render(0, people=9)


@pytest.mark.parametrize("shape", [Ball(), Box(), Limb(0.5, 0.2, 1.0), Drum(0.6, 0.3, 1.0)])
def test_every_shape_is_as_deep_as_its_surface(shape):
    """Points recovered from the depth lie on the surface, and the normal is outward there."""
    frame = np.diag([0.8, 1.1, 0.7]).astype(np.float32)
    paint = plain(np.ones(3, np.float32))
    solid = Solid(shape, np.array([0.1, -0.2, -4], np.float32), frame, paint, 1)
    camera = Camera(64, 64, 60.0, np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    canvas = Canvas(camera, [solid])
    hit = canvas.owners == 1
    assert hit.sum() > 100
    own = (canvas.points()[hit] - solid.centre) / np.diag(frame)
    assert np.abs(_gap(shape, own)).max() < 1e-3
    low, high = shape.bounds()
    assert (own >= low - 1e-3).all()
    assert (own <= high + 1e-3).all()


def _gap(shape, points):
    """Signed distance, roughly, of points (n, 3) to a shape's surface."""
    around = np.hypot(points[:, 0], points[:, 2])
    if isinstance(shape, Ball):
        return np.linalg.norm(points, axis=1) - 1
    if isinstance(shape, Box):
        return np.abs(points).max(axis=1) - 1
    if isinstance(shape, Drum):
        side = around - (shape.start + (shape.end - shape.start) * points[:, 1] / shape.length)
        lid = np.abs(points[:, 1] - shape.length / 2) - shape.length / 2
        return np.maximum(side, lid)
    steps = np.linspace(0, 1, 2001)
    centres = steps * shape.length
    radii = shape.start + (shape.end - shape.start) * steps
    return (np.hypot(around[:, None], points[:, 1, None] - centres) - radii).min(axis=1)


def _rays(scene):
    """(H, W, 3), the camera-frame direction of every pixel, z = -1."""
    height, width = scene.depth.shape
    x = (np.arange(width) + 0.5 - width / 2) / scene.focal
    y = -(np.arange(height) + 0.5 - height / 2) / scene.focal
    return np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=2)
