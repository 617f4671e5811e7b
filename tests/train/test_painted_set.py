"""One sample for each of a dataset's: what is written, in which order, and what is resumed."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from small import changed

import humanverse
from humanverse.cli import main
from humanverse.evaluate.choose import chosen
from humanverse.evaluate.sets import opened, seen
from humanverse.train.loop import train

COUNT = 5


def painted(trained, root, out, *more):
    told = ["sample", "--checkpoint", trained, "--of", root, "--out", out, "--count", COUNT]
    return main([str(word) for word in [*told, "--batch", 2, *more]])


@pytest.fixture(scope="module")
def keys(root):
    with humanverse.open(root, ["image"]) as dataset:
        return chosen(dataset.to_table(["key"])["key"].to_pylist(), COUNT, 0)


@pytest.fixture(scope="module")
def folder(root, trained, tmp_path_factory):
    """Five samples, painted at once."""
    out = tmp_path_factory.mktemp("painted") / "set"
    assert painted(trained, root, out) == 0
    return out


def test_each_sample_has_its_picture_caption_depth_and_normals(root, folder, keys):
    endings = (".png", ".txt", ".depth.png", ".json", ".normal.png")
    names = {f"{key}{ending}" for key in keys for ending in endings} | {"painted.json"}
    assert {path.name for path in folder.iterdir()} == names
    made = opened(str(folder))
    assert made.keys() == keys
    sample = seen(made, keys[0], ("image", "caption", "depth", "normals"), 16)
    assert sample["image"].shape == (16, 16, 3)
    assert sample["depth_kind"] == "disparity"
    assert np.allclose(np.linalg.norm(sample["normals"], axis=2), 1, atol=1e-5)
    with humanverse.open(root, ["caption"]) as dataset:
        assert sample["caption"] == dataset[keys[0]]["caption"]


def test_a_run_goes_on_with_those_that_are_missing(root, trained, folder, keys, tmp_path, capsys):
    out = tmp_path / "set"
    assert painted(trained, root, out) == 0
    lost, left = keys[1], keys[2]
    before = (out / f"{lost}.png").read_bytes()
    (out / f"{lost}.png").unlink()
    (out / f"{left}.png").write_bytes(b"somebody's")
    capsys.readouterr()
    assert painted(trained, root, out) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4  # of one sample
    assert (out / f"{left}.png").read_bytes() == b"somebody's"
    one, two = (
        cv2.imdecode(np.frombuffer(b, np.uint8), 1).astype(int)
        for b in (before, (out / f"{lost}.png").read_bytes())
    )
    assert np.abs(one - two).max() <= 1  # batches of other sizes sum otherwise


def test_a_sample_depends_on_its_key_and_the_seed(root, trained, folder, keys, tmp_path):
    assert painted(trained, root, tmp_path / "set", "--seed", 1) == 0
    others = opened(str(tmp_path / "set"))
    assert others.keys() != keys  # another seed chooses others, too
    assert painted(trained, root, tmp_path / "all", "--count", 24, "--seed", 1) == 0
    for key in keys:
        one, two = (cv2.imread(str(place / f"{key}.png")) for place in (folder, tmp_path / "all"))
        assert np.abs(one.astype(int) - two).max() > 1


def test_the_caption_and_the_pose_are_told(root, trained, folder, keys, tmp_path, monkeypatch):
    """Without them the same noises become other pictures."""
    monkeypatch.setattr(
        "humanverse.train.painted_set._skeletons",
        lambda samples, side: np.zeros((len(samples), side, side, 3), np.uint8),
    )
    assert painted(trained, root, tmp_path / "set") == 0
    one, two = (
        np.stack([cv2.imread(str(place / f"{key}.png")).astype(int) for key in keys])
        for place in (folder, tmp_path / "set")
    )
    assert np.abs(one - two).max() > 1


def test_a_refiner_paints_each_at_twice_the_size(root, trained, keys, tmp_path):
    training = replace(
        changed(
            data={"image_size": 32},
            network={"branches": ("rgb",), "maps": ("pose", "depth", "normal")},
            optim={"steps": 1},
        ),
        name="refiner",
        stage="refiner",
    )
    train(training, root, tmp_path / "refiner", start=trained)
    out = tmp_path / "set"
    assert painted(trained, root, out, "--refiner", tmp_path / "refiner") == 0
    fine = opened(str(out / "refined"))
    assert fine.keys() == opened(str(out)).keys() == keys
    sample = fine.sample(keys[0], ("image", "caption"))
    assert sample["image"].shape == (32, 32, 3)
    assert sample["caption"]


def test_what_it_paints_is_measured(root, folder, tmp_path):
    told = ["evaluate", "--real", root, "--generated", folder, "--out", tmp_path / "out"]
    told += ["--size", 16, "--features", "random", "--metrics", "kid,depth,normals"]
    assert main([str(word) for word in [*told, "--cache", tmp_path / "cache"]]) == 0
    body = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert body["settings"]["pictures"] == COUNT
    assert body["figures"]["depth_l2"]["value"] > 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--steps", "3"), "another steps"),
        (("--guidance", "2", "--seed", "4"), "another guidance, seed"),
        (("--prompt", "x"), "leave --prompt"),
        (("--count", "25"), "has 24 samples"),
        (("--count", "0"), "has 24 samples"),
        (("--batch", "0"), "1 or more"),
        (("--of", "nowhere"), "holds no shards"),
    ],
)
def test_what_cannot_be_is_refused(root, trained, folder, capsys, more, told):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert painted(trained, root, folder, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
