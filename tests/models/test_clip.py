"""CLIP's towers against transformers and timm, on the same seeded random weights."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from models.odd import odd_pictures
from PIL import Image

from humanverse.errors import UsageError
from humanverse.models.clip import TOWER, ClipImages, ClipTexts, check_images, check_texts
from humanverse.models.clip_pixels import NARROW, by_timm, trimmed
from humanverse.models.torched import TOLERANCE, Engine, How

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from models.small_clip import CONTEXT, SIDE, WIDTH, clip_folder  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from timm.models.vision_transformer import (  # noqa: E402
    _create_vision_transformer,
    default_cfgs,
)

CPU = How(device="cpu", batch=3)
TEXTS = ["a man on a horse", "", "so long that no tower would read all of it", "über 7 o'clock"]
SMALL = "vit_small_patch8_clip_quickgelu_32.openai"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def reference(folder):
    processor = transformers.CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    model = transformers.CLIPModel.from_pretrained(folder, local_files_only=True)
    return processor, model.eval()


def small_tower():
    """A small tower that timm knows by name, as it knows the published ones."""
    name = SMALL.partition(".")[0]
    if not timm.models.is_model(name):

        def tower(pretrained=False, **settings):
            own = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2}
            own |= {"act_layer": "quick_gelu", "pre_norm": True, "img_size": SIDE}
            own |= {"norm_layer": torch.nn.LayerNorm}
            return _create_vision_transformer(name, pretrained=pretrained, **own | settings)

        tower.__name__, tower.__module__ = name, "timm.models.vision_transformer"
        large = default_cfgs[TOWER.partition(".")[0]]
        config = large.cfgs[TOWER.partition(".")[2]]
        small = replace(config, input_size=(3, SIDE, SIDE), num_classes=WIDTH)
        made = type(large)()
        made.cfgs["openai"], made.is_pretrained = small, True
        made.tags.append("openai")
        default_cfgs[name] = made
        timm.models.register_model(tower)
    return name


def features(model, output):
    unit = torch.nn.functional.normalize(output.pooler_output, dim=-1)
    return unit.detach().numpy()


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_pictures_are_where_the_library_puts_them(folder, reference, library):
    processor, model = reference
    ours = ClipImages(folder, library=library, how=CPU)
    images = [
        image for image in odd_pictures() if max(image.shape) <= NARROW * min(image.shape[:2])
    ]
    for image, found in zip(images, ours.embed(images), strict=True):
        inputs = processor(image, input_data_format="channels_last", return_tensors="pt")
        assert torch.equal(ours.inputs([image]), inputs["pixel_values"])
        with torch.no_grad():
            expected = features(model, model.get_image_features(**inputs))[0]
        assert np.abs(found - expected).max() < 1e-5
    assert ours.width == WIDTH == len(expected)


def test_both_libraries_agree_on_real_shapes_of_the_large_tower():
    from humanverse.models.clip_weights import timm_names

    with torch.device("meta"):
        known = timm.create_model(TOWER, num_classes=768).state_dict()
        config = transformers.CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            patch_size=14,
            projection_dim=768,
        )
        named = timm_names(transformers.CLIPVisionModelWithProjection(config).state_dict())
    assert {n: v.shape for n, v in named.items()} == {n: v.shape for n, v in known.items()}


def test_a_folder_whose_towers_do_not_know_their_width_is_read_all_the_same(folder, tmp_path):
    again = shutil.copytree(folder, tmp_path / "clip")
    config = json.loads((again / "config.json").read_text())
    for tower in ("vision_config", "text_config"):
        config[tower]["projection_dim"] = 512
    (again / "config.json").write_text(json.dumps(config))
    images = list(odd_pictures())[:1]
    for one in (again, folder):
        assert ClipTexts(one, CPU).embed(TEXTS).shape == (len(TEXTS), WIDTH)
    found, expected = (ClipImages(one, how=CPU).embed(images) for one in (again, folder))
    assert np.array_equal(found, expected)


def test_texts_are_where_the_library_puts_them_and_long_ones_are_cut(folder, reference):
    tokenise = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ours = ClipTexts(folder, CPU)
    for text, found in zip(TEXTS, ours.embed(TEXTS), strict=True):
        tokens = tokenise([text], truncation=True, max_length=CONTEXT, return_tensors="pt")
        with torch.no_grad():
            expected = features(reference[1], reference[1].get_text_features(**tokens))[0]
        assert np.abs(found - expected).max() < 1e-5
    long = "x" * CONTEXT
    assert np.array_equal(*ours.embed([long, long + " and what nobody reads"]))


def test_neighbours_in_a_batch_do_not_matter(folder):
    images, texts = ClipImages(folder, how=CPU), ClipTexts(folder, CPU)
    for ours, items in ((images, list(odd_pictures(1))), (texts, TEXTS)):
        together = ours.embed(items)
        alone = np.concatenate([ours.embed([item]) for item in items])
        assert np.abs(together - alone).max() <= TOLERANCE
        assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        assert ours.embed([]).shape == (0, WIDTH)


def test_bf16_moves_an_embedding_little(folder):
    images = list(odd_pictures(2))
    half = ClipImages(folder, how=How("cpu", 3, "bf16")).embed(images)
    assert (half * ClipImages(folder, how=CPU).embed(images)).sum(-1).min() > 0.99


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_of_timms_gives_the_same_as_the_folder(folder, tmp_path, suffix):
    small_tower()
    ours = ClipImages(folder, how=CPU)
    state = ours._engine._network.state_dict()
    file = tmp_path / f"tower{suffix}"
    save = save_file if suffix == ".safetensors" else lambda s, f: torch.save({"state_dict": s}, f)
    save({name: value.contiguous() for name, value in state.items()}, file)
    images = [np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)] * 2
    found = ClipImages(file, SMALL, how=CPU).embed(images)
    assert np.abs(found - ours.embed(images)).max() < 1e-5


def test_a_file_with_openais_own_names_is_taken(folder, reference, tmp_path):
    small_tower()
    model = reference[1]
    vision, names = model.vision_model.state_dict(), {}
    swaps = {
        "pre_layrnorm": "ln_pre",
        "post_layernorm": "ln_post",
        "encoder.layers": "transformer.resblocks",
    }
    swaps |= {"layer_norm": "ln_", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    swaps |= {"self_attn.out_proj": "attn.out_proj", "embeddings.patch_embedding": "conv1"}
    swaps |= {"embeddings.position_embedding.weight": "positional_embedding"}
    swaps |= {"embeddings.class_embedding": "class_embedding"}
    for name, value in vision.items():
        for old, new in swaps.items():
            name = name.replace(old, new)  # noqa: PLW2901
        names[f"visual.{name}"] = value
    for at in range(2):
        block = f"visual.transformer.resblocks.{at}."
        for part in ("weight", "bias"):
            three = [names.pop(f"{block}self_attn.{which}_proj.{part}") for which in "qkv"]
            names[f"{block}attn.in_proj_{part}"] = torch.cat(three)
    names["visual.proj"] = model.visual_projection.weight.T
    names["token_embedding.weight"] = torch.zeros(3, 3)
    save_file({n: v.detach().contiguous() for n, v in names.items()}, tmp_path / "open.safetensors")
    images = [np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)]
    found = ClipImages(tmp_path / "open.safetensors", SMALL, how=CPU).embed(images)
    assert np.abs(found - ClipImages(folder, how=CPU).embed(images)).max() < 1e-5


@pytest.mark.parametrize("crop", [1.0, 0.9])
def test_timms_own_transform_gives_the_same_pixels_to_one_level(crop):
    config = {
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "mean": timm.data.OPENAI_CLIP_MEAN,
        "std": timm.data.OPENAI_CLIP_STD,
        "crop_pct": crop,
    }
    transform = timm.data.create_transform(**config)
    engine = Engine(torch.nn.Identity(), CPU)
    rng, deviation = np.random.default_rng(0), np.array(config["std"])[:, None, None]
    for height, width in ((225, 301), (480, 640), (1000, 333), (31, 45), (224, 224)):
        smooth = np.kron(rng.integers(0, 256, (9, 9, 3)), np.ones((112, 112, 1)))
        image = np.ascontiguousarray(smooth[:height, :width].astype(np.uint8))
        theirs = transform(Image.fromarray(image)).numpy()
        ours = by_timm(config)(engine, [image])[0].numpy()
        assert np.abs((ours - theirs) * deviation).max() * 255 < 1.01


def test_of_a_very_long_picture_the_middle_is_shown():
    image = np.arange(2 * 1001 * 3, dtype=np.uint64).reshape(2, 1001, 3)
    found = trimmed(image)
    assert found.shape[1] <= NARROW * 2 + 1
    assert np.array_equal(found[:, found.shape[1] // 2], image[:, 500])
    assert trimmed(image[:, :100]).shape == (2, 100, 3)


def test_the_name_without_quickgelu_is_refused_since_it_is_another_network(tmp_path):
    (tmp_path / "file.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=f"its name with that is {TOWER}"):
        check_images(tmp_path / "file.safetensors", TOWER.replace("_quickgelu", ""))
    assert check_images(tmp_path / "file.safetensors") == 768
    assert (
        check_images(tmp_path / "file.safetensors", "vit_base_patch32_clip_quickgelu_224.openai")
        == 512
    )


@pytest.mark.parametrize(
    "tower", ["vit_q", "resnet50.a1_in1k", "vit_large_patch14_clip_quickgelu_224"]
)
def test_a_tower_that_timm_does_not_know_is_refused(tmp_path, tower):
    (tmp_path / "file.pt").write_bytes(b"")
    with pytest.raises(UsageError, match="has no CLIP tower"):
        check_images(tmp_path / "file.pt", tower)


def test_weights_of_another_network_and_files_that_hold_code_are_refused(tmp_path):
    small_tower()
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="does not hold"):
        ClipImages(tmp_path / "other.safetensors", SMALL, how=CPU)
    state = dict(timm.create_model(SMALL, num_classes=WIDTH).state_dict())
    state["pos_embed"] = torch.zeros(1, 1 + 36, 32)
    save_file(state, tmp_path / "finer.safetensors")
    with pytest.raises(UsageError, match="does not hold"):
        ClipImages(tmp_path / "finer.safetensors", SMALL, how=CPU)
    torch.save({"state_dict": print}, tmp_path / "code.pt")
    with pytest.raises(UsageError, match="holds more than arrays"):
        ClipImages(tmp_path / "code.pt", SMALL, how=CPU)


def test_a_folder_that_lacks_something_is_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        with pytest.raises(UsageError, match="has no"):
            check_images(tmp_path)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert check_images(tmp_path) == WIDTH
    with pytest.raises(UsageError, match="no tokeniser"):
        check_texts(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(UsageError, match="holds a model of type siglip"):
        check_images(tmp_path)
