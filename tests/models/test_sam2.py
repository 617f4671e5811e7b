import numpy as np
import pytest
from models.odd import odd_boxes, odd_pictures

from humanverse.errors import UsageError
from humanverse.models import sam2
from humanverse.models.sam2 import Sam2Segmenter
from humanverse.models.torched import How

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CPU = How(device="cpu", batch=2)
SIZE = 64


def small_config(kind, **more):
    """An image of 64 pixels, in maps of 16, 8 and 4."""
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[SIZE, SIZE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 1, 2, 4],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    prompts = {"hidden_size": 32, "image_size": SIZE, "mask_input_channels": 4}
    masks = {"hidden_size": 32, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return kind(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config=masks | {"iou_head_hidden_dim": 16},
        **more,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small model with seeded weights that sees people and background, and its folder."""
    torch.manual_seed(0)
    model = transformers.Sam2Model(small_config(transformers.Sam2Config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "hypernetworks" in name and name.endswith("weight"):
                parameter.normal_(0, 0.5)
            elif "hypernetworks" in name:
                parameter.normal_(0, 0.1)
    processor = transformers.Sam2ImageProcessor(size={"height": SIZE, "width": SIZE})
    folder = tmp_path_factory.mktemp("sam2")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, transformers.Sam2Processor(processor), folder


def prepared(processor, image, boxes):
    """Told which axis is the colours': the library takes three rows for three of them."""
    return processor(
        images=torch.from_numpy(image).permute(2, 0, 1),
        input_data_format="channels_first",
        input_boxes=[boxes.tolist()],
        return_tensors="pt",
    )


def by_transformers(model, processor, image, boxes):
    inputs = prepared(processor, image, boxes)
    with torch.no_grad():
        given = model(**inputs, multimask_output=False)
    (masks,) = processor.post_process_masks(given.pred_masks, inputs["original_sizes"])
    return masks[:, 0].numpy()


def pairs(seed=0):
    return [(image, odd_boxes(*image.shape[:2])) for image in odd_pictures(seed)]


def test_masks_of_odd_boxes_are_those_of_the_library(made):
    model, processor, folder = made
    segmenter = Sam2Segmenter(folder, CPU)
    shares = []
    for image, boxes in pairs():
        expected = by_transformers(model, processor, image, boxes)
        for box, mask in zip(boxes, expected, strict=True):
            (owners,) = segmenter.segment([image], [box[None]])
            assert (owners.astype(bool) == mask).mean() >= 0.999
            shares.append(mask.mean())
    assert min(shares) < 0.3, "the weights see everything"
    assert max(shares) > 0.7, "the weights see nothing"


def test_an_image_is_seen_the_same_alone_and_among_others(made):
    segmenter = Sam2Segmenter(made[2], CPU)
    images, boxes = zip(*pairs(1), strict=True)
    for image, people, among in zip(images, boxes, segmenter.segment(images, boxes), strict=True):
        (alone,) = segmenter.segment([image], [people])
        assert among.shape == image.shape[:2]
        assert (alone == among).mean() >= 0.999


def test_more_boxes_than_one_pass_takes_are_seen_as_few_are(made, monkeypatch):
    segmenter = Sam2Segmenter(made[2], CPU)
    image, boxes = pairs(2)[0]
    (together,) = segmenter.segment([image], [boxes])
    monkeypatch.setattr(sam2, "PROMPTS", 3)
    (in_parts,) = segmenter.segment([image], [boxes])
    assert (together == in_parts).mean() >= 0.999


def test_an_image_without_people_has_no_owners_and_costs_nothing(made):
    segmenter = Sam2Segmenter(made[2], CPU)
    image, boxes = pairs(3)[0]
    none = boxes[:0]
    empty, seen = segmenter.segment([image, image], [none, boxes[:1]])
    assert not empty.any()
    assert np.array_equal(seen, segmenter.segment([image], [boxes[:1]])[0])
    assert [found.shape for found in segmenter.segment([image], [none])] == [image.shape[:2]]


def test_inputs_and_prompts_are_those_of_the_folders_processor(made):
    _, processor, folder = made
    segmenter = Sam2Segmenter(folder, CPU)
    for image, boxes in pairs(4):
        expected = prepared(processor, image, boxes)
        assert torch.allclose(segmenter.inputs([image]), expected["pixel_values"], atol=1e-6)
        assert np.allclose(segmenter.prompts(image, boxes), expected["input_boxes"][0], atol=1e-3)


def test_a_folder_for_video_which_is_what_is_published_gives_the_same(made, tmp_path):
    model, processor, folder = made
    config = small_config(
        transformers.Sam2VideoConfig,
        image_size=SIZE,
        memory_attention_hidden_size=32,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
    )
    video = transformers.Sam2VideoModel(config)
    assert not video.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    video.save_pretrained(tmp_path)
    processor.image_processor.save_pretrained(tmp_path)
    image, boxes = pairs(5)[0]
    (here,) = Sam2Segmenter(folder, CPU).segment([image], [boxes])
    (there,) = Sam2Segmenter(tmp_path, CPU).segment([image], [boxes])
    assert np.array_equal(here, there)


def test_another_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs a folder"):
        sam2.check(None)
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"type sam; people\.segmenter=sam2 takes sam2"):
        sam2.check(tmp_path)
