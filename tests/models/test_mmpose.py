import importlib.metadata
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from models.odd import odd_boxes, odd_pictures

from humanverse.errors import UsageError
from humanverse.keypoints import FLIP
from humanverse.models.crops import cut, frames_of, windows_of
from humanverse.models.mmpose import MmposeWholeBody, build, check, config_path, load_state
from humanverse.models.mmpose_imports import CompiledOperator, import_mmpose
from humanverse.models.torched import How

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("mmengine", reason="mmpose is not installed")

SMALL = "rtmw-m_8xb1024-270e_cocktail14-256x192"
LARGE = "rtmw-l_8xb320-270e_cocktail14-384x288"
CPU = How(device="cpu", batch=3)


@pytest.fixture(scope="module")
def apis():
    """The package's own way to run a model. It asks setuptools, which is gone, where it lies."""
    import_mmpose()
    if "pkg_resources" not in sys.modules:
        stand_in = ModuleType("pkg_resources")
        stand_in.DistributionNotFound = ImportError
        stand_in.get_distribution = lambda name: SimpleNamespace(
            location=str(importlib.metadata.distribution(name).locate_file(""))
        )
        sys.modules["pkg_resources"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmpose import apis
    return apis


def seeded(model):
    """Weights, and statistics of normalisation, that let every part of a network matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """RTMW-m at a quarter of its width: its config, and a checkpoint of seeded weights."""
    import_mmpose()
    text = config_path(Path(SMALL)).read_text()
    for old, new in (
        ("widen_factor=0.75", "widen_factor=0.125"),
        ("in_channels=[192, 384, 768]", "in_channels=[32, 64, 128]"),
        ("in_channels=768", "in_channels=128"),
        ("'../../../_base_", f"'{config_path(Path(SMALL)).parents[3]}/_base_"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    folder = tmp_path_factory.mktemp("mmpose")
    (folder / "small.py").write_text(text)
    return folder / "small.py", saved(folder / "small.py", folder / "small.pth")


def saved(config, path):
    model, _ = build(config)
    state = seeded(model).state_dict()
    meta = {"dataset_meta": {"sigmas": np.ones(3), "one": np.float32(1)}}
    torch.save({"state_dict": state, "meta": meta}, path)
    return path


def reference(apis, config, weights, image, boxes, flip):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"model.backbone.init_cfg": None, "model.test_cfg.flip_test": flip}
        model = apis.init_model(str(config), None, device="cpu", cfg_options=options)
        load_state(model, weights)
        found = apis.inference_topdown(model, np.ascontiguousarray(image[..., ::-1]), boxes)
    assert (np.array(model.dataset_meta["flip_indices"]) == FLIP).all()
    people = [sample.pred_instances for sample in found]
    return (
        np.concatenate([p.keypoints for p in people]),
        np.concatenate([p.keypoint_scores for p in people]),
    )


def assert_same(found, keypoints, scores):
    """Places to a hundredth of a pixel of the crop, but where two bins are equally high."""
    apart = np.abs(found[..., :2] - 0.5 - keypoints).max(axis=-1)
    reach = np.abs(keypoints - keypoints.mean(axis=1, keepdims=True)).max(axis=(1, 2)) + 1
    assert (apart < 1e-3 * reach[:, None]).mean() > 0.97
    assert np.abs(found[..., 2] - np.clip(scores, 0, 1)).max() < 1e-2


@pytest.mark.parametrize("flip", [False, True])
def test_keypoints_are_those_of_inference_topdown(apis, small, flip):
    image = next(odd_pictures())
    boxes = odd_boxes(*image.shape[:2])
    (found,) = MmposeWholeBody(*small, flip=flip, how=CPU).estimate([image], [boxes])
    assert_same(found, *reference(apis, *small, image, boxes, flip))


def test_inputs_and_raw_outputs_are_those_of_the_package(apis, small):
    image = next(odd_pictures(1))
    boxes = odd_boxes(*image.shape[:2])
    ours = MmposeWholeBody(*small, flip=False, how=CPU)
    spec = ours._spec
    windows = windows_of(image, frames_of(boxes, spec.shape), spec.shape, spec.unbiased)
    pixels = cut(ours._engine, windows, spec.shape, "blend")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = apis.init_model(str(small[0]), None, device="cpu")
        load_state(theirs, small[1])
        inputs = [topdown(theirs, image, box) for box in boxes]
        data = theirs.data_preprocessor({"inputs": inputs, "data_samples": []})["inputs"]
        with torch.no_grad():
            expected = theirs(data, None, mode="tensor")
    for crop, one in zip(pixels, inputs, strict=True):
        apart = (crop.flip(-1).permute(2, 0, 1).int() - one.int()).abs()
        assert (apart > 1).float().mean() < 0.03
    with torch.inference_mode():
        given = ours._histograms(data)
    for histogram, other in zip(given, expected, strict=True):
        assert torch.allclose(histogram, other, rtol=1e-4, atol=1e-5)


def topdown(model, image, box):
    from mmengine.dataset import Compose

    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    told = {"img": np.ascontiguousarray(image[..., ::-1]), "bbox": box[None]}
    return pipeline(told | {"bbox_score": np.ones(1, np.float32)} | model.dataset_meta)["inputs"]


def test_images_share_batches_and_keep_their_own_people(small):
    images = list(odd_pictures())
    boxes = [odd_boxes(*image.shape[:2])[: n % 4] for n, image in enumerate(images)]
    together = MmposeWholeBody(*small, how=CPU).estimate(images, boxes)
    single = MmposeWholeBody(*small, how=How(device="cpu", batch=1))
    for image, some, found in zip(images, boxes, together, strict=True):
        (alone,) = single.estimate([image], [some])
        assert found.shape == (len(some), 133, 3)
        apart = np.abs(found - alone).max(axis=-1)
        assert (apart < 1e-2).mean() > 0.97 if len(some) else True


@pytest.mark.slow
def test_rtmw_l_as_published_gives_the_keypoints_of_inference_topdown(apis, tmp_path):
    config = config_path(Path(LARGE))
    weights = saved(config, tmp_path / "large.pth")
    image = next(odd_pictures(2))
    boxes = odd_boxes(*image.shape[:2])[:2]
    (found,) = MmposeWholeBody(Path(LARGE), weights, flip=False, how=CPU).estimate([image], [boxes])
    assert_same(found, *reference(apis, config, weights, image, boxes, False))


def test_another_checkpoint_is_refused(small, tmp_path):
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(UsageError, match="no checkpoint"):
        MmposeWholeBody(small[0], tmp_path / "junk.pth")
    torch.save({"state_dict": {"some": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="does not fit"):
        MmposeWholeBody(small[0], tmp_path / "other.pth")


def test_a_pickle_with_code_is_refused(small, tmp_path):
    torch.save({"state_dict": {}, "meta": Path("x")}, tmp_path / "code.pth")
    with pytest.raises(UsageError, match="holds code"):
        MmposeWholeBody(small[0], tmp_path / "code.pth")


def test_a_model_of_other_keypoints_is_refused(small, tmp_path):
    text = small[0].read_text().replace("num_keypoints = 133", "num_keypoints = 17")
    (tmp_path / "body.py").write_text(text)
    with pytest.raises(UsageError, match="17 keypoints"):
        build(tmp_path / "body.py")


@pytest.mark.parametrize("config", [None, "rtmw-q"])
def test_a_config_that_is_none_is_refused(config, small):
    with pytest.raises(UsageError, match="config"):
        check(config and Path(config), small[1])


def test_an_operator_that_could_not_be_compiled_says_so():
    with pytest.raises(UsageError, match="compiled"):
        CompiledOperator()
