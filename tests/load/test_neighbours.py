"""webdataset and Hugging Face read our shards as we do, as they are and through us."""

import gc
import json

import numpy as np
import pytest

import humanverse
from humanverse.errors import DataError, UsageError
from humanverse.layers.store import Store
from humanverse.load.hugging_face import hf_features
from humanverse.load.neighbours import decoded
from humanverse.testing.objects import bucket

# Both leave the files they read to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
EXTENSIONS = {
    "jpg": "image",
    "txt": "caption",
    "json": "meta",
    "pose.json": "poses",
    "depth.png": "depth",
    "normal.png": "normals",
}


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """Nothing is asked of anybody, and copies go into a folder of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("copies"))
        datasets.disable_progress_bars()
        yield
    gc.collect()


@pytest.fixture
def dataset(scenes):
    with humanverse.open(scenes) as opened:
        yield opened


@pytest.fixture
def two(scenes):
    """Pictures of two people alone."""
    with humanverse.open(scenes, filters=[("person_count", "==", 2)]) as opened:
        yield opened


def tars(dataset):
    return [str(path) for path in sorted((dataset.root / "shards").glob("*.tar"))]


def raw(dataset):
    """Bytes by extension, by key."""
    undecoded = dataset.only(list(EXTENSIONS.values()), decode=False)
    return {
        sample["key"]: {extension: sample[name] for extension, name in EXTENSIONS.items()}
        for sample in undecoded
    }


def bytes_of(row):
    """The bytes behind a row of Hugging Face's whose pictures are not decoded; JSON stays read."""
    return {
        name: value["bytes"] if isinstance(value, dict) and "bytes" in value else value
        for name, value in row.items()
    }


def undecoded(made):
    import datasets

    for name, kind in made.features.items():
        if isinstance(kind, datasets.Image):
            made = made.cast_column(name, datasets.Image(decode=False))
    return made


def plain(text):
    """JSON without the last digit of numbers, which Hugging Face's reader of it rounds."""
    return json.loads(text, parse_float=lambda digits: f"{float(digits):.14g}")


def check_rows(rows, dataset):
    """Rows of Hugging Face's are the samples of the dataset, byte for byte."""
    ours = raw(dataset)
    assert [row["__key__"] for row in rows] == list(ours)
    for row in map(bytes_of, rows):
        mine = ours[row["__key__"]]
        for extension in ("jpg", "depth.png", "normal.png"):
            assert row[extension] == mine[extension]
        assert row["txt"] == mine["txt"].decode()
        for extension in ("json", "pose.json"):
            assert plain(json.dumps(row[extension])) == plain(mine[extension])


def test_webdatasets_own_reader_gives_the_bytes_that_we_give(dataset):
    import webdataset

    ours = raw(dataset)
    samples = list(webdataset.WebDataset(tars(dataset), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == list(ours)
    for sample in samples:
        assert {name: sample[name] for name in EXTENSIONS} == ours[sample["__key__"]]


def test_hugging_faces_own_reader_gives_the_bytes_that_we_give(dataset, tmp_path):
    import datasets

    made = datasets.load_dataset(
        "webdataset",
        data_files=tars(dataset),
        split="train",
        cache_dir=str(tmp_path),
        features=hf_features(dataset),
    )
    check_rows(list(undecoded(made)), dataset)


def test_a_webdataset_of_ours_is_decoded_as_we_decode(dataset):
    samples = list(dataset.to_webdataset())
    assert [sample["__key__"] for sample in samples] == [ours["key"] for ours in dataset]
    for sample, ours in zip(samples, dataset, strict=True):
        for extension, name in EXTENSIONS.items():
            assert np.array_equal(sample[extension], ours[name]), name
            assert type(sample[extension]) is type(ours[name])
        assert sample["json"]["depth"]["kind"] == ours["depth_kind"]


def test_filters_and_columns_hold_for_a_webdataset(two, dataset):
    assert 0 < len(two) < len(dataset)
    few = two.only(["depth"])
    samples = list(few.to_webdataset())
    assert [sample["__key__"] for sample in samples] == [sample["key"] for sample in few]
    assert {name for name in samples[0] if not name.startswith("__")} == {"depth.png", "json"}
    assert (samples[0]["depth.png"] == few[0]["depth"]).all()
    last = dataset.subset([len(dataset) - 1])
    (only,) = last.to_webdataset(decode=False)
    assert only["__url__"] == tars(dataset)[-1]
    assert only["jpg"] == raw(last)[last.key(0)]["jpg"]


def test_nodes_and_workers_part_a_webdataset(two, monkeypatch):
    from torch.utils.data import DataLoader

    seen = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        made = two.to_webdataset(shardshuffle=10)
        workers = 2 if rank == 0 else 0
        seen += [sample["__key__"] for sample in DataLoader(made, None, num_workers=workers)]
    assert sorted(seen) == [sample["key"] for sample in two]


def test_a_damaged_member_is_named_or_left_to_the_handler(dataset):
    (sample,) = dataset.subset([0]).to_webdataset(decode=False)
    for name in ("jpg", "depth.png", "json"):
        with pytest.raises(DataError, match=f"{sample['__key__']} of .*00000.tar cannot be read"):
            decoded(sample | {name: sample[name][:40]})
    with pytest.raises(DataError, match="depth_scale"):
        decoded({name: sample[name] for name in sample if name != "json"})


@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_faces_datasets_hold_the_chosen_samples_byte_for_byte(two, streaming, tmp_path):
    how = {} if streaming else {"cache_dir": str(tmp_path)}
    made = two.to_hf(streaming=streaming, **how)
    check_rows(list(undecoded(made)), two)
    for row, ours in zip(made, two, strict=True):
        told = row["json"]["depth"]
        depth = np.asarray(row["depth.png"], np.float32) * np.float32(told["scale"])
        assert np.allclose(depth + np.float32(told["offset"]), ours["depth"])
        assert np.asarray(row["jpg"]).shape == ours["image"].shape
        assert row["__url__"] in tars(two)


def test_a_copy_for_hugging_face_is_not_taken_for_that_of_other_samples(two, dataset, tmp_path):
    for some in (two, dataset, dataset.subset([1])):
        made = some.only(["caption"]).to_hf(streaming=False, cache_dir=str(tmp_path))
        assert made["__key__"][:] == [sample["key"] for sample in some]
        assert made.column_names == ["txt", "__key__", "__url__"]


def test_a_stream_for_hugging_face_is_cut_by_tars_and_shared_by_workers(dataset):
    from torch.utils.data import DataLoader

    made = dataset.only(["caption"]).to_hf()
    assert made.num_shards == len(tars(dataset)) == 3
    loader = DataLoader(made, batch_size=None, num_workers=2)
    assert sorted(row["__key__"] for row in loader) == [sample["key"] for sample in dataset]
    assert len(list(made.shuffle(seed=1, buffer_size=4))) == len(dataset)


def test_nothing_chosen_is_nothing_to_hand_on(scenes):
    with humanverse.open(scenes, filters=[("person_count", "==", 9)]) as none:
        for hand_on in (none.to_webdataset, none.to_hf, lambda: hf_features(none)):
            with pytest.raises(UsageError, match="no sample of "):
                hand_on()


# moto and flask, in a thread of their own here, are not ours to keep tidy.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_root_in_an_object_store_is_fetched_for_once_but_is_no_webdataset(scenes, dataset):
    with pytest.MonkeyPatch.context() as patch, bucket(patch.setenv) as s3:
        afar = Store(s3.url("root"))
        for path in (scenes / "shards").iterdir():
            afar.replace(f"shards/{path.name}", path.read_bytes())
        with humanverse.open(s3.url("root"), ["caption"]) as there:
            assert there.subset([3]).key(0) == dataset.key(3)
            fetched = there._opening._index_path
            boxed = there.only(["image"])
            assert boxed._opening._index_path == fetched
            assert (boxed.people()[2]["image"] == dataset.people()[2]["image"]).all()
            with pytest.raises(UsageError, match="root is elsewhere: copy it"):
                there.to_webdataset()
            rows = list(there.to_hf())
            assert [row["txt"] for row in rows] == [ours["caption"] for ours in dataset]
            assert rows[0]["__url__"] == s3.url("root/shards/00000.tar")
        del there
        gc.collect()
        assert fetched.exists()
        del boxed, rows
