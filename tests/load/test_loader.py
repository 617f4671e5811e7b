"""Batches come in one order for all, go on where they stopped, and keep their size."""

import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
import torch
from shared import HERE, url_table

import humanverse
from humanverse.errors import DataError, UsageError
from humanverse.run.build import Settings, build

RECIPE = HERE / "recipes" / "depths.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader")
    build(RECIPE, [url_table(folder, 60)], folder / "root", settings=Settings("local"))
    return folder / "root"


@pytest.fixture
def dataset(root):
    with humanverse.open(root, ["image", "caption", "depth", "normals"]) as opened:
        yield opened


def keys(batches):
    return [batch["key"] for batch in batches]


def test_an_epoch_shows_every_sample_once_in_batches_of_one_size(dataset):
    batches = list(dataset.loader(4, seed=1))
    assert len(dataset) > 20
    assert [len(batch["key"]) for batch in batches] == [4] * (len(dataset) // 4)
    seen = [key for batch in batches for key in batch["key"]]
    assert len(set(seen)) == len(seen)
    kept = list(dataset.loader(4, seed=1, last="keep"))
    assert sorted(sum(keys(kept), [])) == sorted(dataset.to_table(["key"])["key"].to_pylist())  # noqa: RUF017


def test_pictures_of_one_size_are_stacked_and_the_rest_is_listed(dataset):
    batch = next(iter(dataset.loader(4, image_size=(8, 6))))
    assert batch["image"].shape == (4, 8, 6, 3)
    assert batch["image"].dtype == np.uint8
    assert batch["depth"].shape == (4, 8, 6)
    assert batch["normals"].shape == (4, 8, 6, 3)
    assert isinstance(batch["caption"], list)
    assert batch["depth_kind"] == ["metric"] * 4


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_taken_up_again_it_goes_on_with_the_next_batch(dataset, stop):
    whole = keys(dataset.loader(4, seed=3, workers=1))
    first = dataset.loader(4, seed=3, workers=3)
    reading = iter(first)
    before = [next(reading)["key"] for _ in range(stop)]
    state = first.state_dict()
    reading.close()
    second = dataset.loader(4, seed=3, workers=2)
    second.load_state_dict(state)
    assert before + keys(second) == whole


def test_ranks_part_each_batch_and_a_state_goes_from_one_number_of_ranks_to_another(dataset):
    whole = keys(dataset.loader(6, seed=5))
    ranks = [dataset.loader(6, seed=5, rank=r, world=3) for r in range(3)]
    parts = [keys(rank) for rank in ranks]
    assert [sum(batch, []) for batch in zip(*parts, strict=True)] == whole  # noqa: RUF017
    one = dataset.loader(6, seed=5)
    reading = iter(one)
    next(reading), next(reading)
    two = [dataset.loader(6, seed=5, rank=r, world=2) for r in range(2)]
    for rank in two:
        rank.load_state_dict(one.state_dict())
    parts = [keys(rank) for rank in two]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole[2:]


def test_the_next_epoch_is_another_order_and_comes_by_itself(dataset):
    loader = dataset.loader(4, seed=7)
    first, second = keys(loader), keys(loader)
    assert first != second
    assert loader.state_dict()["epoch"] == 2
    assert second == keys(dataset.loader(4, seed=7, epoch=1))
    assert (
        keys(dataset.loader(4, shuffle=False))[0]
        == dataset.to_table(["key"])["key"].to_pylist()[:4]
    )


def test_what_is_drawn_for_a_sample_is_its_own_whoever_reads_it(dataset):
    how = {"seed": 2, "image_size": 8, "crop": "random"}
    whole = {
        k: i for b in dataset.loader(4, **how) for k, i in zip(b["key"], b["image"], strict=True)
    }
    for batch in dataset.loader(4, **how, rank=1, world=2, workers=1):
        for key, image in zip(batch["key"], batch["image"], strict=True):
            assert (image == whole[key]).all()


def test_a_transform_has_random_numbers_of_its_own_and_may_add_what_it_likes(dataset):
    def transform(sample, random):
        return {"key": sample["key"], "drawn": random.random(), "mean": sample["image"].mean()}

    first = [b["drawn"] for b in dataset.loader(4, transform=transform)]
    assert first == [b["drawn"] for b in dataset.loader(4, transform=transform, workers=1)]
    assert len({number for batch in first for number in batch}) == sum(map(len, first))


def test_a_transform_may_turn_a_picture_in_place_of_copying_it(dataset):
    """Pictures are decoded where the batch will have them, which must not be seen."""
    plain = list(dataset.loader(4, image_size=(8, 6), workers=2))
    turned = dataset.loader(
        4,
        image_size=(8, 6),
        workers=2,
        transform=lambda s, _: s | {"image": s["image"][::-1], "depth": s["depth"][:, ::-1] + 1},
    )
    for before, after in zip(plain, turned, strict=True):
        assert (after["image"] == before["image"][:, ::-1]).all()
        assert (after["depth"] == before["depth"][:, :, ::-1] + 1).all()
        assert (after["normals"] == before["normals"]).all()


@pytest.fixture
def damaged(root, tmp_path):
    """A dataset in which a depth map is no PNG."""
    import shutil

    shutil.copytree(root, tmp_path / "root")
    with humanverse.open(tmp_path / "root") as opened:
        row = opened.table.take([3]).to_pylist()[0]
    path = tmp_path / "root" / "shards" / f"{row['shard']:05d}.tar"
    data = bytearray(path.read_bytes())
    place = row["depth_png_offset"]
    data[place : place + row["depth_png_length"]] = bytes(row["depth_png_length"])
    path.write_bytes(data)
    with humanverse.open(tmp_path / "root") as opened:
        yield opened, row


def test_a_broken_sample_is_named_with_its_shard(damaged):
    dataset, row = damaged
    with pytest.raises(DataError, match=f"{row['key']}.depth.png of shard {row['shard']:05d}"):
        list(dataset.loader(4, last="keep"))


def test_another_sample_may_stand_in_for_it_so_that_batches_keep_their_size(damaged):
    dataset, row = damaged
    loader = dataset.loader(4, broken="replace", last="keep")
    batches = list(loader)
    assert sum(len(batch["key"]) for batch in batches) == len(dataset)
    assert list(loader.replaced) == [row["key"]]
    assert row["key"] not in {key for batch in batches for key in batch["key"]}
    again = dataset.loader(4, broken="replace", last="keep", workers=1)
    assert keys(again) == keys(batches)


def test_a_loader_that_is_left_leaves_no_thread_behind(dataset):
    reading = iter(dataset.loader(4))
    next(reading)
    threads = [t for t in threading.enumerate() if t.name.startswith("load")]
    reading.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_state_is_small_plain_and_for_the_same_batches_alone(dataset):
    loader = dataset.loader(4, seed=1)
    state = loader.state_dict()
    assert len(pickle.dumps(state)) < 300
    for other in (dataset.loader(4, seed=2), dataset.loader(8, seed=1)):
        with pytest.raises(UsageError, match="would see other batches"):
            other.load_state_dict(state)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"batch_size": 10_000}, "make no batch of 10000"),
        ({"batch_size": 4, "workers": 0}, "1 or more"),
        ({"batch_size": 4, "world": 3}, "ranks evenly"),
        ({"batch_size": 4, "size": 3}, "has no size: choose of"),
        ({"batch_size": 4, "pin": True}, "needs tensors='torch'"),
        ({"batch_size": 4, "crop": "middle"}, "crop='middle': centre or random"),
        ({"batch_size": 4, "image_size": 0}, "no picture comes at"),
        ({"batch_size": 4, "image_size": "256"}, "no picture comes at 256"),
        ({"batch_size": 4, "buckets": [32, 64]}, "no picture comes at 32"),
        ({"batch_size": 4, "buckets": []}, "one size or more"),
    ],
)
def test_loaders_that_cannot_be_are_refused(dataset, fields, told):
    with pytest.raises(UsageError, match=told):
        dataset.loader(**fields)


def test_a_state_beyond_the_epoch_is_refused(dataset):
    loader = dataset.loader(4)
    with pytest.raises(UsageError, match="an epoch has"):
        loader.load_state_dict(loader.state_dict() | {"batch": 999})


def test_bytes_are_not_cropped(dataset):
    loader = dataset.only(["image"], decode=False).loader(4, image_size=32)
    with pytest.raises(UsageError, match="open with decode=True"):
        next(iter(loader))


def test_filters_narrow_what_is_loaded(root):
    with humanverse.open(root, ["image"], filters=[("person_count", "<=", 2)]) as few:
        seen = [key for batch in few.loader(2, last="keep") for key in batch["key"]]
        assert sorted(seen) == sorted(few.to_table(["key"])["key"].to_pylist())
        assert pa.compute.max(few.to_table(["person_count"])["person_count"]).as_py() <= 2


def test_tensors_come_channels_first_and_hold_the_same(dataset):
    arrays = next(iter(dataset.loader(4, image_size=(8, 6))))
    tensors = next(iter(dataset.loader(4, image_size=(8, 6), tensors="torch")))
    assert tensors["image"].shape == (4, 3, 8, 6)
    assert tensors["normals"].shape == (4, 3, 8, 6)
    assert tensors["depth"].shape == (4, 8, 6)
    assert (tensors["image"].permute(0, 2, 3, 1).numpy() == arrays["image"]).all()
    assert tensors["image"].is_contiguous(memory_format=torch.channels_last)
    assert tensors["caption"] == arrays["caption"]


def test_batches_of_several_aspects_are_each_of_one_size(root):
    sizes = [(8, 8), (8, 16), (16, 8)]
    with humanverse.open(root, ["image", "depth"]) as dataset:
        loader = dataset.loader(2, buckets=sizes, last="keep")
        batches = list(loader)
        assert sum(len(batch["key"]) for batch in batches) == len(dataset)
        for batch in batches:
            assert batch["image"].shape[1:3] == batch["depth"].shape[1:3]
            assert batch["image"].shape[1:3] in sizes
        state = loader.state_dict()
        with pytest.raises(UsageError, match="buckets"):
            dataset.loader(2, buckets=sizes[:2], last="keep").load_state_dict(state)


def test_torchs_own_loader_reads_it_too(dataset):
    loader = torch.utils.data.DataLoader(dataset, batch_size=5, collate_fn=list)
    assert [s["key"] for batch in loader for s in batch] == [s["key"] for s in dataset]


def python(code, *args):
    """A program of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_ends_it_at_once(root):
    """Ctrl-C while threads are in the midst of reading."""
    child = python(
        """
        import signal, sys, time, humanverse
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
        def slow(sample, random):
            time.sleep(0.2)
            return sample
        loader = humanverse.open(sys.argv[1]).loader(16, transform=slow, workers=2)
        print("reading", flush=True)
        while True:
            for batch in loader:
                pass
        """,
        root,
    )
    assert child.stdout.readline() == "reading\n"
    time.sleep(0.5)
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=20)
    assert time.monotonic() - asked < 5
    assert child.returncode != 0
    assert "KeyboardInterrupt" in told


def test_memory_and_open_files_stay_the_same_from_epoch_to_epoch(root):
    child = python(
        """
        import gc, os, sys, humanverse
        from humanverse.load.order import Order
        def held():
            gc.collect()
            with open("/proc/self/statm") as f:
                pages = int(f.read().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
        loader = humanverse.open(sys.argv[1]).loader(8, image_size=256, crop="random", workers=3)
        marks = []
        for epoch in range(33):
            for batch in loader:
                pass
            if epoch % 16 == 0:
                marks.append(held())
        print(*(f"{memory},{files}" for memory, files in marks))
        """,
        root,
    )
    out, told = child.communicate(timeout=120)
    assert child.returncode == 0, told
    marks = [tuple(map(int, mark.split(","))) for mark in out.split()]
    memory, files = zip(*marks, strict=True)
    assert len(set(files)) == 1
    assert memory[2] - memory[1] < 50e6  # a batch that stays each epoch would be 400e6
