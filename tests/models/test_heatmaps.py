import numpy as np
import pytest

from humanverse.keypoints import COUNT, mirror
from humanverse.keypoints import FLIP as PARTNERS
from humanverse.models.heatmaps import decode_heatmaps, smoothed, unmirrored_maps

torch = pytest.importorskip("torch", reason="torch is not installed")
gaussian_filter = pytest.importorskip("scipy.ndimage").gaussian_filter

FLIP = torch.from_numpy(PARTNERS.copy())
HEIGHT, WIDTH = 64, 48


def planted(places, heights=None):
    """Maps (..., HEIGHT, WIDTH) with a Gaussian of two cells at each place (..., 2)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = places[..., 0, None, None], places[..., 1, None, None]
    maps = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    if heights is not None:
        maps = maps * heights[..., None, None]
    return torch.from_numpy(maps).float()


def some_places(seed=0, margin=6, people=2):
    rng = np.random.default_rng(seed)
    return rng.uniform(margin, [WIDTH - 1 - margin, HEIGHT - 1 - margin], (people, COUNT, 2))


def test_planted_peaks_are_found_to_a_fraction_of_a_cell():
    places = some_places()
    found, scores = decode_heatmaps(planted(places))
    assert np.abs(found.numpy() - places).max() < 0.05
    assert scores.min() > 0.9


def test_maps_are_smoothed_as_by_scipy():
    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 9, 7))).float()
    for ours, raw in zip(smoothed(maps)[0], maps[0].numpy(), strict=True):
        assert np.allclose(ours, gaussian_filter(raw, sigma=0.8, radius=5), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_peaks_are_found_as_the_reference_finds_them(seed):
    reference = pytest.importorskip("transformers.models.vitpose.image_processing_vitpose")
    rng = np.random.default_rng(seed)
    places = some_places(seed, margin=0, people=3)
    places[0, :4] = [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]
    maps = planted(places, rng.uniform(0.1, 1, places.shape[:2])).numpy()
    maps += rng.normal(0, 1e-3, maps.shape).astype(np.float32)
    coarse, expected_scores = reference.get_keypoint_predictions(maps)
    expected = reference.post_dark_unbiased_data_processing(coarse, maps, kernel=11)
    found, scores = decode_heatmaps(torch.from_numpy(maps))
    assert np.abs(found.numpy() - expected).max() < 1e-3
    assert np.array_equal(scores.numpy(), expected_scores[..., 0])


def test_a_map_without_a_positive_cell_is_not_found():
    found, scores = decode_heatmaps(torch.full((1, 2, 8, 8), -0.5))
    assert (found == -1).all()
    assert (scores < 0).all()


def test_a_mirrored_picture_gives_mirrored_keypoints_with_left_and_right_swapped():
    places = some_places(3)
    maps = planted(places)
    swapped = maps.flip(-1)[:, FLIP]
    found, _ = decode_heatmaps(maps)
    seen, _ = decode_heatmaps(swapped)
    assert np.allclose(seen, mirror(found.numpy(), WIDTH - 1), atol=1e-4)
    assert torch.equal(unmirrored_maps(swapped, FLIP), maps)
