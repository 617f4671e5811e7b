"""People's areas by their masks: the stage, its place in a recipe, and a whole build."""

import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from recipes.perfect import SEEDS, SIZE
from shared import HERE

import humanverse
from humanverse import schema
from humanverse.codec import encode_jpeg
from humanverse.errors import UsageError
from humanverse.filter import People
from humanverse.filter.coverage import coverage
from humanverse.filter.people import ChoosePeople
from humanverse.filter.segment import SegmentPeople
from humanverse.filter.segmenters import check_segmenter
from humanverse.models.owners import laid_over
from humanverse.models.torched import How
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.stage import check_chain, fingerprints
from humanverse.testing.perfect import Known

WIDTH, HEIGHT = 24, 16
corners = st.tuples(*(st.integers(0, WIDTH) for _ in range(2)), *(st.integers(0, 16),) * 2)
people = st.lists(
    st.tuples(
        corners.map(lambda c: [min(c[:2]), min(c[2:]), max(c[:2]), max(c[2:])]),
        st.sampled_from([0.1, 0.3, 0.5, 0.5, 0.7, 0.9]),
    ),
    max_size=5,
)


class Boxes:
    """Masks that are the boxes, so that their union is known without pixels."""

    asked = 0

    def segment(self, images, boxes):
        self.asked += len(images)
        return [
            laid_over(image.shape[:2], (_filled(image.shape[:2], box) for box in some))
            for image, some in zip(images, boxes, strict=True)
        ]


def _filled(shape, box):
    mask = np.zeros(shape, bool)
    x0, y0, x1, y1 = map(int, box)
    mask[y0:y1, x0:x1] = True
    return mask


def segmented(rows, **fields):
    """The areas that the stage writes for rows of (box, score)."""
    stage = SegmentPeople(batch=2, **fields)
    stage._model = Boxes()
    picture = encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 90)
    columns = {
        "key": [f"{number:032x}" for number in range(len(rows))],
        "image": [picture] * len(rows),
        "boxes": [[box for box, _ in row] for row in rows],
        "box_scores": [[score for _, score in row] for row in rows],
    }
    kinds = {"key": pa.string()} | {n: schema.COLUMNS[n].type for n in stage.reads}
    table = pa.table({name: pa.array(columns[name], kinds[name]) for name in columns})
    answer = stage(table)
    assert answer["key"].to_pylist() == columns["key"]
    assert answer.schema.field("mask_areas").type == stage.writes.field("mask_areas").type
    return answer["mask_areas"].to_pylist(), stage._model.asked


@settings(deadline=None, max_examples=50)
@given(st.lists(people, min_size=1, max_size=4), st.sampled_from([0.3, 0.5, 0.7]))
def test_areas_of_whoever_counts_add_up_to_their_union(rows, threshold):
    areas, _ = segmented(rows, min_score=0.0)
    choose = ChoosePeople(rule="mask", min_score=threshold)
    for row, some in zip(rows, areas, strict=True):
        told = {"boxes": [b for b, _ in row], "box_scores": [s for _, s in row]}
        counting = np.array([b for b, s in row if s >= threshold], float).reshape(-1, 4)
        decided = choose._decide(told | {"mask_areas": some})
        assert decided["person_area"] == pytest.approx(coverage(counting, WIDTH, HEIGHT), abs=1e-6)


def test_who_is_too_unsure_is_not_looked_at_and_costs_nothing():
    rows = [[([0, 0, 12, 16], 0.2)], [], [([0, 0, 6, 16], 0.2), ([0, 0, 12, 8], 0.25)]]
    areas, asked = segmented(rows)
    assert areas == [[0], [], [0, 0.25]]
    assert asked == 1
    assert segmented([rows[0], []]) == ([[0], []], 0)


def test_a_better_score_has_the_pixel_in_whatever_order_boxes_come():
    wide, high = [0, 0, 24, 8], [0, 0, 12, 16]
    assert segmented([[(wide, 0.5), (high, 0.9)]])[0] == [[0.25, 0.5]]
    assert segmented([[(wide, 0.9), (high, 0.5)]])[0] == [[0.5, 0.25]]


def test_the_decision_is_by_masks_and_too_small_people_are_rejected_by_them():
    row = {"boxes": [[0, 0, 24, 16], [0, 0, 5, 5]], "box_scores": [0.9, 0.3]}
    row |= {"mask_areas": [0.125, 0.5]}
    decide = ChoosePeople(rule="mask")._decide
    assert decide(row)["person_area"] == 0.125
    assert decide(row)["reason"] == "people_too_small"
    assert ChoosePeople(rule="mask", min_score=0.3)._decide(row)["reason"] is None


def test_masks_are_made_between_detection_and_decision_where_they_are_asked_for():
    stages = People(rule="mask", device="cpu", batch=4).stages()
    assert [stage.name for stage in stages] == ["detect", "segment", "people"]
    assert stages[1].segmenter == "blazepose"
    assert (stages[1].device, stages[1].batch) == ("cpu", 4)
    check_chain(stages, [*schema.PLAN, *schema.COLLECT])
    with pytest.raises(UsageError, match="reads mask_areas"):
        check_chain([stages[0], stages[2]], [*schema.PLAN, *schema.COLLECT])


def test_recipes_without_masks_are_what_they_were():
    """Their layers on disk stay good: the marks are of a release that knew no masks."""
    for rule, mark in (
        ("union", "ef457b738fb57f7e"),
        ("largest", "d5e1133c2a6a4188"),
        ("sum", "5799b66715d91fa6"),
    ):
        stages = People(rule=rule).stages()
        assert [stage.name for stage in stages] == ["detect", "people"]
        assert stages[1].reads == ("boxes", "box_scores", "width", "height")
        assert fingerprints(stages) == {"detect": "28cb7e683b5a9206", "people": mark}


def test_another_threshold_needs_no_model_and_another_segmenter_does():
    def marks(**fields):
        return fingerprints(People(rule="mask", detector="yolox", **fields).stages())

    first, second = marks(), marks(min_score=0.3, min_area=0.1)
    assert first["segment"] == second["segment"]
    assert first["people"] != second["people"]
    other = marks(segmenter_min_score=0.1)
    assert other["segment"] != first["segment"]
    assert other["people"] != first["people"]
    assert marks(trust=True, batch=3) == first


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"segmenter": "sam2"}, r"segmenter is for people\.rule=mask, not for union"),
        ({"rule": "sum", "segmenter_min_score": 0.1}, "segmenter_min_score is for"),
        ({"rule": "mask", "min_score": 0.2}, "set people.segmenter_min_score to 0.2, or less"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields, told):
    with pytest.raises(UsageError, match=told) as refused:
        People(**fields).stages()
    assert "\n" not in str(refused.value)


def test_the_settings_can_be_given_in_any_order_on_the_command_line():
    given = ["people.segmenter=sam2", "people.min_score=0.2", "people.rule=mask"]
    with pytest.raises(UsageError, match="segmenter_min_score"):
        load_recipe("humanverse", given)
    recipe = load_recipe("humanverse", [*given, "people.segmenter_min_score=0.2"])
    assert "segment" in [stage.name for stage in recipe.slice("filter")]


@pytest.mark.parametrize(
    ("name", "weights", "told"),
    [
        ("sam2", None, "needs a folder"),
        ("sam2", "empty", "has no config.json"),
        ("ultralytics", None, "needs a file: --set people.segmenter_weights=FILE.onnx"),
        ("ultralytics", "gone.onnx", "no file"),
        ("ultralytics", "a.pt", "trust it"),
        ("ultralytics", "a.onnx", "cannot be read as ONNX"),
        ("blazepose", "a.pt", "blazepose has its own"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, name, weights, told):
    (tmp_path / "empty").mkdir()
    for file in ("a.pt", "a.onnx"):
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(UsageError, match=told) as refused:
        check_segmenter(name, tmp_path / weights if weights else None, False, How())
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match=told):
        SegmentPeople(segmenter=name, weights=tmp_path / weights if weights else None).check()


def test_blazepose_is_not_asked_to_run_on_a_gpu():
    with pytest.raises(UsageError, match=r"segmenter=blazepose runs on the CPU"):
        check_segmenter("blazepose", None, False, How(device="cuda"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    known = Known(SEEDS, SIZE)
    folder = tmp_path_factory.mktemp("scenes")
    for number, scene in enumerate(known.scenes):
        picture = Image.fromarray(scene.image)
        scale = 1 + number % 2 * 3  # enlarged ones are stored smaller
        picture = picture.resize((picture.width * scale, picture.height * scale))
        picture.save(folder / f"{number}.jpg", quality=95)
    root = tmp_path_factory.mktemp("masked") / "root"
    build(HERE / "recipes" / "masked.py", [folder], root, settings=Settings("local"))
    return known, root


def test_the_area_in_the_ledger_is_the_true_share_of_peoples_pixels(built):
    known, root = built
    truth = {}
    for scene in known.scenes:
        for height, width in ((240, 320), (300, 400)):
            image = np.asarray(Image.fromarray(scene.image).resize((width, height)))
            truth.setdefault(known.which(image), {})[width] = (known.owners(image) > 0).mean()
    expected = sorted(truth[n][(320, 400)[n % 2]] for n in truth)
    rows = humanverse.ledger(root).to_pylist()
    assert len(rows) == len(known.scenes)
    assert sorted(row["person_area"] for row in rows) == pytest.approx(expected, abs=1e-6)
    for row in rows:
        kept = row["person_area"] >= 0.035
        assert (row["status"], row["reason"]) == (
            ("kept", None) if kept else ("rejected", "people_too_small")
        )
    assert {row["status"] for row in rows} == {"kept", "rejected"}


def test_people_of_samples_tell_their_own_masks_and_the_index_their_sum(built):
    _, root = built
    with humanverse.open(root) as dataset:
        assert "mask_areas" not in dataset.table.schema.names
        assert "person_area" in dataset.table.schema.names
    for path in (root / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            described = [m for m in tar.getmembers() if m.name.endswith(".json")]
            assert described
            for member in described:
                told = json.load(tar.extractfile(member))
                assert "mask_areas" not in told
                mine = [person["mask_area"] for person in told["people"]]
                assert sum(mine) == pytest.approx(told["person_area"], abs=1e-5)
