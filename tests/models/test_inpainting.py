"""Canvases filled by a diffusion model are those of the library's own pipeline."""

import cv2
import numpy as np
import pytest

from humanverse.errors import UsageError
from humanverse.models.base import Narrow
from humanverse.models.inpainting import InpaintingOutpainter, check, mask_of
from humanverse.models.reflect import ReflectOutpainter, reflected
from humanverse.models.torched import How
from humanverse.testing.scenes import render

torch = pytest.importorskip("torch", reason="torch is not installed")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from models.small_inpainting import inpainting_folder  # noqa: E402  # it needs both

CPU = How(device="cpu", batch=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return inpainting_folder(tmp_path_factory.mktemp("models") / "inpaint")


@pytest.fixture(scope="module")
def outpainter(folder):
    return InpaintingOutpainter(folder, CPU, steps=2)


def narrow(seed, width=64, height=48):
    image = render(seed, width, height, people=1).image
    return Narrow(image, width // 4, height // 4, "a person in a room", seed)


def test_the_picture_itself_lies_unchanged_in_the_middle(outpainter):
    pictures = [narrow(1), narrow(2, 30, 70), narrow(3, 17, 300)]
    for outpaints in (outpainter, ReflectOutpainter()):
        for picture, canvas in zip(pictures, outpaints.widen(pictures), strict=True):
            height, width = picture.image.shape[:2]
            assert canvas.shape == (height + 2 * picture.top, width + 2 * picture.left, 3)
            inside = canvas[picture.top :, picture.left :][:height, :width]
            assert (inside == picture.image).all()


def test_the_canvas_is_what_the_librarys_pipeline_makes_of_one_picture(folder, outpainter):
    picture = narrow(4)
    (canvas,) = outpainter.widen([picture])
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
        folder, local_files_only=True, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    from PIL import Image

    height, width = outpainter.given(picture.size)
    small = cv2.resize(reflected(picture), (width, height), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask_of(picture), (width, height), interpolation=cv2.INTER_AREA)
    expected = pipeline(
        prompt=picture.caption,
        image=Image.fromarray(small),
        mask_image=Image.fromarray(mask),
        height=height,
        width=width,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(picture.seed),
        output_type="np",
    ).images[0]
    larger = cv2.resize(
        (expected * 255).round().astype(np.uint8), picture.size[::-1], interpolation=cv2.INTER_CUBIC
    )
    outside = mask_of(picture) > 0
    assert outside.mean() > 0.5
    assert np.abs(canvas.astype(int) - larger)[outside].max() <= 1


def test_neighbours_in_a_batch_do_not_matter_and_seeds_do(outpainter):
    pictures = [narrow(5), narrow(6), narrow(7, 30, 70), narrow(8)]
    together = outpainter.widen(pictures)
    for picture, canvas in zip(pictures, together, strict=True):
        (alone,) = outpainter.widen([picture])
        assert np.abs(canvas.astype(int) - alone).max() <= 1
    first = pictures[0]
    other = Narrow(first.image, first.left, first.top, first.caption, seed=99)
    (canvas,) = outpainter.widen([other])
    assert (canvas != together[0]).any()


def test_another_folder_is_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="needs a folder"):
        check(None)
    with pytest.raises(UsageError, match=r"has no model_index\.json"):
        check(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(UsageError, match="holds a FluxPipeline"):
        check(tmp_path)
