import numpy as np
import pytest

from humanverse.keypoints import COUNT, mirror
from humanverse.keypoints import FLIP as PARTNERS
from humanverse.models.mmpose_imports import import_mmpose
from humanverse.models.simcc import decode_simcc, unmirrored_simcc

torch = pytest.importorskip("torch", reason="torch is not installed")

FLIP = torch.from_numpy(PARTNERS.copy())
WIDTH, HEIGHT, SPLIT = 96, 128, 2.0


def planted(seed=0, people=3):
    """Histograms with one peak each, and where the peaks are, in pixels."""
    rng = np.random.default_rng(seed)
    places = rng.integers(1, [WIDTH * SPLIT, HEIGHT * SPLIT], (people, COUNT, 2))
    heights = rng.uniform(0.2, 1, (people, COUNT, 2))
    bins = (np.arange(int(WIDTH * SPLIT)), np.arange(int(HEIGHT * SPLIT)))
    across, down = (
        heights[..., axis, None] * np.exp(-(((bins[axis] - places[..., axis, None]) / 6) ** 2) / 2)
        for axis in (0, 1)
    )
    tensors = (torch.from_numpy(across).float(), torch.from_numpy(down).float())
    return tensors, places / SPLIT, heights.min(axis=-1)


def test_planted_peaks_are_found():
    histograms, places, heights = planted()
    found, scores = decode_simcc(*histograms, SPLIT)
    assert np.allclose(found, places)
    assert np.allclose(scores, heights)


def test_peaks_are_found_as_the_reference_finds_them():
    pytest.importorskip("mmengine", reason="mmpose is not installed")
    import_mmpose()
    from mmpose.codecs import SimCCLabel

    codec = SimCCLabel(input_size=(WIDTH, HEIGHT), sigma=6.0, simcc_split_ratio=SPLIT)
    (across, down), _, _ = planted(1)
    across[0, :5] = -1
    found, scores = decode_simcc(across, down, SPLIT)
    expected, expected_scores = codec.decode(across.numpy(), down.numpy())
    assert np.allclose(found, expected)
    assert np.allclose(scores, expected_scores)


def test_a_keypoint_without_a_positive_score_is_not_found():
    histograms = (torch.zeros(1, 2, 10), torch.zeros(1, 2, 10))
    places, scores = decode_simcc(*histograms, SPLIT)
    assert (places == -1 / SPLIT).all()
    assert (scores == 0).all()


def test_a_mirrored_picture_gives_mirrored_keypoints_with_left_and_right_swapped():
    (across, down), _, _ = planted(2)
    swapped = (across.flip(-1)[:, FLIP], down[:, FLIP])
    places, _ = decode_simcc(across, down, SPLIT)
    seen, _ = decode_simcc(*swapped, SPLIT)
    # A bin is half a pixel wide, and its number that of its left side.
    assert np.allclose(seen, mirror(places.numpy(), WIDTH - 1 / SPLIT))
    back = unmirrored_simcc(*swapped, FLIP)
    assert torch.equal(back[0], across)
    assert torch.equal(back[1], down)
