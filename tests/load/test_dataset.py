"""A packed root is read at random: the bytes asked for, as they were packed, and no others."""

import multiprocessing
import os
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import humanverse
from humanverse.drawing import skeleton
from humanverse.errors import DataError, UsageError
from humanverse.load import ranges
from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import render

SCENES = 12


@pytest.fixture(scope="module")
def scenes():
    return [render(seed, 96 + 16 * (seed % 3), 80, people=1 + seed % 3) for seed in range(SCENES)]


@pytest.fixture(scope="module")
def root(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    pack_scenes(folder, [encoded(scene) for scene in scenes], per_shard=5)
    return folder


@pytest.fixture
def copy(root, tmp_path):
    return Path(shutil.copytree(root, tmp_path / "copy"))


def test_a_sample_holds_what_was_asked_for_and_what_was_packed(root, scenes):
    names = ["image", "depth", "normals", "poses", "boxes", "caption", "meta", "pose_map"]
    with humanverse.open(root, names) as dataset:
        assert len(dataset) == SCENES
        for number, scene in enumerate(scenes):
            sample = dataset[number]
            assert sample["key"] == dataset.key(number)
            assert np.abs(sample["image"].astype(int) - scene.image).mean() < 8
            assert np.abs(sample["depth"] - scene.depth).max() <= np.ptp(scene.depth) / 65535
            assert np.abs(sample["normals"] - scene.normals).max() < 0.01
            assert np.allclose(sample["poses"], scene.keypoints, atol=1e-3)
            assert np.allclose(sample["boxes"], scene.boxes, atol=0.01)
            assert sample["caption"] == scene.caption
            assert sample["meta"]["width"] == scene.image.shape[1]
            assert (sample["pose_map"] == skeleton(sample["poses"], *scene.depth.shape)).all()
            assert sample["depth_kind"] == "metric"
    with humanverse.open(root, ["caption"]) as dataset:
        assert dataset[0].keys() == {"key", "caption"}


def test_undecoded_members_are_the_bytes_of_the_tar(root):
    with humanverse.open(root, ["image", "depth"], decode=False) as dataset:
        for number in range(SCENES):
            sample = dataset[number]
            shard = dataset.to_table(["shard"])["shard"][number].as_py()
            with tarfile.open(root / "shards" / f"{shard:05d}.tar") as tar:
                for column, extension in (("image", "jpg"), ("depth", "depth.png")):
                    file = tar.extractfile(f"{sample['key']}.{extension}")
                    assert sample[column] == file.read()


def test_samples_are_had_by_number_from_either_end_and_by_key(root):
    with humanverse.open(root, ["caption"]) as dataset:
        last = dataset[SCENES - 1]
        assert dataset[-1] == last
        assert dataset[last["key"]] == last
        assert dataset[np.int64(3)] == dataset[3]
        assert [s["key"] for s in dataset] == [dataset.key(n) for n in range(SCENES)]
        assert dataset.__getitems__([2, 5]) == [dataset[2], dataset[5]]
        for wrong in (SCENES, -SCENES - 1):
            with pytest.raises(IndexError, match=f"sample {wrong} of {SCENES}"):
                dataset[wrong]
        with pytest.raises(KeyError, match="no sample"):
            dataset["0" * 32]
        with pytest.raises(TypeError):
            dataset[1.5]


@pytest.mark.parametrize(
    "filters",
    [
        [("person_count", "<=", 2), ("width", ">", 100)],
        (pc.field("person_count") <= 2) & (pc.field("width") > 100),
        "person_count <= 2 AND width > 100",
    ],
)
def test_filters_are_tuples_an_arrow_expression_or_sql(root, filters):
    with humanverse.open(root, ["meta"], filters=filters) as dataset:
        kept = [sample["meta"] for sample in dataset]
        assert 0 < len(kept) == len(dataset) < SCENES
        assert all(len(meta["people"]) <= 2 and meta["width"] > 100 for meta in kept)
        assert dataset.to_table(["key"])["key"].to_pylist() == [
            dataset.key(number) for number in range(len(dataset))
        ]
        assert dataset[dataset.key(1)]["key"] == dataset.key(1)
        with humanverse.open(root, ["meta"]) as whole:
            left_out = set(whole.to_table(["key"])["key"].to_pylist()) - {s["key"] for s in dataset}
            assert len(left_out) == SCENES - len(kept)
            with pytest.raises(KeyError):
                dataset[left_out.pop()]
            assert whole.where(filters).fingerprint() == dataset.fingerprint()
            assert whole.fingerprint() != dataset.fingerprint()


@pytest.mark.parametrize("filters", ["nonsense >", "no_such = 1", [("no_such", "==", 1)], 5])
def test_filters_that_cannot_be_understood_are_told_in_a_line(root, filters):
    with pytest.raises(UsageError, match="filters=") as told:
        humanverse.open(root, filters=filters)
    assert "\n" not in str(told.value)


def test_a_filter_that_nothing_passes_leaves_an_empty_dataset(root):
    with humanverse.open(root, filters="person_count > 99") as dataset:
        assert (len(dataset), list(dataset)) == (0, [])
        with pytest.raises(IndexError):
            dataset[0]


def test_row_groups_that_a_filter_rules_out_are_not_read(root, tmp_path):
    table = pq.read_table(root / "shards" / "index.parquet")
    copy = shutil.copytree(root, tmp_path / "copy")
    pq.write_table(table, copy / "shards" / "index.parquet", row_group_size=4)
    with humanverse.open(copy, ["caption"]) as dataset:
        key = dataset.key(9)
        assert sorted(dataset._index._groups) == [2]
        assert len(dataset.where([("key", "==", key)])) == 1
        assert dataset.to_table(["key"])["key"].to_pylist() == table["key"].to_pylist()
        captions = [sample["caption"] for sample in dataset]
    with humanverse.open(root, ["caption"]) as dataset:
        assert [sample["caption"] for sample in dataset] == captions


def test_only_the_members_asked_for_are_read_and_neighbours_at_once(root, monkeypatch):
    reads = []

    def counted(descriptor, length, offset):
        reads.append(length)
        return os.preadv(descriptor, [data := bytearray(length)], offset) and bytes(data)

    monkeypatch.setattr(os, "pread", counted)
    with humanverse.open(root, ["caption"]) as dataset:
        sample = dataset[3]
        assert reads == [len(sample["caption"])]
    with humanverse.open(root) as dataset:
        reads.clear()
        dataset[3]
        assert len(reads) == 1


def test_a_bit_that_flipped_is_named_with_key_and_shard(copy):
    with humanverse.open(copy, ["normals"]) as dataset:
        row = dataset.to_table(["key", "normal_png_offset"]).slice(7, 1).to_pylist()[0]
    path = copy / "shards" / "00001.tar"
    data = bytearray(path.read_bytes())
    data[row["normal_png_offset"] + 300] ^= 4
    path.write_bytes(data)
    with humanverse.open(copy, ["normals"]) as dataset:
        with pytest.raises(DataError, match=f"{row['key']}.normal.png of shard 00001.*checksum"):
            dataset[7]
        assert dataset[8]["normals"].ndim == 3
    with humanverse.open(copy, ["caption"]) as dataset:
        assert dataset[7]["caption"]
    with humanverse.open(copy, ["normals"], decode=False, verify=False) as dataset:
        assert len(dataset[7]["normals"]) > 300


def test_shards_of_before_members_had_checksums_are_read(copy):
    index = copy / "shards" / "index.parquet"
    table = pq.read_table(index)
    pq.write_table(table.drop_columns([n for n in table.column_names if "crc32" in n]), index)
    with humanverse.open(copy) as dataset:
        assert dataset[4]["image"].shape == (80, 112, 3)


def test_a_shard_that_is_cut_or_gone_is_named(copy):
    cut = copy / "shards" / "00002.tar"
    os.truncate(cut, cut.stat().st_size // 3)
    (copy / "shards" / "00000.tar").unlink()
    with humanverse.open(copy, ["image"]) as dataset:
        with pytest.raises(DataError, match=r"jpg of shard 00002 .*the shard ends before"):
            dataset[-1]
        with pytest.raises(DataError, match=r"00000\.tar is missing"):
            dataset[0]
        assert dataset[6]["image"].any()


def test_no_root_and_no_such_column_are_refused(root, tmp_path):
    with pytest.raises(UsageError, match="holds no shards"):
        humanverse.open(tmp_path)
    with pytest.raises(UsageError, match="no column pixels: choose of image"):
        humanverse.open(root, ["pixels"])
    with pytest.raises(UsageError, match="is one name: put it in"):
        humanverse.open(root, "image")
    with humanverse.open(root, filters=[]) as dataset:
        assert len(dataset) == SCENES
    with humanverse.open(root) as dataset, pytest.raises(UsageError, match="no column nope"):
        dataset.to_table(["nope"])


def _sums(dataset):
    return [int(sample["image"].sum()) for sample in dataset]


def _child(dataset, queue):
    queue.put(_sums(dataset))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_threads_and_other_processes_read_the_same(root, method):
    with humanverse.open(root, ["image"], filters="person_count < 3") as dataset:
        whole = _sums(dataset)
        with ThreadPoolExecutor(8) as pool:
            several = [pool.submit(_sums, dataset) for _ in range(8)]
            context = multiprocessing.get_context(method)
            queue = context.Queue()
            child = context.Process(target=_child, args=(dataset, queue))
            child.start()
            assert queue.get(timeout=60) == whole
            child.join()
            assert [one.result() for one in several] == [whole] * 8


def _target(link):
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def test_no_more_files_are_held_open_than_allowed_and_none_after_closing(root, monkeypatch):
    monkeypatch.setattr(ranges, "OPEN", 2)

    def held():
        targets = (_target(link) for link in Path("/proc/self/fd").iterdir())
        return sum(str(root) in target for target in targets)

    before = held()
    with humanverse.open(root, ["image"]) as dataset:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(dataset.__getitem__, list(range(SCENES)) * 20))
        assert held() - before <= 2
    assert held() == before
