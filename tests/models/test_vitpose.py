import numpy as np
import pytest
from models.odd import odd_boxes, odd_pictures

from humanverse.errors import UsageError
from humanverse.keypoints import FLIP
from humanverse.models.crops import cut, frames_of, windows_of
from humanverse.models.heatmaps import unmirrored_maps
from humanverse.models.torched import How, normalised
from humanverse.models.vitpose import VitPose, check

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CPU = How(device="cpu", batch=3)


def folder_of(path, points=133, experts=6):
    """A small ViTPose++ with seeded weights, in a folder as the library saves it."""
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_experts=experts,
        part_features=8 if experts > 1 else 0,
        out_indices=[2],
    )
    config = transformers.VitPoseConfig(
        backbone_config=backbone, num_labels=points, use_simple_decoder=False
    )
    model = transformers.VitPoseForPoseEstimation(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "deconv" in name:
                parameter.normal_(0, 0.3)
        # Maps as trained ones are: some tenths high, and nowhere a cliff.
        model.head.conv.weight.normal_(0, 2e-4)
        model.head.conv.bias.fill_(0.3)
    model.save_pretrained(path)
    transformers.VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture(scope="module")
def reference(folder):
    processor = transformers.VitPoseImageProcessor.from_pretrained(folder, local_files_only=True)
    model = transformers.VitPoseForPoseEstimation.from_pretrained(folder, local_files_only=True)
    return processor, model.eval()


def as_coco(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def by_transformers(reference, image, boxes):
    """Inputs, heat maps, keypoints (n, k, 2) and scores (n, k), one image at a time."""
    processor, model = reference
    inputs = processor(
        image, boxes=[as_coco(boxes)], input_data_format="channels_last", return_tensors="pt"
    )["pixel_values"]
    with torch.no_grad():
        given = model(inputs, dataset_index=torch.full((len(inputs),), 5))
    (people,) = processor.post_process_pose_estimation(given, boxes=[as_coco(boxes)])
    places = np.stack([person["keypoints"].numpy() for person in people])
    scores = np.stack([person["scores"].numpy() for person in people])
    return inputs, given.heatmaps, places, scores


def test_inputs_and_heat_maps_are_those_of_the_library(folder, reference):
    image = next(odd_pictures())
    boxes = odd_boxes(*image.shape[:2])
    ours = VitPose(folder, how=CPU)
    windows = windows_of(image, frames_of(boxes, ours._shape), ours._shape, unbiased=True)
    inputs = normalised(cut(ours._engine, windows, ours._shape, "cut"), *ours._normal)
    expected_inputs, expected_maps, _, _ = by_transformers(reference, image, boxes)
    # One level of 255 is 0.018 of a deviation.
    assert (inputs - expected_inputs).abs().max() < 0.02
    with torch.inference_mode():
        maps = ours._maps(expected_inputs)
    assert torch.allclose(maps, expected_maps, rtol=1e-4, atol=1e-5)


def test_keypoints_are_those_of_the_library(folder, reference):
    images = list(odd_pictures())
    boxes = [odd_boxes(*image.shape[:2]) for image in images]
    found = VitPose(folder, how=CPU).estimate(images, boxes)
    for image, some, people in zip(images, boxes, found, strict=True):
        _, _, places, scores = by_transformers(reference, image, some)
        cells = frames_of(some, (48, 64)).size.max(axis=1)[:, None] / 16
        apart = np.abs(people[..., :2] - 0.5 - places).max(axis=-1)
        # Random maps have many peaks of nearly one height: one level may choose another.
        assert (apart < 0.05 * cells).mean() > 0.9
        assert np.abs(people[..., 2] - np.clip(scores, 0, 1)).max() < 0.02


def test_the_expert_for_the_whole_body_looks(folder):
    image = next(odd_pictures())
    boxes = [odd_boxes(*image.shape[:2])[:1]]
    chosen, sixth, first = (
        VitPose(folder, expert=expert, how=CPU).estimate([image], boxes)[0]
        for expert in (None, 5, 0)
    )
    assert np.array_equal(chosen, sixth)
    assert not np.array_equal(chosen, first)


def test_looking_twice_sees_a_mirrored_picture_as_the_mirror_of_the_picture(folder):
    """With two looks the network's own left and right cannot matter."""
    twice = VitPose(folder, flip=True, how=CPU)
    picture = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        seen, mirrored = twice._looked_at(picture), twice._looked_at(picture.flip(-1))
    assert torch.allclose(unmirrored_maps(mirrored, torch.from_numpy(FLIP.copy())), seen, atol=1e-5)


def test_a_model_of_the_body_alone_leaves_the_rest_at_confidence_0(tmp_path):
    image = next(odd_pictures())
    body = VitPose(folder_of(tmp_path, points=17, experts=1), how=CPU)
    (people,) = body.estimate([image], [odd_boxes(*image.shape[:2])[:2]])
    assert people.shape == (2, 133, 3)
    assert people[:, :17, 2].max() > 0
    assert (people[:, 17:] == 0).all()


def test_no_people_are_no_work(folder):
    (people,) = VitPose(folder, how=CPU).estimate(
        [np.zeros((4, 4, 3), np.uint8)], [np.zeros((0, 4), np.float32)]
    )
    assert people.shape == (0, 133, 3)


def test_an_expert_that_is_not_there_is_refused(folder):
    with pytest.raises(UsageError, match="experts 0 to 5"):
        VitPose(folder, expert=6)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.json", None, "has no config.json"),
        ("preprocessor_config.json", None, "has no preprocessor"),
        ("model.safetensors", None, "pickled weights are not opened"),
        ("config.json", '{"model_type": "bert"}', "of type bert"),
        ("config.json", "{", "as JSON"),
    ],
)
def test_a_folder_with_another_content_is_refused_without_loading_it(tmp_path, name, text, told):
    folder_of(tmp_path, points=17, experts=1)
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=told):
        check(tmp_path)


def test_weights_that_are_left_out_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder_of(tmp_path, points=17, experts=1)
    state = load_file(tmp_path / "model.safetensors")
    state.pop("head.conv.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"head\.conv\.weight"):
        VitPose(tmp_path)
