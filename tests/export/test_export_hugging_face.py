"""Hugging Face's datasets reads the folder as it lies there, offline."""

import gc
import json
import shutil
import tarfile

import numpy as np
import pytest
from export.exporting import contents, exported

import humanverse
from humanverse.testing.packed import encoded, pack_scenes

datasets = pytest.importorskip("datasets", reason="datasets is not installed")

# It leaves the files it read to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """Nothing is asked of anybody, and copies go into a folder of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("copies"))
        datasets.disable_progress_bars()
        yield
    gc.collect()


@pytest.fixture(scope="module")
def handed(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "to"
    assert exported(whole.root, "hf", folder) == 0
    return folder


def check(rows, root, keys):
    """Rows hold the samples of a root that have those keys."""
    with humanverse.open(root) as dataset:
        assert sorted(row["__key__"] for row in rows) == sorted(keys)
        for row in rows:
            sample = dataset[row["__key__"]]
            assert np.array_equal(np.asarray(row["jpg"].convert("RGB")), sample["image"])
            assert row["txt"] == sample["caption"]
            people = [one["keypoints"] for one in row["pose.json"]["people"]]
            np.testing.assert_allclose(np.reshape(people, (-1, 133, 3)), sample["poses"], atol=1e-4)
            told = row["json"]["depth"]
            depth = np.asarray(row["depth.png"], np.float32) * told["scale"] + told["offset"]
            np.testing.assert_allclose(depth, sample["depth"], rtol=1e-5)


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_takes_the_folder(whole, handed, streaming):
    made = datasets.load_dataset(str(handed), split="train", streaming=streaming)
    check(list(made), whole.root, whole.scenes)


def test_load_dataset_takes_the_tars_as_webdataset(whole, handed):
    made = datasets.load_dataset("webdataset", data_files=str(handed / "data/*.tar"), split="train")
    check(list(made), whole.root, whole.scenes)


def test_splits_are_those_of_the_root(split, tmp_path):
    assert exported(split.root, "hf", tmp_path / "to") == 0
    made = datasets.load_dataset(str(tmp_path / "to"))
    assert set(made) == {"train", "validation", "test"}
    for name, rows in made.items():
        check(list(rows), split.root, {key for key, of in split.of.items() if of == name})


def test_types_hold_where_the_first_samples_have_nulls(tmp_path, rendered):
    samples = [encoded(scene) for scene in rendered]
    told = [
        (f | {"url": None if n < 7 else "http://localhost/x"}, b)
        for n, (f, b) in enumerate(samples)
    ]
    pack_scenes(tmp_path / "root", told)
    assert exported(tmp_path / "root", "hf", tmp_path / "to") == 0
    made = datasets.load_dataset(str(tmp_path / "to"), split="train")
    assert [row["url"] for row in made["json"]].count("http://localhost/x") == 1


def test_whole_shards_are_links_to_the_root_s_and_others_hold_their_split_alone(
    whole, handed, split, tmp_path, capsys
):
    shards = sorted((whole.root / "shards").glob("*.tar"))
    files = sorted((handed / "data").iterdir())
    assert [path.name for path in files] == [f"train-0000{n}-of-00003.tar" for n in range(3)]
    assert all(one.samefile(other) for one, other in zip(shards, files, strict=True))
    assert exported(split.root, "hf", tmp_path / "to") == 0
    assert "1 of those are hard links" in capsys.readouterr().out
    packed = (split.root / "shards" / "00002.tar").read_bytes()
    assert (tmp_path / "to/data/train-00002-of-00003.tar").read_bytes() == packed
    members = {}
    for path in (tmp_path / "to" / "data").iterdir():
        with tarfile.open(path) as tar:
            members |= {info.name: tar.extractfile(info).read() for info in tar}
            of = {split.of[info.name.partition(".")[0]] for info in tar}
        assert of == {path.name.partition("-")[0]}
    every = {}
    for path in (split.root / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            every |= {info.name: tar.extractfile(info).read() for info in tar}
    assert members == every


def test_where_no_link_can_be_the_bytes_are_copied(whole, handed, tmp_path, monkeypatch, capsys):
    def cannot(self, source):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("pathlib.Path.hardlink_to", cannot)
    assert exported(whole.root, "hf", tmp_path / "to") == 0
    assert "hard links" not in capsys.readouterr().out
    assert contents(tmp_path / "to") == contents(handed)
    assert {path.stat().st_nlink for path in (tmp_path / "to" / "data").iterdir()} == {1}


def test_the_card_tells_licence_tasks_and_files_and_keeps_the_root_s_card(whole, tmp_path):
    yaml = pytest.importorskip("yaml")
    root = shutil.copytree(whole.root, tmp_path / "root")
    (root / "shards" / "README.md").write_text("# demo\n\n8 pictures\n")
    assert exported(root, "hf", tmp_path / "to", "--license", "cc-by-4.0") == 0
    _, head, body = (tmp_path / "to" / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["license"] == "cc-by-4.0" and "depth-estimation" in told["task_categories"]
    assert told["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/train-*.tar"}],
        }
    ]
    assert body.strip() == "# demo\n\n8 pictures"


def test_names_of_splits_are_made_such_as_hugging_face_takes(tmp_path, rendered, capsys):
    samples = [encoded(scene) for scene in rendered[:2]]
    names = ("held-out", "held_out")
    told = [(f | {"split": name}, b) for (f, b), name in zip(samples, names, strict=True)]
    pack_scenes(tmp_path / "root", told)
    listed = tmp_path / "root" / "shards" / "dataset.json"
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"splits": {names[0]: 1}}))
    assert exported(tmp_path / "root", "hf", tmp_path / "to") == 0
    assert (tmp_path / "to" / "data" / "held_out-00000-of-00001.tar").exists()
    both = dict.fromkeys(names, 1)
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"splits": both}))
    assert exported(tmp_path / "root", "hf", tmp_path / "other") == 2
    assert "differ by hyphens alone" in capsys.readouterr().err
