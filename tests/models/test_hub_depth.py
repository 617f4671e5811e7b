import json

import numpy as np
import pytest
from models.odd import odd_pictures

from humanverse.errors import UsageError
from humanverse.models.dense import Bounds, stretched
from humanverse.models.hub_depth import HubDepth, check, kind_of
from humanverse.models.torched import TOLERANCE, How

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from models import small_depth  # noqa: E402  # it needs transformers

CPU = How(device="cpu", batch=3)
KINDS = {
    "dpt": "disparity",
    "dpt_hybrid": "disparity",
    "dpt_dinov2": "disparity",
    "depth_anything": "disparity",
    "depth_anything_metric": "metric",
    "zoedepth": "metric",
    "depth_pro": "metric",
}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A small model with seeded weights whose maps are not flat, its processor and its folder."""
    torch.manual_seed(0)
    model, processor = getattr(small_depth, request.param)()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
        for name, parameter in model.named_parameters():
            if name.startswith("head.") and name.endswith("bias"):
                parameter.fill_(0.3)
            if "fov" in name and name.endswith("bias") and parameter.numel() == 1:
                parameter.fill_(50)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    told = "disparity" if request.param.startswith("dpt") else None
    return model.eval(), processor, HubDepth(folder, told, CPU)


def pictures(made, seed=0):
    """Odd pictures, but for those that the library's own processor refuses."""
    extra = np.random.default_rng(seed).integers(0, 256, (2, 130, 77, 3), dtype=np.uint8)
    taken = [one for one in odd_pictures(seed) if stretched(one, made[2].network.bounds) is one]
    assert len(taken) >= 1
    return [*taken, *extra]


def by_transformers(model, processor, image):
    """What the library's pipeline makes of one image: input, and the map at the image's size."""
    inputs = processor(images=image, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        given = model(**inputs)
    (found,) = processor.post_process_depth_estimation(given, [image.shape[:2]])
    return inputs["pixel_values"], found["predicted_depth"].reshape(image.shape[:2]).numpy()


def test_inputs_are_those_of_the_checkpoints_processor(made):
    model, processor, ours = made
    for image in pictures(made):
        expected, _ = by_transformers(model, processor, image)
        assert torch.equal(ours.network.inputs([image]), expected)
        assert ours.network._given(image.shape[:2]) == tuple(expected.shape[-2:])


def test_maps_are_those_of_the_library(made):
    model, processor, ours = made
    images = pictures(made)
    for image, found in zip(images, ours.estimate(images, []), strict=True):
        _, expected = by_transformers(model, processor, image)
        assert found.shape == image.shape[:2]
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-3 * max(np.ptp(expected), 1e-3 * expected.max())
    spread = [np.ptp(found) / np.abs(found).max() for found in ours.estimate(images[:1], [])]
    assert min(spread) > 0.01


def test_an_image_is_seen_the_same_alone_and_among_others(made):
    _, _, ours = made
    images = pictures(made, 1)
    for image, among in zip(images, ours.estimate(images, []), strict=True):
        (alone,) = ours.estimate([image], [])
        assert np.abs(alone - among).max() <= TOLERANCE * np.abs(alone).max()


def test_the_pipeline_says_the_same(made):
    image = next(odd_pictures(2))
    model, processor, ours = made
    pipeline = transformers.pipeline("depth-estimation", model=model, image_processor=processor)
    from PIL import Image

    expected = pipeline(Image.fromarray(image))["predicted_depth"].numpy()
    (found,) = ours.estimate([image], [])
    assert np.abs(found - expected).max() <= 1e-3 * np.ptp(expected)


def test_bf16_says_nearly_the_same(made):
    short = HubDepth(made[2].folder, made[2].kind, How(device="cpu", batch=3, precision="bf16"))
    image = next(odd_pictures(3))
    (exact,), (found,) = made[2].estimate([image], []), short.estimate([image], [])
    assert found.dtype == np.float32
    assert np.median(np.abs(found - exact)) < 0.1 * np.ptp(exact)


def test_no_picture_is_too_narrow(made):
    for size in ((1, 600), (600, 1), (2, 300), (1, 1)):
        (found,) = made[2].estimate([np.full((*size, 3), 90, np.uint8)], [])
        assert found.shape == size
        assert np.isfinite(found).all()


def test_the_kind_is_that_of_the_checkpoint(made, request):
    name = request.node.callspec.params["made"]
    assert made[2].kind == KINDS[name]


def test_nothing_in_gives_nothing_out(made):
    assert made[2].estimate([], []) == []


def test_pictures_of_one_input_size_share_a_forward_pass(tmp_path):
    model, processor = small_depth.depth_anything()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = HubDepth(tmp_path, how=How(device="cpu", batch=4))
    seen = []
    network = ours.network._engine._network
    network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    sizes = [(100, 150), (90, 60), (102, 151), (200, 300), (180, 122), (60, 40)]
    ours.estimate([np.zeros((*size, 3), np.uint8) for size in sizes], [])
    assert sorted(shape[0] for shape in seen) == [1, 2, 3]
    assert len({shape[2:] for shape in seen}) == 2


def test_a_kind_that_nobody_knows_is_asked_for(tmp_path):
    dpt = {"model_type": "dpt"}
    assert kind_of(dpt, tmp_path, "relative") == "relative"
    with pytest.raises(UsageError, match=r"set depth\.kind"):
        kind_of(dpt, tmp_path, None)


def test_a_kind_that_differs_from_the_config_is_refused(tmp_path):
    config = {"model_type": "depth_anything", "depth_estimation_type": "metric"}
    assert kind_of(config, tmp_path, "metric") == "metric"
    with pytest.raises(UsageError, match="gives metric"):
        kind_of(config, tmp_path, "disparity")


def test_a_dpt_that_would_be_given_oblongs_is_refused(tmp_path):
    model, processor = small_depth.dpt()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    check("dpt", tmp_path, "disparity")
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keep_aspect_ratio": True}))
    with pytest.raises(UsageError, match="squares alone"):
        check("dpt", tmp_path, "disparity")


def test_one_model_is_not_taken_for_another(tmp_path):
    model, processor = small_depth.dpt()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="takes depth_anything"):
        check("depth_anything", tmp_path, None)


def test_only_pictures_beyond_the_bounds_are_stretched():
    image = np.arange(2 * 100 * 3, dtype=np.uint8).reshape(2, 100, 3)
    assert stretched(image, Bounds()) is image
    taller = stretched(image, Bounds(narrow=20))
    assert taller.shape == (5, 100, 3)
    assert np.array_equal(taller[0], image[0])
    assert np.array_equal(taller[-1], image[1])
