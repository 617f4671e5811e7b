"""Packing and loading invert each other, and neighbours read the shards as they are."""

import errno
import gc
import json
import shutil
import tarfile

import numpy as np
import pytest
from shared import RECIPE

import humanverse
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.pack import shards as packing
from humanverse.pack.sample import members_of
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build, pack_root
from humanverse.testing.stages import truth


@pytest.fixture(scope="module")
def root(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("packed") / "root"
    build(RECIPE, [web.table], root, settings=Settings("local"))
    return root


def test_every_kept_row_is_one_sample_with_every_member(root):
    kept = [r for r in humanverse.ledger(root).to_pylist() if r["status"] == "kept"]
    with humanverse.open(root) as ds:
        assert sorted(ds.to_table(["key"])["key"].to_pylist()) == sorted(r["key"] for r in kept)
        assert len(ds) == len(kept) > 5
        for sample in ds:
            assert sample.keys() == {
                *("key", "image", "caption", "meta", "poses", "depth", "depth_kind", "normals")
            }


def test_labels_come_back_as_they_were_written(root):
    with humanverse.open(root) as ds:
        for sample in ds:
            meta = sample["meta"]
            told = truth(meta["phash"], meta["width"], meta["height"])
            count = meta["person_count"]
            assert np.array_equal(sample["poses"], told["keypoints"][:count])
            assert np.allclose(sample["depth"], told["depth"], atol=meta["depth"]["scale"] * 0.51)
            cosine = (sample["normals"] * told["normals"]).sum(-1)
            assert cosine.min() > np.cos(np.radians(0.8))
            assert sample["image"].shape == (meta["height"], meta["width"], 3)
            boxes = [person["box"] for person in meta["people"]]
            assert np.allclose(boxes, told["boxes"][told["scores"] >= 0.5], atol=0.01)


def test_samples_are_found_by_number_key_and_filter(root):
    with humanverse.open(root) as ds:
        assert ds[-1]["key"] == ds[len(ds) - 1]["key"]
        assert ds[ds[3]["key"]]["caption"] == ds[3]["caption"]
        with pytest.raises(IndexError):
            ds[len(ds)]
        with pytest.raises(KeyError):
            ds["0" * 32]
    with humanverse.open(root, ["caption"], [("person_count", "==", 1)]) as few:
        assert 0 < len(few) < len(ds)
        assert all(sample.keys() == {"key", "caption"} for sample in few)


def test_captions_keep_every_letter(root):
    with humanverse.open(root, ["caption"]) as ds:
        assert all(sample["caption"].endswith("äöü") for sample in ds)


def test_opening_what_is_not_packed_says_so(tmp_path, root):
    with pytest.raises(UsageError, match="holds no shards"):
        humanverse.open(tmp_path)
    with pytest.raises(UsageError, match="no column picture"):
        humanverse.open(root, ["picture"])


def test_shards_are_tars_of_plain_sorted_members_of_no_time(root):
    for path in sorted((root / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            infos = tar.getmembers()
        assert all(i.mtime == 0 and i.uid == 0 and not i.uname for i in infos)
        keys = [i.name.partition(".")[0] for i in infos]
        assert [i.name for i in infos] == sorted(
            (i.name for i in infos), key=lambda n: (keys.index(n.partition(".")[0]), n)
        )


# webdataset leaves the files it read to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_webdataset_reads_the_shards_as_they_are(root):
    import webdataset

    paths = [str(path) for path in sorted((root / "shards").glob("*.tar"))]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False))
    gc.collect()
    with humanverse.open(root) as ds:
        assert [s["__key__"] for s in samples] == ds.to_table(["key"])["key"].to_pylist()
    assert {"jpg", "txt", "json", "pose.json", "depth.png", "normal.png"} <= samples[0].keys()


def test_packing_again_changes_no_byte_and_rewrites_no_shard(root, web):
    def state():
        return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (root / "shards").iterdir()}

    before = state()
    build(RECIPE, [web.table], root, settings=Settings("local"))
    after = state()
    assert {n: b for n, (_, b) in before.items()} == {n: b for n, (_, b) in after.items()}
    assert all(before[n] == after[n] for n in before if n[0].isdigit())


def test_packing_that_breaks_off_leaves_no_mixture_and_goes_on(root, tmp_path, monkeypatch):
    again = tmp_path / "root"
    shutil.copytree(root, again)
    settings = Settings("local", redo=True)
    build(RECIPE, [], again, packed=False, settings=settings)  # nothing to do
    recipe = load_recipe(RECIPE, ["people.min_area=0.3"])
    build(recipe, [], again, slices=("filter",), packed=False, settings=settings)
    build(recipe, [], again, slices=("annotate",), packed=False, settings=settings)
    write, written = packing._write, []

    def breaks_off(*arguments):
        if len(written) == 1:
            raise OSError(errno.ENOSPC, "no space left")
        written.append(write(*arguments))
        return written[-1]

    monkeypatch.setattr(packing, "_write", breaks_off)
    with pytest.raises(OSError, match="no space"):
        pack_root(Store(again), recipe)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="packing broke off"):
        humanverse.open(again)
    pack_root(Store(again), recipe)
    assert not (again / "shards" / "dataset.former.json").exists()
    assert verify(Store(again)) == []
    with humanverse.open(again) as ds:
        kept = [r for r in humanverse.ledger(again).to_pylist() if r["status"] == "kept"]
        assert sorted(sample["key"] for sample in ds) == sorted(r["key"] for r in kept)


def test_numbers_that_json_does_not_know_are_null():
    row = {"caption": None, "similarity": float("nan"), "sharpness": [float("inf"), 1.0]}
    body = json.loads(members_of(row)["json"], parse_constant=pytest.fail)
    assert (body["similarity"], body["sharpness"]) == (None, [None, 1.0])
