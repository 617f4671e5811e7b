"""Only what is grossly another picture than the table saw counts as changed."""

import dataclasses
import hashlib
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shared import HERE

from humanverse.collect.changed import APART, Seen, changed
from humanverse.collect.picture import normalise


@pytest.fixture(scope="module")
def bench():
    """The benchmark: its treatments and the table's hash as it is published."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE.parent / "benchmarks")
        yield importlib.import_module("changed")


@pytest.fixture(scope="module")
def cases(bench):
    """A few pictures of packages, treated as hosts do."""
    photos = list(bench.package_photos(6))
    return [case for photo in photos for case in bench.cases_of(photo)]


@pytest.fixture(scope="module")
def one(bench):
    """A picture: its bytes, and what collect makes of them."""
    photo = next(bench.package_photos(1))
    return photo.data, normalise(photo.data, bench.BOUNDS)


@pytest.fixture(scope="module")
def other(bench):
    """Another one, which the table saw: its hash there."""
    noise = np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return bench.imagehash_phash(Image.fromarray(noise).resize((300, 300)))


OTHER_MD5 = "0" * 32


def test_what_the_table_has_a_close_hash_of_is_the_same_picture(one, bench):
    data, picture = one
    assert not changed(Seen(picture.phash), data, picture)
    assert not changed(Seen(picture.phash.upper()), data, picture)


def test_what_the_table_has_a_far_hash_of_is_another_picture(one, other):
    assert changed(Seen(other), *one)


@pytest.mark.parametrize(("bits", "verdict"), [(APART, False), (APART + 1, True)])
def test_the_threshold_is_the_last_distance_that_passes(one, bits, verdict):
    data, picture = one
    flipped = int(picture.phash, 16) ^ ((1 << bits) - 1)
    assert changed(Seen(f"{flipped:016x}"), data, picture) is verdict


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_equal_bytes_never_count_as_changed_whatever_else_the_table_says(one, other, case):
    data, picture = one
    md5 = case(hashlib.md5(data).hexdigest())
    assert not changed(Seen(other, md5, 10, 1000), data, picture)


def test_a_hash_in_the_table_outweighs_a_size_that_does_not_fit(one):
    data, picture = one
    assert not changed(Seen(picture.phash, OTHER_MD5, 10, 1000), data, picture)


def test_without_any_hash_in_the_table_there_is_no_telling(one):
    assert not changed(Seen(), *one)
    assert not changed(Seen(width=10, height=1000), *one)


@pytest.mark.parametrize("side", [0.25, 1, 2, 1.04])
def test_other_bytes_of_the_same_shape_are_the_picture_resized(one, side):
    data, picture = one
    size = round(picture.original_width * side), picture.original_height * side
    assert not changed(Seen(None, OTHER_MD5, size[0], round(size[1])), data, picture)


def test_other_bytes_of_another_shape_are_another_picture(one):
    data, picture = one
    width, height = picture.original_width, picture.original_height
    assert changed(Seen(None, OTHER_MD5, 3 * max(width, height), min(width, height)), *one)
    lying = dataclasses.replace(picture, original_width=600, original_height=400)
    assert changed(Seen(None, OTHER_MD5, 400, 400), data, lying)


def test_width_and_height_may_stand_swapped_as_they_do_in_some_tables(one):
    data, picture = one
    lying = dataclasses.replace(picture, original_width=600, original_height=400)
    assert not changed(Seen(None, OTHER_MD5, 400, 600), data, lying)


@pytest.mark.parametrize("size", [(None, None), (0, 0), (640, None), (0, 480), (-1, 480)])
def test_a_size_that_says_nothing_changes_nothing(one, size):
    assert not changed(Seen(None, OTHER_MD5, *size), *one)


@pytest.mark.parametrize(
    "phash",
    [
        *("", "none", "0" * 15, "f" * 17, "٣" * 16, "ffffffffffffffg0"),
        *("0x00000000000000", "+fffffffffffffff", " fffffffffffffff", "1_2_3_4_5_6_7_8a"),
    ],
)
def test_what_is_no_hash_is_passed_over(one, phash):
    assert not changed(Seen(phash), *one)


HINTS = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))


@settings(max_examples=200)
@given(st.none() | st.text(), st.none() | st.text(), HINTS, HINTS)
def test_no_table_breaks_it(one, phash, md5, width, height):
    assert changed(Seen(phash, md5, width, height), *one) in (True, False)


@pytest.mark.parametrize("by", ["phash", "md5"])
def test_hosts_that_resize_and_encode_anew_raise_false_alarms_in_1_percent_at_most(
    bench, cases, by
):
    counted = [case for case in cases if case.kind not in bench.NO_GOAL]
    wrong = [case.kind for case in counted if case.alarm(by)]
    assert len(counted) > 200
    assert len(wrong) <= bench.GOAL * len(counted), wrong


@pytest.fixture(scope="module")
def untouched(bench):
    photos = list(bench.package_photos(60))
    hashes = [bench.imagehash_phash(photo.image) for photo in photos]
    pictures = [normalise(photo.data, bench.BOUNDS) for photo in photos]
    parts = zip(hashes, photos, pictures, strict=True)
    return [bench.Case("as it was", hashed, p, p.data, picture) for hashed, p, picture in parts]


def test_the_hash_of_the_table_and_ours_are_close_on_untouched_pictures(untouched):
    assert max(case.apart for case in untouched) <= APART // 2


def test_other_pictures_are_told_from_the_one_that_the_table_saw(bench, untouched):
    assert (bench.unrelated(untouched) > APART).mean() >= bench.CAUGHT
