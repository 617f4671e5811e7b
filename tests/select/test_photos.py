"""Real photographs that were resized, encoded anew and cropped, against all others."""

import json

import cv2
import numpy as np
import pytest

from humanverse.codec import encode_jpeg
from humanverse.collect.picture import Bounds, normalise
from humanverse.select import Select
from humanverse.select.hamming import distinct, pairs_within

pytestmark = pytest.mark.real
BOUNDS = Bounds(max_side=1024, min_side=1, max_pixels=64_000_000, quality=95)


@pytest.fixture(scope="module")
def photos(real):
    lines = (real / "photos" / "index.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["source"] == "coco_mini"]
    return [cv2.imread(str(real / "photos" / r["file"]), cv2.IMREAD_COLOR_RGB) for r in rows]


def hash_of(pixels, quality=90):
    return int(normalise(encode_jpeg(np.ascontiguousarray(pixels), quality), BOUNDS).phash, 16)


def apart(ones, others):
    return np.bitwise_count(np.array(ones, np.uint64) ^ np.array(others, np.uint64))


@pytest.mark.parametrize(
    ("treated", "least"),
    [
        (
            lambda p: hash_of(cv2.resize(p, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)),
            0.97,
        ),
        (lambda p: hash_of(p, 40), 0.97),
        (lambda p: hash_of(p[2:-2, 2:-2]), 0.85),
    ],
)
def test_a_photograph_and_its_treated_copy_are_near_duplicates(photos, treated, least):
    near = apart([hash_of(p) for p in photos], [treated(p) for p in photos])
    assert (near <= Select().max_distance).mean() >= least


def test_no_two_different_photographs_are(photos):
    hashes = distinct(np.array([hash_of(p) for p in photos], np.uint64))
    assert len(hashes) == len(photos)
    assert len(pairs_within(hashes, Select().max_distance + 4)) == 0
