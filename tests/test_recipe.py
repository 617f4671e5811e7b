"""A recipe is a file; what is overridden is checked against the fields there are."""

from pathlib import Path

import pytest
from shared import RECIPE

from humanverse.errors import UsageError
from humanverse.recipe import load_recipe

PIPELINES = Path(__file__).parent.parent / "pipelines"


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.py")), ids=lambda p: p.stem)
def test_every_shipped_recipe_is_a_sound_chain(path):
    recipe = load_recipe(path)
    assert next(stage.name for stage in recipe.stages()) == "collect"


def test_overrides_reach_plan_pack_stages_and_groups(tmp_path):
    weights = tmp_path / "w.onnx"
    weights.write_bytes(b"x")
    recipe = load_recipe(
        PIPELINES / "demo.py",
        [
            *("plan.unit_rows=5", "pack.units_per_shard=2", "collect.allow_hosts=a,b"),
            *("people.detector=yolox", f"people.weights={weights}", "people.min_area=0.2"),
            *("people.min_score=none", "plan.allow_withdrawn=true"),
        ],
    )
    detect, people = recipe.slice("filter")
    assert (recipe.plan.unit_rows, recipe.pack.units_per_shard) == (5, 2)
    assert recipe.slice("collect")[0].allow_hosts == ("a", "b")
    assert (detect.detector, detect.weights, people.min_area) == ("yolox", weights, 0.2)
    assert recipe.plan.allow_withdrawn is True


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("people.min_aera=0.2", "did you mean min_area"),
        ("peple.min_area=0.2", "did you mean people"),
        ("people.min_area=much", "float is wanted"),
        ("people.rule=most", "choose one of union, largest, sum"),
        ("plan.unit_rows=0", "at least one row"),
        ("collect.connections=0", "connections is 1 to"),
        ("collect.quality=500", "1 to 100"),
        ("plan.allow_withdrawn=perhaps", "true or false"),
        ("min_area=0.2", "section.field=value"),
        ("people.min_area", "section.field=value"),
        ("people.weights=/no/such/file.onnx", "no such file"),
        ("pose.cpus=0", "pose.cpus: cpus is 1 or more"),
        ("people.gpus=-1", "people.gpus: gpus is 0 or more"),
    ],
)
def test_a_wrong_override_says_what_would_be_right(assignment, message):
    with pytest.raises(UsageError, match=message):
        load_recipe(PIPELINES / "demo.py", [assignment]).resolved()


def test_weights_count_by_their_bytes_not_their_path(tmp_path):
    def marks(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        recipe = load_recipe(PIPELINES / "demo.py", [f"people.weights={path}"])
        return recipe.resolved()["stages"]

    assert marks("a", b"1") == marks("b", b"1")
    assert marks("a", b"1") != marks("b", b"2")


@pytest.mark.parametrize(
    "text", ["recipe = 1", "import no_such_module_anywhere", "def", "recipe = no"]
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "r.py"
    path.write_text(text)
    with pytest.raises(UsageError, match="recipe"):
        load_recipe(path)


def test_a_stage_that_brings_its_own_reasons_explains_them():
    reasons = load_recipe(RECIPE.parents[2] / "examples" / "sharp_people.py").resolved()["reasons"]
    assert reasons == {"blurred": "less sharp than wanted"}
