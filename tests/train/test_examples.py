"""A loader's batches as what is learned."""

from dataclasses import replace

import pytest
import torch
from small import SMALL, changed

import humanverse
from humanverse.errors import DataError
from humanverse.train.examples import Examples, coarse, depth_to_pixels
from humanverse.train.parts import made

CPU = torch.device("cpu")


def examples(training=SMALL):
    parts = made(training)
    return Examples(training, parts.autoencoder, parts.text, CPU)


def batch_of(root, columns, size=16):
    with humanverse.open(root, columns) as dataset:
        loader = dataset.loader(3, image_size=size, shuffle=False, tensors="torch")
        return next(iter(loader))


def test_pictures_depth_and_normals_are_pictures_of_three_channels(root):
    making = examples()
    batch = batch_of(root, making.columns())
    example = making(batch)
    assert example.keys == batch["key"]
    assert example.latents.shape == (3, 3, 3, 16, 16)
    assert example.latents.abs().max() <= 1
    assert torch.allclose(example.latents[:, 0], batch["image"] / 127.5 - 1)
    lengths = example.latents[:, 2].norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4)
    assert example.given.maps.shape == (3, 1, 3, 16, 16)
    assert example.given.size[0].tolist() == [64, 64, 0, 0, 64, 64]
    assert example.given.told.all()


def test_only_the_columns_that_are_learned_are_read():
    rgb = changed(network={"branches": ("rgb",)})
    assert examples(rgb).columns() == ["caption", "image", "pose_map"]
    alone = changed(network={"branches": ("rgb", "depth"), "maps": ()})
    assert examples(alone).columns() == ["caption", "image", "depth"]


def test_the_nearest_place_is_one_and_the_farthest_minus_one_whatever_the_kind():
    metres = torch.tensor([[1.0, 2.0, 4.0]])
    maps = torch.stack([metres, metres, 1 / metres, torch.full((1, 3), 7.0)])
    out = depth_to_pixels(maps, ["metric", "relative", "disparity", "metric"])
    assert out.shape == (4, 3, 1, 3)
    assert out[0, 0, 0].tolist() == pytest.approx([1, -1 / 3, -1])
    assert out[1, 0, 0].tolist() == pytest.approx([1, 1 / 3, -1])
    assert out[2, 0, 0].tolist() == pytest.approx([1, -1 / 3, -1])
    assert torch.isfinite(out).all()


def test_what_was_encoded_before_is_taken_as_it_is(root):
    making = replace(examples(), cached=frozenset({"latents", "text"}))
    batch = batch_of(root, ["caption", "pose_map", "image"])
    batch |= {f"latents_{name}": torch.ones(3, 3, 2, 2) for name in ("rgb", "depth", "normal")}
    batch |= {"text": torch.ones(3, 5, 16), "text_said": torch.ones(3, 5, dtype=torch.bool)}
    example = making(batch)
    assert (example.latents == 1).all()
    assert example.given.text.shape == (3, 5, 16)


def test_samples_without_what_is_to_be_learned_are_named(root):
    making = examples()
    batch = batch_of(root, making.columns())
    batch["depth"] = [None, batch["depth"][1], batch["depth"][2]]
    with pytest.raises(DataError, match=f"{batch['key'][0]} holds no depth"):
        making(batch)
    with pytest.raises(DataError, match="holds no normals"):
        making(batch_of(root, ["image", "depth", "pose_map"]))


def test_a_refiner_is_told_what_the_first_stage_could_give(root):
    base = changed(network={"maps": ("pose", "depth", "normal"), "branches": ("rgb",)})
    making = examples(replace(base, stage="refiner"))
    batch = batch_of(root, making.columns())
    maps = making(batch).given.maps
    sharp = depth_to_pixels(batch["depth"], batch["depth_kind"])
    assert torch.equal(maps[:, 1], coarse(sharp))
    assert not torch.equal(maps[:, 1], sharp)
    assert making(batch).latents.shape == (3, 1, 3, 16, 16)
