import sys

import numpy as np
import pytest

from humanverse.models.base import DepthEstimator, NormalEstimator
from humanverse.models.blaze.wholebody import BodyFinder
from humanverse.models.lite import WEIGHTS, LiteDepth, LiteGeometry, LiteNormals
from humanverse.testing import scenes

HELD_OUT = 10_000_000
"""Seeds from here on were never trained on."""
NOBODY = np.empty((0, 4), np.float32)


def depth_of(image, boxes=NOBODY):
    return LiteDepth().estimate([image], [boxes])[0]


@pytest.fixture(scope="module")
def unseen():
    return [scenes.render(seed, people=1) for seed in range(HELD_OUT, HELD_OUT + 24)]


@pytest.mark.parametrize("shape", [(1, 1), (37, 301), (301, 37), (192, 192), (480, 640)])
def test_results_have_the_images_size_whatever_it_is(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    disparity, normals = LiteGeometry().infer(image)
    assert (disparity.shape, disparity.dtype) == (shape, np.float32)
    assert (normals.shape, normals.dtype) == ((*shape, 3), np.float32)
    assert np.isfinite(disparity).all()


@pytest.mark.parametrize("tone", [0, 255])
def test_normals_are_unit_even_where_nothing_is_to_be_seen(tone):
    normals = LiteNormals().estimate([np.full((50, 70, 3), tone, np.uint8)], [NOBODY])[0]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1, atol=1e-4)


def test_the_same_image_gives_the_same_bytes_whatever_was_asked_between(unseen):
    geometry = LiteGeometry()
    first = geometry.infer(unseen[0].image)
    geometry.infer(unseen[1].image)
    again = geometry.infer(unseen[0].image)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


def test_a_batch_gives_what_single_images_give(unseen):
    images = [scene.image for scene in unseen[:3]]
    for batched, image in zip(LiteDepth().estimate(images, [NOBODY] * 3), images, strict=True):
        np.testing.assert_array_equal(batched, depth_of(image))


def test_both_views_of_one_image_run_the_network_once(unseen, monkeypatch):
    """The second view takes the first one's answer; an image changed in place is seen anew."""
    from humanverse.models import lite

    network = lite._Network(WEIGHTS)
    runs = []
    session = network._session

    class Counting:
        def run(self, names, feed):
            runs.append(1)
            return session.run(names, feed)

    network._session = Counting()
    monkeypatch.setattr(lite, "_network", lambda _: network)
    image = unseen[0].image.copy()
    depth_of(image)
    LiteNormals().estimate([image], [NOBODY])
    assert len(runs) == 1
    image[:50] = 0
    LiteNormals().estimate([image], [NOBODY])
    assert len(runs) == 2


def test_views_follow_the_protocols():
    depth: DepthEstimator = LiteDepth()
    normals: NormalEstimator = LiteNormals()
    assert depth.kind == "disparity"
    assert depth.estimate([], []) == normals.estimate([], []) == []


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3)),
     np.zeros((0, 5, 3), np.uint8)],
)  # fmt: skip
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match="expected"):
        LiteGeometry().infer(image)


def test_unseen_people_are_nearer_than_the_rest_of_the_picture(unseen):
    """Where the truth puts the person well before the rest, so does the network, nearly always."""
    right = asked = 0
    for scene in unseen:
        person = scene.person_ids == 1
        if not 0.03 < person.mean() < 0.8:
            continue
        if np.median(scene.depth[person]) > 0.8 * np.median(scene.depth[~person]):
            continue
        disparity = depth_of(scene.image)
        asked += 1
        right += np.median(disparity[person]) > np.median(disparity[~person])
    assert asked >= 8
    assert right >= 0.85 * asked


def test_unseen_scenes_are_told_better_than_by_a_guess(unseen):
    """Disparity follows the truth; normals beat the best constant, a wall facing the viewer."""
    fits, angles, guessed = [], [], []
    for scene in unseen:
        disparity, normals = LiteGeometry().infer(scene.image)
        fits.append(np.corrcoef(disparity.ravel(), (1 / scene.depth).ravel())[0, 1])
        cosine = np.clip((normals * scene.normals).sum(axis=2), -1, 1)
        angles.append(np.degrees(np.arccos(cosine)).mean())
        guessed.append(np.degrees(np.arccos(scene.normals[..., 2].clip(-1, 1))).mean())
    assert np.median(fits) > 0.65
    assert np.mean(angles) < 0.8 * np.mean(guessed)


def test_the_weights_are_small():
    onnx = pytest.importorskip("onnx")
    assert WEIGHTS.stat().st_size <= 4_000_000
    model = onnx.load(WEIGHTS)
    assert sum(np.prod(tensor.dims) for tensor in model.graph.initializer) <= 2_000_000


def test_people_of_boxes_stand_up_and_are_round(astronaut, estimator):
    """The woman is nearer than all around her, nearly level, and turns away at her shoulders."""
    boxes = np.array([[20, 0, 440, 512]], np.float32)
    (mask,) = BodyFinder().masks(astronaut, boxes)
    alone, depth = depth_of(astronaut), depth_of(astronaut, boxes)
    inside, outside = mask > 0.9, mask < 0.01
    assert 0.2 < inside.mean() < 0.8
    assert np.median(depth[inside]) > np.quantile(depth[outside], 0.9)
    assert depth[inside].std() < 0.3 * alone[inside].std()
    flat = LiteNormals().estimate([astronaut], [NOBODY])[0]
    normals = LiteNormals().estimate([astronaut], [boxes])[0]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1, atol=1e-4)
    assert np.abs(normals - flat)[outside].max() < 0.05 < np.abs(normals - flat)[inside].mean()


def test_masks_have_the_images_size_one_a_box(astronaut, estimator):
    boxes = np.array([[20, 0, 440, 512], [500, 500, 510, 510]], np.float32)
    masks = BodyFinder().masks(astronaut[:300], boxes)
    assert [(mask.shape, mask.dtype) for mask in masks] == [((300, 512), np.float32)] * 2
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in masks)
    assert BodyFinder().masks(astronaut, NOBODY) == []


def test_pictures_without_people_load_nothing_of_blazepose(unseen, monkeypatch):
    from humanverse.models import lite

    def never():
        raise AssertionError

    monkeypatch.setattr(lite, "_bodies", never)
    assert np.isfinite(depth_of(unseen[0].image)).all()
    LiteNormals().estimate([unseen[0].image], [NOBODY])


def test_inference_needs_no_torch():
    import subprocess

    code = (
        "import sys, numpy as np; from humanverse.models.lite import LiteGeometry;"
        "LiteGeometry().infer(np.zeros((9, 9, 3), np.uint8)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
