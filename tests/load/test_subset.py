"""A subset is named by keys or numbers, and what is unknown is told."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import humanverse
from humanverse.errors import UsageError


@pytest.fixture
def dataset(scenes):
    with humanverse.open(scenes, ["caption"]) as opened:
        yield opened


def counts(dataset):
    return dataset.to_table(["person_count"])["person_count"].to_numpy()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.data())
def test_keys_and_numbers_name_the_same_samples_in_the_datasets_order(dataset, data):
    numbers = data.draw(st.lists(st.integers(0, len(dataset) - 1)))
    by_number = dataset.subset(numbers)
    by_key = dataset.subset(dataset.key(number) for number in numbers)
    assert list(by_number) == list(by_key)
    assert list(by_key) == [dataset[number] for number in sorted(set(numbers))]


def test_keys_come_as_lists_arrays_and_columns(dataset):
    keys = [dataset.key(3), dataset.key(1), dataset.key(3)]
    kinds = keys, np.array(keys), pa.array(keys), pa.chunked_array([keys[:1], keys[1:]]), set(keys)
    for named in kinds:
        assert [sample["key"] for sample in dataset.subset(named)] == [keys[1], keys[0]]
    chosen = np.flatnonzero(counts(dataset) == 2)
    assert set(counts(dataset.subset(chosen))) == {2}


def test_a_subset_is_a_dataset_like_any(scenes, dataset):
    some = dataset.subset([0, 2, 3])
    assert some[dataset.key(2)] == dataset[2]
    assert some.subset([1]).key(0) == dataset.key(2)
    assert len(some.people()) == sum(counts(some).tolist())
    assert sum(len(batch["key"]) for batch in some.loader(2, last="keep")) == 3
    with pytest.raises(KeyError):
        some[dataset.key(1)]
    with humanverse.open(scenes, filters=[("person_count", "==", 2)]) as two:
        with pytest.raises(UsageError, match="none of"):
            two.subset([dataset.key(int(np.argmin(counts(dataset))))])
        assert two.subset([0]).key(0) == two.key(0)


def test_the_same_samples_hold_other_columns(dataset):
    assert dataset.only(["image"])[2].keys() == {"key", "image"}
    assert dataset.only(["image"]).key(2) == dataset.key(2)
    with pytest.raises(UsageError, match="no column picture"):
        dataset.only(["picture"])


def test_what_is_not_decoded_is_the_bytes_of_members(dataset):
    raw = dataset.only(["caption", "meta"], decode=False)[1]
    assert raw["caption"] == dataset[1]["caption"].encode()
    assert json.loads(raw["meta"])["key"] == dataset.key(1)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["no", "neither", "no"], "2 of 2 keys, no the first, are none of"),
        ([0, 99, 98], "2 numbers of a subset, 98 the first"),
        ([-1], "1 numbers of a subset, -1 the first"),
        ([True, False], r"numpy.flatnonzero\(mask\)"),
        ([1, "a"], "not both"),
        ("abc", r"'abc' is one: put it in \[\]"),
    ],
)
def test_what_names_no_sample_is_told(dataset, named, told):
    with pytest.raises(UsageError, match=told):
        dataset.subset(named)
