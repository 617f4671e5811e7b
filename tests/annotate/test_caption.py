"""Captions beside the web's: the stage, and what becomes of them in a sample."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from shared import HERE, shards

import humanverse
from humanverse.annotate import Captions
from humanverse.annotate.caption import Caption
from humanverse.codec import encode_jpeg
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.pack import Pack
from humanverse.pack.sample import members_of
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build, pack_root
from humanverse.stage import Resources, fingerprints

MADE_UP = HERE / "recipes" / "made_up.py"


class Says:
    def caption(self, images):
        return [f"{image.shape[1]} wide, {int(image.mean())} bright" for image in images]


@dataclass
class Saying(Caption):
    def check(self):
        """It needs no weights."""

    def open(self):
        self._model = Says()


def recipe_with(**settings):
    recipe = load_recipe(MADE_UP, ["plan.unit_rows=10"])
    return replace(recipe, annotate=[*recipe.annotate, Saying()], pack=Pack(2, **settings))


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "urls.csv"
    rows = (f"https://example.org/{n}.jpg,words {n}\n" for n in range(40))
    file.write_text("url,caption\n" + "".join(rows))
    return file


def test_there_is_no_stage_until_a_model_is_chosen():
    assert Captions().stages() == ()
    recipe = load_recipe("humanverse")
    assert "caption" not in [stage.name for stage in recipe.stages()]
    chosen = recipe.override(["caption.model=llava", "caption.tokens=20", "caption.gpus=1"])
    stage = chosen.stages()[-1]
    assert (stage.name, stage.model, stage.tokens) == ("caption", "llava", 20)
    assert stage.resources == Resources(1, 1)


def test_who_said_it_stands_beside_a_caption():
    stage = Saying(called="tiny")
    stage.open()
    images = pa.array([encode_jpeg(pixels, 90) for pixels in two_pictures()], pa.large_binary())
    found = stage(pa.table({"key": ["a", "b"], "image": images})).to_pydict()
    assert found["generated_caption"] == ["8 wide, 200 bright", "9 wide, 100 bright"]
    assert found["caption_model"] == ["tiny"] * 2


def two_pictures():
    return np.full((8, 8, 3), 200, np.uint8), np.full((8, 9, 3), 100, np.uint8)


def test_what_is_said_follows_from_the_prompt_and_not_from_the_machine():
    assert fingerprints([Caption(prompt="a")]) != fingerprints([Caption()])
    assert fingerprints([Caption(batch=2, gpus=1, device="cuda")]) == fingerprints([Caption()])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "caption.model=blip2 needs a folder"),
        ({"weights": Path("gone")}, "has no config.json"),
        ({"tokens": 0}, "1 or more"),
        ({"device": "gpu"}, "none of auto"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(fields, told):
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(UsageError, match=told):
        Caption(**fields).check()


def test_a_sample_keeps_the_webs_caption_unless_the_recipe_says_otherwise(table, tmp_path):
    root, settings = tmp_path / "root", Settings("local")
    build(recipe_with(), [table], root, settings=settings)
    with humanverse.open(root) as ds:
        assert all(sample["caption"].startswith("words ") for sample in ds)
        assert all("bright" in sample["meta"]["generated_caption"] for sample in ds)
        assert ds.to_table(["caption_model"])["caption_model"].unique().to_pylist() == ["blip2"]
        of_the_web = [sample["caption"] for sample in ds]
    before = shards(root)
    pack_root(Store(root), recipe_with(caption="generated"))
    with humanverse.open(root) as ds:
        assert all("bright" in sample["caption"] for sample in ds)
        assert [sample["meta"]["caption"] for sample in ds] == of_the_web
    assert verify(Store(root)) == []
    pack_root(Store(root), recipe_with())
    assert shards(root) == before


def test_a_takedown_leaves_the_words_of_other_samples_as_they_were(table, tmp_path):
    root = tmp_path / "root"
    build(recipe_with(), [table], root, settings=Settings("local"))
    pack_root(Store(root), recipe_with(caption="generated"))
    with humanverse.open(root) as ds:
        url, rest = ds.to_table(["url"])["url"][0].as_py(), len(ds) - 1
    (tmp_path / "list.txt").write_text(f"url {url}\n")
    humanverse.takedown(root, tmp_path / "list.txt")
    with humanverse.open(root) as ds:
        assert len(ds) == rest
        assert all("bright" in sample["caption"] for sample in ds)


def test_where_nobody_said_anything_the_webs_words_stand():
    row = {"caption": "web", "generated_caption": None}
    assert members_of(row, "generated")["txt"] == b"web"
    assert members_of(row | {"generated_caption": ""}, "generated")["txt"] == b""
    assert members_of(row | {"generated_caption": "ours"})["txt"] == b"web"


def test_generated_words_without_who_says_them_are_refused():
    with pytest.raises(UsageError, match=r"needs a stage that generates captions"):
        load_recipe(MADE_UP, ["pack.caption=generated"])
