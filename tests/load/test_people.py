"""People one by one: picture, maps and keypoints are cut alike, and counting them reads nothing."""

import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import humanverse
from humanverse.errors import DataError, UsageError
from humanverse.keypoints import FLIP
from humanverse.load.mixture import concat
from humanverse.load.people import surroundings
from humanverse.load.view import View


@pytest.fixture
def dataset(scenes):
    with humanverse.open(scenes) as opened:
        yield opened


def expected(dataset):
    """Of every person: the sample, the person's number and box."""
    return [
        (sample, number, person["box"])
        for sample in dataset
        for number, person in enumerate(sample["meta"]["people"])
    ]


def test_every_person_of_every_picture_is_one_sample(dataset):
    people, truth = dataset.people(), expected(dataset)
    assert len(people) == len(truth) > len(dataset)
    keys = [f"{sample['key']}/{number}" for sample, number, _ in truth]
    assert [people.key(number) for number in range(len(people))] == keys
    assert [sample["key"] for sample in people] == keys
    assert [sample["person"] for sample in people] == [number for _, number, _ in truth]
    assert people[-1]["key"] == people.key(len(people) - 1) == keys[-1]
    with pytest.raises(IndexError, match=f"sample {len(people)} of"):
        people[len(people)]


def test_picture_maps_and_keypoints_are_cut_around_the_box(dataset):
    people = dataset.people(margin=0.25)
    for seen, (sample, number, box) in zip(people, expected(dataset), strict=True):
        height, width = sample["image"].shape[:2]
        margin = 0.25 * (box[2] - box[0]), 0.25 * (box[3] - box[1])
        left, top = (max(0, int(np.floor(box[i] - margin[i]))) for i in (0, 1))
        right = min(width, int(np.ceil(box[2] + margin[0])))
        bottom = min(height, int(np.ceil(box[3] + margin[1])))
        for name in ("image", "depth", "normals"):
            assert np.allclose(seen[name], sample[name][top:bottom, left:right], atol=1e-6)
        assert seen["poses"].shape == (1, 133, 3)
        moved = sample["poses"][number, :, :2] - [left, top]
        inside = ((moved >= 0) & (moved <= [right - left, bottom - top])).all(axis=1)
        assert np.allclose(seen["poses"][0, :, :2], moved, atol=1e-3)
        assert (seen["poses"][0, :, 2] == sample["poses"][number, :, 2] * inside).all()
        assert np.allclose(seen["box"] + [left, top] * 2, box, atol=1e-3)
        assert (seen["meta"], seen["caption"]) == (sample["meta"], sample["caption"])


def test_a_view_of_a_person_is_that_view_of_the_cut(dataset):
    people = dataset.people(aspect=1.0)
    for number, seen in enumerate(people):
        view = View(1, 2, 5, 4, (4, 5), mirrored=True)
        looked = people.look(number, lambda _, view=view: view)
        for name in ("image", "depth", "normals"):
            assert np.allclose(looked[name], view(seen)[name], atol=1e-6)
        sure = looked["poses"][0, :, 2] > 0
        places = view.places(seen["poses"][0, FLIP, :2])
        assert np.allclose(looked["poses"][0, sure, :2], places[sure], atol=1e-3)
        assert np.allclose(looked["box"], view.boxes(seen["box"][None])[0], atol=1e-3)


def test_a_loader_gives_people_at_one_size_with_keypoints_in_one_array(dataset):
    people = dataset.people(aspect=0.75)
    batches = list(people.loader(4, image_size=(32, 24), crop="random", seed=3))
    again = list(people.loader(4, image_size=(32, 24), crop="random", seed=3, workers=1))
    assert len(batches) == len(people) // 4
    for batch, same in zip(batches, again, strict=True):
        assert batch["image"].shape == (4, 32, 24, 3)
        assert batch["poses"].shape == (4, 1, 133, 3)
        assert batch["box"].shape == (4, 4)
        assert (batch["image"] == same["image"]).all()


def test_people_come_in_batches_of_their_cuts_aspects(dataset):
    people = dataset.people(margin=0.2)
    assert people.sizes().tolist() == [list(sample["image"].shape[:2]) for sample in people]
    wide = dataset.people(aspect=2.0).loader(1, buckets=[(8, 16), (16, 8)], last="keep")
    assert {batch["image"].shape for batch in wide} == {(1, 8, 16, 3)}


def test_filters_of_the_dataset_narrow_its_people(scenes, dataset):
    with humanverse.open(scenes, ["caption"], [("person_count", "==", 2)]) as two:
        people = two.people()
        assert len(people) == 2 * len(two) > 0
        every = {sample["key"] for sample in dataset.people()}
        assert {sample["key"] for sample in people} < every
        assert people[0].keys() == {"key", "person", "box", "caption", "view"}
    with humanverse.open(scenes, filters=[("person_count", "==", 9)]) as none:
        assert len(none.people()) == 0


def test_keypoints_alone_are_moved_into_the_cut_too(scenes, dataset):
    with humanverse.open(scenes, ["poses"]) as bare:
        for seen, whole in zip(bare.people(), dataset.people(), strict=True):
            assert (seen["poses"] == whole["poses"]).all()
            assert seen["view"] == whole["view"]


def test_counting_them_opens_no_tar(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "root")
    for tar in (tmp_path / "root" / "shards").glob("*.tar"):
        tar.unlink()
    with humanverse.open(tmp_path / "root") as ds:
        assert (
            len(ds.people()) == sum(ds.to_table(["person_count"])["person_count"].to_pylist()) > 0
        )
        assert ds.people().key(0).endswith("/0")
        with pytest.raises(DataError, match="is missing"):
            ds.people()[0]


def test_people_go_to_another_process_and_a_mixture(dataset):
    people = dataset.people(margin=0.3, aspect=0.5)
    sent = pickle.loads(pickle.dumps(people))
    assert sent.fingerprint() == people.fingerprint()
    assert (sent[3]["image"] == people[3]["image"]).all()
    both = concat(dataset.people(), people)
    assert both[-1]["key"] == f"1/{people[-1]['key']}"
    assert (both[-1]["image"] == people[-1]["image"]).all()


def test_what_is_not_decoded_has_no_people(dataset):
    with pytest.raises(UsageError, match="decode=True"):
        dataset.only(["image"], decode=False).people()


SIDE = st.integers(1, 500)


@given(
    st.tuples(SIDE, SIDE),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(0, 1),
    st.none() | st.floats(0.3, 3),
)
def test_surroundings_lie_in_the_picture_and_hold_the_box(shape, places, margin, aspect):
    (left, right), (top, bottom) = sorted(places[:2]), sorted(places[2:])
    box = np.array([left, top, right, bottom]) * np.tile(shape[::-1], 2) * 1.2
    (places,) = surroundings(box[None], np.array([shape]), margin, aspect)
    view = View(*places.tolist(), size=(1, 1))
    assert 0 <= view.left < view.left + view.width <= shape[1]
    assert 0 <= view.top < view.top + view.height <= shape[0]
    slack = 0 if aspect is None else 1
    across, down = (np.clip(box[i::2], 0, shape[1 - i]) for i in (0, 1))
    assert view.left - slack <= across[0] <= across[1] <= view.left + view.width + slack
    assert view.top - slack <= down[0] <= down[1] <= view.top + view.height + slack
    if aspect is not None and view.width < shape[1] and view.height < shape[0]:
        assert abs(view.width - view.height * aspect) <= 1 + aspect


@pytest.mark.parametrize(
    ("how", "told"),
    [({"margin": -0.1}, "margin=-0.1"), ({"aspect": 0}, "aspect=0"), ({"margin": 1e999}, "inf")],
)
def test_crops_that_cannot_be_are_refused(dataset, how, told):
    with pytest.raises(UsageError, match=told):
        dataset.people(**how)


def test_other_crops_have_other_fingerprints(dataset):
    made = [dataset.people(), dataset.people(margin=0.2), dataset.people(aspect=1.0)]
    made += [dataset.subset([0]).people()]
    assert len({people.fingerprint() for people in made}) == 4
