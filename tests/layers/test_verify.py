"""Verify finds what was damaged, and names it."""

import shutil

import pytest
from shared import RECIPE

from humanverse.layers.store import Store
from humanverse.layers.verify import sweep, verify
from humanverse.run.build import Settings, build


@pytest.fixture(scope="module")
def whole(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "root"
    build(RECIPE, [web.table], root, settings=Settings("local"))
    return root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "root")


def test_an_undamaged_root_has_no_findings(root):
    assert verify(Store(root)) == []


def damaged_files(root):
    return sorted(
        p
        for pattern in ("collect/*", "labels/*", "people/*", "shards/*.tar", "shards/*.parquet")
        for p in root.glob(pattern)
    )


def test_a_single_flipped_bit_is_found_wherever_it_is(root):
    files = damaged_files(root)
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        place = (number * 7919) % len(data)
        data[place] ^= 1 << number % 8
        path.write_bytes(data)
        assert any(path.name in f or path.stem in f for f in verify(Store(root))), path
        data[place] ^= 1 << number % 8
        path.write_bytes(data)
    assert len(files) > 20


@pytest.mark.parametrize("pattern", ["collect/*.tar", "people/*.parquet", "shards/00001.tar"])
def test_missing_and_cut_files_are_found(root, pattern):
    path = sorted(root.glob(pattern))[0]
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert any("bytes" in f or "sha256" in f for f in verify(Store(root)))
    path.unlink()
    assert any("missing" in f for f in verify(Store(root)))


@pytest.mark.parametrize("pattern", ["commits/*.json", "plan/*.json", "plan/00.0000.*.parquet"])
def test_damage_to_the_bookkeeping_is_a_finding_too(root, pattern):
    shutil.rmtree(root / "commits" / "rolled")
    path = sorted(root.glob(pattern))[0]
    path.write_bytes(path.read_bytes()[:40])
    assert verify(Store(root))


def test_sweeping_removes_orphans_and_nothing_else(root):
    (root / "collect" / "00-0000000.0123456789ab.tar").write_bytes(b"orphan")
    (root / "people" / ".half.attempt").write_bytes(b"half")
    removed = sweep(Store(root))
    assert removed == ["collect/00-0000000.0123456789ab.tar", "people/.half.attempt"]
    assert verify(Store(root)) == []


def test_a_flipped_bit_in_plan_receipts_or_roll_ups_is_found_and_named(root):
    files = sorted([*root.glob("plan/*.parquet"), *root.glob("commits/**/*.*")])
    assert len(files) > 10
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        place = (number * 7919) % len(data)
        data[place] ^= 1 << number % 8
        path.write_bytes(data)
        assert any(path.name in f for f in verify(Store(root))), path
        data[place] ^= 1 << number % 8
        path.write_bytes(data)
    assert verify(Store(root)) == []


@pytest.mark.parametrize("name", ["plan/00.json", "shards/dataset.json", "recipe.json"])
def test_a_missing_or_unreadable_list_is_a_finding(root, name):
    path = root / name
    path.write_bytes(path.read_bytes()[:40])
    assert verify(Store(root))
    if name != "recipe.json":
        path.unlink()
        assert verify(Store(root))
