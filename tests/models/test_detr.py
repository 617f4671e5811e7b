import numpy as np
import pytest
from models.odd import odd_pictures

from humanverse.errors import UsageError
from humanverse.models.detr import DetrDetector, check, person_class, strongest
from humanverse.models.torched import How

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CPU = How(device="cpu", batch=2)
NAMES = {0: "background", 1: "person", 2: "bicycle"}
LEAST = 0.05


def rf_detr():
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_windows=2,
        out_features=["stage2", "stage4"],
        num_register_tokens=0,
    )
    config = transformers.RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        num_queries=20,
        decoder_layers=2,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        decoder_ffn_dim=32,
        group_detr=1,
        c2f_num_blocks=1,
        id2label=NAMES,
    )
    processor = transformers.RfDetrImageProcessor(size={"height": 64, "width": 64})
    return transformers.RfDetrForObjectDetection(config), processor


def d_fine():
    backbone = transformers.HGNetV2Config(
        num_channels=3,
        embedding_size=8,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 32, 32],
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 32, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 3, 3],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_indices=[2, 3, 4],
    )
    config = transformers.DFineConfig(
        backbone_config=backbone,
        encoder_in_channels=[16, 32, 32],
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_denoising=0,
        id2label=NAMES,
    )
    processor = transformers.RTDetrImageProcessor(size={"height": 64, "width": 64})
    return transformers.DFineForObjectDetection(config), processor


@pytest.fixture(scope="module", params=[rf_detr, d_fine], ids=["rf_detr", "d_fine"])
def made(request, tmp_path_factory):
    """A small model with seeded weights that says something of every query, and its folder."""
    torch.manual_seed(0)
    model, processor = request.param()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "class_embed" in name or "bbox_embed" in name or "enc_score" in name:
                parameter.normal_(0, 0.3)
    folder = tmp_path_factory.mktemp(request.param.__name__)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.eval(), processor, folder


def textured(seed):
    """Pictures with enough in them that no two queries see the same."""
    return [image for image in odd_pictures(seed) if min(image.shape[:2]) > 6]


def by_transformers(model, processor, image):
    inputs = processor(images=image, return_tensors="pt")
    with torch.no_grad():
        given = model(inputs["pixel_values"])
    (found,) = processor.post_process_object_detection(
        given, threshold=LEAST, target_sizes=[image.shape[:2]]
    )
    people = found["labels"] == 1
    limits = np.array([*image.shape[1::-1]] * 2)
    return np.clip(found["boxes"][people].numpy(), 0, limits), found["scores"][people].numpy()


def test_people_are_those_of_the_library(made):
    model, processor, folder = made
    images = textured(0)
    found = DetrDetector(folder, LEAST, CPU).detect(images)
    assert sum(len(people.scores) for people in found) > 10
    for image, people in zip(images, found, strict=True):
        boxes, scores = by_transformers(model, processor, image)
        assert np.allclose(people.scores, scores, atol=1e-3)
        assert np.allclose(people.boxes, boxes, atol=0.5)


def test_inputs_are_those_of_the_checkpoints_processor(made):
    _, processor, folder = made
    ours = DetrDetector(folder, LEAST, CPU)
    for image in odd_pictures(1):
        expected = processor(
            torch.from_numpy(image).permute(2, 0, 1),
            input_data_format="channels_first",
            return_tensors="pt",
        )["pixel_values"]
        assert torch.equal(ours.inputs([image]), expected)


def test_an_image_is_seen_the_same_alone_and_among_others(made):
    _, _, folder = made
    detector = DetrDetector(folder, LEAST, CPU)
    images = textured(2)
    for image, among in zip(images, detector.detect(images), strict=True):
        (alone,) = detector.detect([image])
        assert np.allclose(alone.scores, among.scores, atol=1e-4)
        assert np.allclose(alone.boxes, among.boxes, atol=0.1)


def test_planted_boxes_are_decoded_best_first():
    logits = torch.full((1, 3, 2), -9.0)
    logits[0, 2, 1], logits[0, 0, 0], logits[0, 0, 1] = 3, 2, 1
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0, 0, 0, 0], [0.25, 0.5, 0.5, 1]]])
    corners, scores, classes = strongest(logits, boxes)
    assert classes.tolist() == [[1, 0, 1]]
    assert scores[0].tolist() == pytest.approx([0.9526, 0.8808, 0.7311], abs=1e-4)
    assert corners[0, 0].tolist() == [0, 0, 0.5, 1]
    assert corners[0, 1].tolist() == pytest.approx([0.4, 0.3, 0.6, 0.7])


def test_people_are_known_by_name(tmp_path):
    assert person_class({0: "N/A", 1: "Person"}, tmp_path) == 1
    assert person_class({0: "item"}, tmp_path) == 0
    with pytest.raises(UsageError, match="id2label"):
        person_class({0: "cat", 1: "dog"}, tmp_path)


def test_one_detector_is_not_taken_for_the_other(made):
    model, _, folder = made
    other = {"rf_detr": "dfine", "d_fine": "rfdetr"}[model.config.model_type]
    with pytest.raises(UsageError, match="takes"):
        check(other, folder)


def test_no_folder_is_refused():
    with pytest.raises(UsageError, match=r"docs/models\.md"):
        check("rfdetr", None)
