"""Some labels of a dataset made anew by another model, and everything else left as it is."""

import subprocess
import sys

import pytest
from shared import HERE, everything, url_table

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build

RECIPE = HERE / "recipes" / "depths.py"
FAR = "depth.metres=9"


def only(*stages, **more):
    return Settings("local", only=stages, **more)


@pytest.fixture
def root(tmp_path):
    build(RECIPE, [url_table(tmp_path, 40)], tmp_path / "root", settings=Settings("local"))
    return tmp_path / "root"


def depths(root):
    with humanverse.open(root, ["depth"]) as dataset:
        return {round(float(sample["depth"].mean()), 3) for sample in dataset}


def command(root, *more):
    return subprocess.run(
        [sys.executable, "-m", "humanverse", "annotate", RECIPE, "--out", root, *more],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_loader_follows_when_one_label_is_made_anew_and_its_kin_stay(root):
    before = everything(root)
    assert depths(root) == {2.0}
    done = command(root, "--only", "depth", "normals", "--set", FAR)
    assert done.returncode == 0, done.stderr
    assert depths(root) == {9.0}
    assert verify(Store(root)) == []
    after = everything(root)
    layers = {path.parts[0] for path in after.keys() - before.keys()}
    assert layers == {"depth", "commits"}  # normals came out the same, in files of the same name
    for layer in ("collect", "detect", "people", "brightness", "plan"):
        mine = {path: data for path, data in after.items() if path.parts[0] == layer}
        assert mine == {path: data for path, data in before.items() if path.parts[0] == layer}


def test_it_is_the_dataset_that_the_other_model_would_have_made(root, tmp_path):
    recipe = load_recipe(RECIPE, [FAR])
    build(recipe, [], root, slices=["annotate"], settings=only("depth", "normals"))
    build(recipe, [tmp_path / "urls.parquet"], tmp_path / "other", settings=Settings("local"))
    with humanverse.open(root) as one, humanverse.open(tmp_path / "other") as other:
        assert one.table.to_table().equals(other.table.to_table())


def test_a_label_that_stands_on_another_must_be_named_with_it(root):
    done = command(root, "--only", "depth", "--set", FAR)
    assert done.returncode == 2
    assert done.stderr == "humanverse: normals would no longer fit: --only depth normals\n"
    assert depths(root) == {2.0}


def test_only_what_was_named_may_differ(root):
    before = everything(root)
    other = load_recipe(RECIPE, [FAR, "brightness.plus=1"])
    with pytest.raises(UsageError, match="holds brightness made with other settings"):
        build(other, [], root, slices=["annotate"], settings=only("depth", "normals"))
    assert everything(root) == before


def test_a_stage_that_is_none_is_refused(root):
    with pytest.raises(UsageError, match="no such stage \\(brightness, depth, normals\\)"):
        build(load_recipe(RECIPE), [], root, slices=["annotate"], settings=only("people"))


def test_what_is_packed_stays_until_all_units_have_the_new_label(root):
    recipe, names = load_recipe(RECIPE, [FAR]), ("depth", "normals")
    half = build(recipe, [], root, slices=["annotate"], settings=only(*names, limit=8))
    assert half.left > 0
    assert depths(root) == {2.0}
    build(recipe, [], root, slices=["annotate"], settings=only(*names))
    assert depths(root) == {9.0}


def test_nothing_is_done_where_the_label_is_of_these_settings_already(root):
    before = everything(root)
    same = load_recipe(RECIPE)
    assert build(same, [], root, slices=["annotate"], settings=only("brightness")).done == 0
    assert everything(root) == before


def test_packing_by_hand_halfway_says_how_many_units_wait(root, capsys):
    recipe, names = load_recipe(RECIPE, [FAR]), ("depth", "normals")
    half = build(recipe, [], root, slices=["annotate"], settings=only(*names, limit=8))
    assert main(["pack", str(RECIPE), "--out", str(root), "--set", FAR]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert (
        said
        == f"{half.left} of 10 units are not through every stage with these settings: they wait"
    )
