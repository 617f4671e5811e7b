"""Latents and text of a root, from the verb to the loader."""

from dataclasses import dataclass, replace
from shutil import copytree
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from encode.conftest import RECIPE, SIZE

import humanverse
from humanverse import schema
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.load.decode import LATENTS
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.stage import BaseStage

torch = pytest.importorskip("torch", reason="torch is not installed")


@dataclass
class Spoken(BaseStage):
    """A captioner that nobody asks."""

    name: ClassVar[str] = "spoken"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = schema.writes(*schema.CAPTIONS)

    def __call__(self, batch):
        raise AssertionError(batch)


@dataclass
class Faceless(Spoken):
    """Nobody's faces, blurred."""

    name: ClassVar[str] = "faceless"
    writes: ClassVar[pa.Schema] = schema.writes("blurred")


def refused(capsys, *arguments):
    assert main(list(map(str, arguments))) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    return told[0]


def test_latents_are_what_the_autoencoder_makes_of_what_a_loader_gives(encoded, folders):
    from humanverse.models.autoencoders import opened
    from humanverse.train.examples import bytes_to_pixels, depth_to_pixels

    autoencoder = opened(str(folders[0]))
    columns = ["image", "depth", "normals", "latents"]
    with humanverse.open(encoded, columns) as dataset:
        batch = next(iter(dataset.loader(16, image_size=SIZE, tensors="torch", shuffle=False)))
    shown = {
        "rgb": bytes_to_pixels(batch["image"]),
        "depth": depth_to_pixels(batch["depth"], batch["depth_kind"]),
        "normal": batch["normals"].contiguous(),
    }
    for name, pixels in shown.items():
        found = batch[f"latents_{name}"]
        assert found.dtype == torch.float16
        assert found.shape == (16, 4, SIZE // 4, SIZE // 4)
        assert torch.allclose(found.float(), autoencoder.encode(pixels), rtol=1e-3, atol=1e-3)


def test_text_is_what_the_encoder_says_up_to_the_captions_end(encoded, folders):
    from humanverse.models.text_encoders import HubTextEncoder, Reading

    encoder = HubTextEncoder(Reading(folders[1]))
    with humanverse.open(encoded, ["caption", "text"]) as dataset:
        batch = next(iter(dataset.loader(16, tensors="torch")))
    read = encoder(batch["caption"], torch.device("cpu"))
    assert torch.equal(batch["text_said"], read.said)
    assert set(read.said.sum(1).tolist()) == {2, 3, 4}
    wanted = read.tokens * read.said[..., None]
    assert torch.allclose(batch["text"].float(), wanted, rtol=1e-3, atol=1e-3)
    assert torch.allclose(batch["text_pooled"].float(), read.pooled, rtol=1e-3, atol=1e-3)


def test_the_dataset_tells_the_levels_of_its_latents_and_who_made_them(encoded, folders):
    from humanverse.encode.latents import latents_of

    with humanverse.open(encoded, ["latents"]) as dataset:
        told, samples = dataset.encoded, list(dataset)
        assert dataset.columns == ("latents",)
        assert not {"latents_mean", "latents_std"} & set(dataset.table.schema.names)
    assert told["latents"]["of"] == latents_of(str(folders[0]), SIZE)
    assert told["latents"]["samples"] == len(samples) == 16
    for name in LATENTS:
        whole = np.stack([sample[f"latents_{name}"] for sample in samples]).astype(np.float64)
        assert np.allclose(told["latents"]["mean"][name], whole.mean(axis=(0, 2, 3)), atol=1e-5)
        assert np.allclose(told["latents"]["std"][name], whole.std(axis=(0, 2, 3)), atol=1e-5)


def test_what_was_there_before_is_there_as_it_was(encoded, plain):
    assert verify(Store(encoded)) == []
    with humanverse.open(plain) as before, humanverse.open(encoded) as after:
        assert before.columns == after.columns
        assert before.encoded == {}
        names = [n for n in before.table.schema.names if "_offset" not in n and "json" not in n]
        assert before.to_table(names).equals(after.to_table(names))
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one["depth"], other["depth"])


def test_a_build_at_once_gives_the_same_bytes_as_encoding_later(encoded, plain, assignments):
    tables = [plain.parent / "urls.parquet"]
    root = plain.parent / "at-once"
    build(load_recipe(RECIPE, assignments), tables, root, settings=Settings("local"))
    for name in ("00000.tar", "00000.parquet", "dataset.json"):
        assert (root / "shards" / name).read_bytes() == (encoded / "shards" / name).read_bytes()


def test_asked_again_it_has_nothing_to_do(encoded, assignments, tmp_path):
    recipe = load_recipe(RECIPE, assignments)
    names = ("latents", "text")
    again = build(recipe, [], encoded, slices=["encode"], settings=Settings("local", only=names))
    assert (again.done, again.left) == (0, 0)


def test_another_size_makes_latents_anew_and_leaves_the_text(encoded, assignments, tmp_path):
    root = copytree(encoded, tmp_path / "root")
    text = {file.name: file.read_bytes() for file in (root / "text").iterdir()}
    sets = [word for told in [*assignments, "latents.size=16"] for word in ("--set", told)]
    assert main(["encode", str(RECIPE), "--out", str(root), "--runner", "local", *sets]) == 0
    with humanverse.open(root, ["latents"]) as dataset:
        assert dataset[0]["latents_rgb"].shape == (4, 4, 4)
        assert dataset.encoded["latents"]["of"].endswith(" 16")
    assert {file.name: file.read_bytes() for file in (root / "text").iterdir()} == text


def test_another_part_of_the_picture_than_was_encoded_is_refused(encoded):
    with humanverse.open(encoded, ["latents"]) as dataset:
        for other in ({"image_size": 16}, {"image_size": SIZE, "crop": "random"}):
            with pytest.raises(UsageError, match=f"take image_size={SIZE} and crop='centre'"):
                next(iter(dataset.loader(2, **other)))
        with pytest.raises(UsageError, match="another part"):
            next(iter(dataset.people().loader(2, image_size=SIZE)))
        assert next(iter(dataset.loader(2)))["latents_rgb"].shape == (2, 4, 8, 8)


def test_depth_made_anew_asks_for_latents_made_anew(encoded, assignments, tmp_path, capsys):
    sets = [word for told in assignments for word in ("--set", told)]
    where = ("annotate", RECIPE, "--out", copytree(encoded, tmp_path / "root"), *sets)
    assert "latents would no longer fit" in refused(capsys, *where, "--only", "labels")
    assert main([*map(str, where), "--only", "labels", "latents", "--runner", "local"]) == 0


def test_what_samples_will_not_hold_is_not_encoded(assignments):
    recipe = load_recipe(RECIPE, assignments)
    spoken = replace(recipe, annotate=[*recipe.annotate, Spoken()])
    assert len(spoken.override(["pack.caption=generated", "text.caption=generated"]).stages()) == 7
    for other in ("pack.caption=generated", "text.caption=generated"):
        with pytest.raises(UsageError, match=r"set text\.caption to the same"):
            spoken.override([other]).stages()
    with pytest.raises(UsageError, match="reads blurred, which no stage before it writes"):
        load_recipe(RECIPE, [*assignments, "latents.blurred=true"])
    with pytest.raises(UsageError, match=r"set latents\.blurred=true"):
        replace(recipe, annotate=[*recipe.annotate, Faceless()]).stages()


def test_what_cannot_be_is_refused_in_a_line(plain, assignments, tmp_path, capsys):
    where = ("encode", RECIPE, "--out", plain, "--set")
    assert "nothing to encode with" in refused(capsys, *where[:-1])
    assert "no autoencoder" in refused(capsys, *where, f"latents.weights={tmp_path}")
    assert "config.json" in refused(capsys, *where, f"text.weights={tmp_path}")
    odd = (*where, assignments[0], "--set", "latents.size=30")
    assert "a multiple of 4 is wanted" in refused(capsys, *odd)
