import numpy as np
import pytest

from humanverse.codec import decode_depth, encode_depth
from humanverse.models.from_depth import normals_from_depth
from humanverse.testing import scenes

WIDE = np.radians(60)


def angles(found, truth):
    return np.degrees(np.arccos(np.clip((found * truth).sum(-1), -1, 1)))


def plane(normal, distance, size, fov):
    """Depth (H, W) of an endless plane that is `distance` away along its normal."""
    height, width = size
    focal = max(size) / 2 / np.tan(fov / 2)
    u = (np.arange(width) + 0.5 - width / 2) / focal
    v = -(np.arange(height) + 0.5 - height / 2) / focal
    toward = normal[0] * u[None, :] + normal[1] * v[:, None] - normal[2]
    return (-distance / toward).astype(np.float32)


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (33, 1), (1, 33), (2, 2), (1, 1)])
@pytest.mark.parametrize("normal", [(0, 0, 1), (0.3, 0.2, 0.93), (-0.4, 0.1, 0.91)])
def test_a_plane_has_its_normal_everywhere(normal, size):
    normal = np.array(normal) / np.linalg.norm(normal)
    depth = plane(normal, 3, size, WIDE)
    assert (depth > 0).all()
    found = normals_from_depth(depth, WIDE)
    if min(size) > 1:
        assert angles(found, normal).max() < 0.05
    assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-6)


def test_a_surface_keeps_its_normal_up_to_an_edge():
    near = plane((0.2, 0, 0.98), 1, (40, 60), WIDE)
    far = plane((-0.3, 0.1, 0.95), 9, (40, 60), WIDE)
    ahead = np.zeros((40, 60), bool)
    ahead[10:30, 20:45] = True
    found = normals_from_depth(np.where(ahead, near, far), WIDE)
    for part, normal in ((ahead, (0.2, 0, 0.98)), (~ahead, (-0.3, 0.1, 0.95))):
        assert angles(found[part], normal / np.linalg.norm(normal)).max() < 0.5


@pytest.mark.parametrize("stored", [False, True])
def test_rendered_scenes_give_back_their_normals(stored):
    """From exact depth, and from depth as it is stored."""
    medians, shares = [], []
    for seed in range(6):
        scene = scenes.render(seed, 256, 256, people=2, indoors=True)
        depth = decode_depth(*encode_depth(scene.depth)) if stored else scene.depth
        off = angles(normals_from_depth(depth, scene.fov), scene.normals)
        medians.append(np.median(off))
        shares.append((off < 10).mean())
    assert np.median(medians) < 1
    assert np.mean(shares) > 0.85


def test_a_mirrored_scene_has_mirrored_normals():
    scene = scenes.render(3, 200, 150, people=1)
    straight = normals_from_depth(scene.depth, scene.fov)
    mirrored = normals_from_depth(scenes.mirror(scene).depth, scene.fov)
    expected = straight[:, ::-1] * np.array([-1, 1, 1])
    # Where both sides are bent alike either may be taken.
    assert (angles(mirrored, expected) < 0.1).mean() > 0.98


def test_a_field_of_view_that_is_none_is_refused():
    with pytest.raises(ValueError, match="between 0 and pi"):
        normals_from_depth(np.ones((3, 3), np.float32), 4)
