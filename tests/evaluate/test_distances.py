"""The distances, against other people's code and against what they must hold for all sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from humanverse.errors import DataError
from humanverse.evaluate.distances import clip_score, cmmd, fid, kid, unit
from humanverse.evaluate.statistics import Statistics

torch = pytest.importorskip("torch", reason="torch is not installed")

WIDTH = 12
NUMBERS = st.floats(-50, 50, width=32)
SETS = st.integers(2, 20).flatmap(lambda n: arrays(np.float32, (n, WIDTH), elements=NUMBERS))


def drawn(count, seed, spread=1.0, mean=0.0):
    random = np.random.default_rng(seed)
    turned = random.normal(size=(WIDTH, WIDTH))
    return (random.normal(size=(count, WIDTH)) @ turned * spread + mean).astype(np.float32)


def statistics(features, *cuts):
    whole = Statistics.none(features.shape[1])
    for part in np.split(features, sorted(cuts)):
        whole = whole.and_of(part)
    return whole


class Same(torch.nn.Module):
    """Gives what it is given."""

    num_features = WIDTH

    def forward(self, x):
        return x.flatten(1)


def shown(features):
    return torch.from_numpy(features)[:, :, None, None].double()


@pytest.mark.parametrize("count", [400, 9])
def test_fid_is_torchmetrics(count):
    from torchmetrics.image.fid import FrechetInceptionDistance

    one, other = drawn(count, 1), drawn(count + 3, 2, 1.5, 0.7)
    metric = FrechetInceptionDistance(Same(), normalize=False).set_dtype(torch.float64)
    metric.update(shown(one), real=True)
    metric.update(shown(other), real=False)
    ours = fid(statistics(one, 5), statistics(other, 2, 7))
    assert ours == pytest.approx(metric.compute().item(), rel=1e-3)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kid_of_everything_is_torchmetrics():
    from torchmetrics.image.kid import KernelInceptionDistance

    one, other = drawn(60, 1), drawn(60, 2, 1.2)
    metric = KernelInceptionDistance(Same(), subsets=2, subset_size=60, normalize=False)
    metric.set_dtype(torch.float64)
    metric.update(shown(one), real=True)
    metric.update(shown(other), real=False)
    ours = kid(one, other, size=60)
    assert ours.mean == pytest.approx(metric.compute()[0].item(), rel=1e-3)
    assert (ours.subsets, ours.size, ours.deviation) == (1, 60, None)


def test_kid_over_subsets_is_torch_fidelitys_draw_for_draw():
    from torch_fidelity.metric_kid import kid_features_to_metric

    one, other = drawn(80, 3), drawn(70, 4, 1.2)
    given = {"kid_subsets": 7, "kid_subset_size": 30, "rng_seed": 2020, "verbose": False}
    given |= {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1}
    given |= {"kid_kernel_poly_gamma": None}
    theirs = kid_features_to_metric(torch.from_numpy(one), torch.from_numpy(other), **given)
    ours = kid(one, other, subsets=7, size=30)
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours.deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    assert kid(one, other, 7, 30, seed=1).mean != ours.mean


def test_cmmd_is_the_sum_over_pairs_that_its_authors_wrote_down():
    one, other = unit(drawn(15, 5)), unit(drawn(11, 6, 1, 1.0))

    def mean(x, y):
        pairs = [(a, b) for a in x for b in y]
        return np.mean([np.exp(-sum((a - b) ** 2) / (2 * 10.0**2)) for a, b in pairs])

    plain = 1000 * (mean(one, one) + mean(other, other) - 2 * mean(one, other))
    assert cmmd(one, other) == pytest.approx(plain, rel=1e-3)
    assert cmmd(3 * one, other / 7) == pytest.approx(plain, rel=1e-6)  # directions alone count


def test_cmmd_does_not_depend_on_how_its_rows_are_cut(monkeypatch):
    one, other = drawn(23, 5), drawn(17, 6)
    whole = cmmd(one, other)
    monkeypatch.setattr("humanverse.evaluate.distances.ROWS", 5)
    assert cmmd(one, other) == pytest.approx(whole, rel=1e-9)


def test_clip_score_is_the_mean_cosine_with_what_is_negative_at_0():
    pictures = np.array([[2.0, 0], [0, 1], [1, 0]])
    texts = np.array([[1.0, 1], [0, 3], [-1, 0]])
    assert clip_score(pictures, texts) == pytest.approx(100 * (np.sqrt(0.5) + 1 + 0) / 3)


def test_clip_score_is_torchmetrics_formula():
    from torchmetrics.functional.multimodal.clip_score import _clip_score_update

    class Known(torch.nn.Module):
        """Stands for CLIP: the embeddings are the pictures' and the texts' own numbers."""

        config = type("C", (), {"text_config": type("T", (), {"max_position_embeddings": 77})})

        def get_image_features(self, pixel_values):
            return pixel_values

        def get_text_features(self, input_ids, _):
            return input_ids

    def processor(text=None, images=None, **_):
        rows = torch.from_numpy(texts if text is not None else pictures)
        ids = {"input_ids": rows, "attention_mask": torch.ones(len(rows), 5)}
        return {"pixel_values": rows} if text is None else ids

    pictures, texts = np.abs(drawn(8, 1)), np.abs(drawn(8, 2))
    images = [torch.zeros(3, 8, 8)] * 8
    told, count = _clip_score_update(images, [""] * 8, Known(), processor)
    assert count == 8
    assert clip_score(pictures, texts) == pytest.approx(told.mean().item(), rel=1e-3)


@given(SETS, st.lists(st.integers(0, 20), max_size=4))
def test_statistics_do_not_depend_on_how_features_come(features, cuts):
    parts = statistics(features, *cuts)
    whole = np.asarray(features, np.float64)
    assert parts.count == len(features)
    assert np.allclose(parts.mean, whole.mean(0), atol=1e-9)
    assert np.allclose(parts.covariance, np.cov(whole, rowvar=False), atol=1e-8)


def test_statistics_keep_small_differences_of_large_numbers():
    features = 1e7 + np.random.default_rng(0).normal(size=(50, 3))
    found = statistics(features, 7, 30).covariance
    assert np.allclose(found, np.cov(features, rowvar=False), rtol=1e-5)


@given(SETS)
def test_a_set_is_at_no_distance_from_itself(features):
    scale = max(1.0, float(np.square(features).sum()))
    known = statistics(features)
    assert fid(known, known) < 1e-6 * scale


@given(SETS, SETS)
def test_distances_are_the_same_from_both_sides(one, other):
    there = fid(statistics(one), statistics(other))
    assert there >= 0
    assert fid(statistics(other), statistics(one)) == pytest.approx(there, rel=1e-3, abs=1e-3)
    if len(one) == len(other):
        back = kid(other, one, subsets=1).mean
        assert kid(one, other, subsets=1).mean == pytest.approx(back, rel=1e-6, abs=1e-6)


@given(SETS, arrays(np.float32, WIDTH, elements=NUMBERS))
def test_fid_of_a_moved_set_is_the_way_it_was_moved(features, way):
    wide = features.astype(np.float64)
    moved = fid(statistics(wide), statistics(wide + way))
    assert moved == pytest.approx(float(np.square(way, dtype=np.float64).sum()), rel=1e-4, abs=1e-2)


def test_too_few_pictures_are_refused_with_the_reason():
    one, many = drawn(1, 0), drawn(9, 1)
    with pytest.raises(DataError, match="1 pictures have no covariance"):
        fid(statistics(one), statistics(many))
    with pytest.raises(DataError, match="KID of 1 pictures"):
        kid(one, many)
    with pytest.raises(DataError, match="no pictures"):
        cmmd(many, many[:0])
    with pytest.raises(DataError, match="no pictures"):
        clip_score(many[:0], many[:0])


def test_features_that_are_none_are_refused():
    bad = drawn(4, 0)
    bad[2, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        statistics(bad)
    bad[2] = 0
    with pytest.raises(DataError, match="no direction"):
        unit(bad)
    with pytest.raises(DataError, match="do not compare"):
        fid(statistics(drawn(4, 0)), statistics(drawn(4, 0)[:, :3]))
