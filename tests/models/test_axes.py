"""A floor, a wall and a sphere, put through the axes of every source."""

import numpy as np
import pytest

from humanverse.models.axes import OMNIDATA, OPENCV, OURS, SAPIENS
from humanverse.models.from_depth import normals_from_depth

torch = pytest.importorskip("torch", reason="torch is not installed")

from humanverse.models.normal_maps import unit  # noqa: E402  # it needs torch

SIDE = 61
FLOOR, WALL = (0, 1, 0), (1, 0, 0)
SOURCES = {  # what each source says of right, up, and towards the viewer
    "ours": (OURS, np.diag([1, 1, 1])),
    "omnidata": (OMNIDATA, np.diag([1, -1, 1])),
    "opencv": (OPENCV, np.diag([1, -1, -1])),
    "sapiens2": (SAPIENS, np.diag([1, 1, 1])),
}


def sphere():
    """Normals (3, SIDE, SIDE) of a ball that fills the picture; beyond it, of a wall behind."""
    y, x = np.mgrid[1 : -1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    inside = x * x + y * y < 1
    z = np.sqrt(np.where(inside, 1 - x * x - y * y, 0))
    return np.where(inside, np.stack([x, y, z]), np.array([0, 0, 1])[:, None, None])


@pytest.mark.parametrize("source", SOURCES)
def test_a_sphere_and_planes_come_out_in_our_axes(source):
    axes, theirs = SOURCES[source]
    for truth in (
        sphere(),
        np.tile(np.array(FLOOR)[:, None, None], (1, 4, 4)),
        np.tile(np.array(WALL)[:, None, None], (1, 4, 4)),
    ):
        told = torch.from_numpy(np.einsum("ij,jhw->ihw", theirs, truth).astype(np.float32)) * 3
        assert np.allclose(unit(told, axes).numpy(), truth, atol=1e-6)


def test_on_a_sphere_right_is_red_up_is_green_and_the_middle_faces_the_viewer():
    ball = sphere()
    middle = SIDE // 2
    assert ball[0, middle, -3] > 0.9
    assert ball[1, 2, middle] > 0.9
    assert ball[2, middle, middle] == pytest.approx(1)


def test_a_vector_without_direction_faces_the_viewer():
    assert unit(torch.zeros(3, 1, 1), OMNIDATA).flatten().tolist() == [0, 0, 1]


def test_depth_of_a_sphere_gives_its_normals():
    """A ball of radius 1 m, 4 m before the camera: its points by the ray, its normals by itself."""
    size, fov = 401, 0.6
    focal = size / 2 / np.tan(fov / 2)
    u = (np.arange(size) + 0.5 - size / 2) / focal
    u, v = np.meshgrid(u, -u)
    rays = np.stack([u, v, -np.ones_like(u)], axis=-1)
    centre = np.array([0, 0, -4.0])
    along, square = rays @ centre, (rays**2).sum(-1)
    inside = along**2 - square * (centre @ centre - 1)
    hit = inside > 0
    depth = np.where(hit, (along - np.sqrt(np.where(hit, inside, 0))) / square, 9.0)
    truth = rays * depth[..., None] - centre
    found = normals_from_depth(depth.astype(np.float32), fov)
    face = hit & (truth[..., 2] > 0.5)
    angle = np.degrees(np.arccos(np.clip((found * truth).sum(-1), -1, 1)))
    assert angle[face].max() < 0.1
    assert (found[~hit] @ np.array([0, 0, 1]))[200:300].min() > 0.999
