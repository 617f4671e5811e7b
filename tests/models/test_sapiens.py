import json

import numpy as np
import pytest
from models.odd import odd_pictures

from humanverse.errors import UsageError
from humanverse.models.sapiens import SapiensNormals, check
from humanverse.models.torched import TOLERANCE, How

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CPU = How(device="cpu", batch=3)


def folder_of(path, do_pad):
    """A small Sapiens2 for normals with seeded weights, in a folder as the library saves it."""
    torch.manual_seed(0)
    config = transformers.Sapiens2Config(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_attention_heads=2,
        image_size=[64, 48],
        num_register_tokens=2,
        num_labels=3,
        head_config={
            "upsample_out_channels": [16, 16, 8, 8],
            "upsample_kernel_sizes": [3] * 4,
            "use_pixel_shuffle": True,
            "conv_out_channels": [8],
            "conv_kernel_sizes": [3],
        },
    )
    model = transformers.Sapiens2ForNormalEstimation(config)
    with torch.no_grad():
        model.decode_head.predictor.weight.normal_(0, 1)
    model.save_pretrained(path)
    size = {"height": 64, "width": 48}
    transformers.Sapiens2ImageProcessor(size=size, do_pad=do_pad).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["padded", "squeezed"])
def made(request, tmp_path_factory):
    folder = folder_of(tmp_path_factory.mktemp("sapiens"), request.param)
    processor = transformers.Sapiens2ImageProcessor.from_pretrained(folder, local_files_only=True)
    model = transformers.Sapiens2ForNormalEstimation.from_pretrained(folder, local_files_only=True)
    return processor, model.eval(), SapiensNormals(folder, CPU)


def by_transformers(processor, model, image):
    inputs = processor(image, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        given = model(**inputs)
    sides = [image.shape[:2]]
    where = {"source_sizes": sides} if processor.do_pad else {"target_sizes": sides}
    (found,) = processor.post_process_normal_estimation(given, **where)
    vectors = found["normals"].numpy().transpose(1, 2, 0)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return inputs["pixel_values"], vectors / np.maximum(length, 1e-6)


def pictures(made, seed=0):
    bound = made[2].network.bounds.narrow
    return [i for i in odd_pictures(seed) if max(i.shape[:2]) <= bound * min(i.shape[:2])]


def test_normals_are_those_of_the_library(made):
    processor, model, ours = made
    images = pictures(made)
    for image, found in zip(images, ours.estimate(images, []), strict=True):
        inputs, expected = by_transformers(processor, model, image)
        assert torch.equal(ours.network.inputs([image]), inputs)
        assert found.shape == image.shape
        assert np.abs(found - expected).max() < 1e-3
    assert found.std() > 0.01


def test_vectors_are_unit_and_no_picture_is_too_narrow(made):
    images = [*odd_pictures(1), np.zeros((1, 400, 3), np.uint8)]
    for image, found in zip(images, made[2].estimate(images, []), strict=True):
        assert found.shape == image.shape
        assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_an_image_is_seen_the_same_alone_and_among_others(made):
    images = list(odd_pictures(2))
    for image, among in zip(images, made[2].estimate(images, []), strict=True):
        assert np.abs(made[2].estimate([image], [])[0] - among).max() <= TOLERANCE


def test_a_model_for_another_task_is_refused(tmp_path):
    folder_of(tmp_path, True)
    check(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architectures"] = ["Sapiens2ForPoseEstimation"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="holds a Sapiens2ForPoseEstimation"):
        check(tmp_path)
