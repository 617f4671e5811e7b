"""What lies beside the shards tells people and machines what they are."""

import hashlib
import json
import logging
from collections import Counter

import numpy as np
import pytest
from shared import HERE, url_table

import humanverse
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.models import store as weights
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build

RECIPE = HERE / "recipes" / "made_up.py"
SAID = {
    "title": "Ümlauts & people",
    "creator": "Somebody",
    "contact": "removal@example.org",
    "licence": "CC-BY-4.0",
    "url": "https://example.org/people",
    "date": "2026-11-30",
    "cite": "@misc{people}",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    recipe = load_recipe(RECIPE, [f"pack.{name}={value}" for name, value in SAID.items()])
    build(recipe, [url_table(folder, 60)], folder / "root", settings=Settings("local"))
    return folder / "root"


def croissant(root, caplog):
    pytest.importorskip("mlcroissant")
    import mlcroissant

    with caplog.at_level(logging.WARNING):
        return mlcroissant.Dataset(str(root / "shards" / "croissant.json"))


def test_the_card_tells_provenance_people_licence_and_removal(root):
    card = (root / "shards" / "README.md").read_text()
    for value in SAID.values():
        assert value in card
    people = Counter(humanverse.open(root).to_table(["person_count"])["person_count"].to_pylist())
    for count, samples in people.items():
        assert f"| {count} | {samples} |" in card
    assert "urls.parquet@" in card
    assert "humanverse takedown" in card


def test_a_card_that_nobody_said_anything_for_promises_nothing(tmp_path):
    build(RECIPE, [url_table(tmp_path, 9)], tmp_path / "root", settings=Settings("local"))
    card = (tmp_path / "root" / "shards" / "README.md").read_text()
    assert "Made by" not in card
    assert "Of list and labels nothing is said" in card
    told = json.loads((tmp_path / "root" / "shards" / "croissant.json").read_text())
    assert told["license"].endswith("no-permission/")
    assert {"creator", "datePublished", "citeAs"}.isdisjoint(told)


# rdflib and what it stands on are not ours to keep up.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")
def test_machines_read_the_croissant_without_a_complaint(root, caplog):
    dataset = croissant(root, caplog)
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.issues.warnings == set()
    records = list(dataset.records("samples"))
    table = humanverse.open(root).table.to_table()
    assert len(records) == len(table)
    for record, row in zip(records, table.to_pylist(), strict=True):
        for name, value in row.items():
            got = record[f"samples/{name}"]
            got = got.decode() if isinstance(got, bytes) else got
            if value is None:
                assert got is None or np.isnan(got)
            elif isinstance(value, list):
                assert np.allclose(np.asarray(got, float), np.asarray(value, float))
            else:
                assert got == pytest.approx(value)


def test_files_are_told_with_their_hashes(root):
    told = json.loads((root / "shards" / "croissant.json").read_text())
    files = {f["contentUrl"]: f for f in told["distribution"] if "contentUrl" in f}
    assert {name for name in files if name.endswith(".tar")} == {
        path.name for path in (root / "shards").glob("*.tar")
    }
    for name, file in files.items():
        data = (root / "shards" / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"
    assert verify(Store(root)) == []


def test_a_recipe_that_looks_for_nobody_has_a_card_without_people(tmp_path):
    recipe = tmp_path / "nobody.py"
    recipe.write_text(
        "from humanverse.recipe import Recipe\n"
        "from humanverse.testing.stages import HashCollect\n"
        "recipe = Recipe(name='nobody', collect=[HashCollect()])\n"
    )
    build(recipe, [url_table(tmp_path, 9)], tmp_path / "root", settings=Settings("local"))
    assert "people in a picture" not in (tmp_path / "root" / "shards" / "README.md").read_text()


def test_models_are_told_with_hashes_and_licences():
    told = load_recipe("demo").resolved()["models"]
    of = {stage: {line["name"] for line in told if line["stage"] == stage} for stage in
          ("detect", "pose", "depth", "normals")}  # fmt: skip
    assert "blazepose/pose_detection" in of["detect"]
    assert of["depth"] == of["normals"] == {"lite_geometry.onnx"}
    for line in told:
        assert line["licence"] == "Apache-2.0"
        if line["name"] in weights.listed():
            assert line["sha256"] == weights.listed()[line["name"]].sha256


def test_weights_that_a_user_brings_are_told_by_their_hash(tmp_path):
    from humanverse.models.used import used

    (line,) = used("depth", {"model": "omnidata", "weights": "sha256:abc", "kind": None})
    assert line == {"stage": "depth", "name": "omnidata", "sha256": "abc"}
    assert list(used("collect", {"max_side": 3})) == []
