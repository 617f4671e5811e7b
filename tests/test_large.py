"""The paper's own recipe from pictures to shards, with all its models: their shapes, made small."""

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from models.odd import odd_pictures

import humanverse
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.testing.photos import variations

torch = pytest.importorskip("torch", reason="torch is not installed")
for name in ("transformers", "diffusers", "timm", "skimage"):
    pytest.importorskip(name, reason=f"{name} is not installed")
if find_spec("ultralytics") is None:
    pytest.skip("ultralytics, which ships photographs, is not installed", allow_module_level=True)

from models import small_depth  # noqa: E402  # these need torch and transformers
from models.small_captioners import blip2_folder  # noqa: E402
from models.small_clip import clip_folder  # noqa: E402
from models.small_inpainting import inpainting_folder  # noqa: E402
from models.test_detr import rf_detr  # noqa: E402
from models.test_sapiens import folder_of as sapiens_folder  # noqa: E402
from models.test_vitpose_weights import POINTS, made  # noqa: E402


def saved(path, model, processor, **louder):
    """Networks with weights that say something, as a library saves them."""
    with torch.no_grad():
        for part, deviation in louder.items():
            for name, parameter in model.named_parameters():
                if part in name:
                    parameter.normal_(0, deviation)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    torch.manual_seed(0)
    models = tmp_path_factory.mktemp("models")
    detector = saved(models / "detr", *rf_detr(), class_embed=0.3, bbox_embed=0.3, enc_score=0.3)
    depth = saved(models / "depth", *small_depth.depth_anything("metric"))
    made(models / "vitpose+_small.pth", POINTS)
    said = {
        "people.weights": detector,
        "people.min_score": 0.1,
        "people.max_people": 20,
        "people.min_area": 0.01,
        "quality.clip": clip_folder(models / "clip"),
        "quality.aesthetic": "table",
        "quality.embedding": "true",
        "outpaint.weights": inpainting_folder(models / "inpainting"),
        "outpaint.steps": 2,
        "pose.weights": models / "vitpose+_small.pth",
        "depth.model": "depth_anything",
        "depth.weights": depth,
        "normals.model": "sapiens2",
        "normals.weights": sapiens_folder(models / "sapiens", do_pad=True),
        "caption.model": "blip2",
        "caption.weights": blip2_folder(models / "blip2"),
        "caption.tokens": 4,
        "select.by": "embedding",
        "select.min_cosine": 0.9999,
        "collect.max_side": 160,
        "collect.min_side": 8,
        "plan.unit_rows": 5,
    }
    stages = ("people", "quality", "outpaint", "pose", "depth", "normals", "caption")
    said |= {f"{stage}.gpus": 0 for stage in stages}
    said |= {f"{stage}.batch": 3 for stage in stages}
    return load_recipe("hyperhuman", [f"{name}={value}" for name, value in said.items()])


@pytest.mark.slow
def test_every_sample_has_every_label_at_its_own_size(recipe, tmp_path):
    photos, root = tmp_path / "photos", tmp_path / "root"
    photos.mkdir()
    odd = [one for one in odd_pictures() if min(one.shape[:2]) > 8]
    for number, pixels in enumerate([*(photo.pixels for photo in variations(0, 6)), *odd]):
        cv2.imwrite(str(photos / f"{number}.png"), pixels[..., ::-1])
    outcome = build(recipe, [photos], root, settings=Settings("local"))
    funnel = outcome.funnel
    assert funnel.kept + sum(c.total() for c in funnel.reasons.values()) == funnel.rows
    assert verify(Store(root)) == []
    with humanverse.open(root) as dataset:
        assert len(dataset) >= 4
        for sample in dataset:
            size, meta = sample["image"].shape[:2], sample["meta"]
            assert sample["depth"].shape == size
            assert sample["depth_kind"] == "metric"
            assert sample["normals"].shape == (*size, 3)
            assert np.allclose(np.linalg.norm(sample["normals"], axis=-1), 1, atol=1e-3)
            assert sample["poses"].shape == (meta["person_count"], 133, 3)
            assert meta["text_similarity"] is None or -1 <= meta["text_similarity"] <= 1
            assert isinstance(meta["generated_caption"], str)
            assert meta["split"] in ("train", "validation", "test")
        poses = np.concatenate([sample["poses"] for sample in dataset])
        assert len(np.unique(poses[..., :2].round(1))) > 100
