"""The verbs: what they take, what they refuse, and what they write."""

import json
import sys

import cv2
import numpy as np
import pytest
from small import SMALL, changed, recipe_file

import humanverse
from humanverse.cli import main
from humanverse.train.loop import train
from humanverse.train.sample import framed, posed
from humanverse.train.settings import Training


def refused(capsys, *arguments):
    """The line that a call is refused with."""
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    said = capsys.readouterr().err.splitlines()
    return said[-1]


@pytest.fixture
def key(root):
    with humanverse.open(root) as dataset:
        return dataset.key(3)


def test_train_and_sample_from_the_command_line(root, tmp_path, capsys, key):
    recipe = recipe_file(tmp_path, changed(run={"sample_every": 2}))
    run, out = tmp_path / "run", tmp_path / "samples"
    arguments = ["train", str(recipe), "--data", str(root), "--out", str(run)]
    assert main([*arguments, "--set", "optim.steps=2"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in told] == ["start", "step", "step"]
    shown = cv2.imread(str(run / "samples" / "step-00000002.png"))
    assert shown.shape == (2 * 16, 4 * 16, 3)
    arguments = ["sample", "--checkpoint", str(run), "--out", str(out), "--pose", f"{root}:{key}"]
    arguments += ["--prompt", "a person", "--count", "2", "--seed", "7", "--steps", "2"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    names = ["000007.png", "000007.depth.png", "000007.normal.png", "000008.png"]
    assert all(str(out / name) in printed for name in [*names, "grid.png"])
    depth = cv2.imread(str(out / "000007.depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert json.loads((out / "000007.json").read_text())["depth"]["kind"] == "disparity"


def test_samples_depend_on_the_seed_alone(trained, tmp_path):
    for out, seed, count in (("one", 0, 2), ("two", 1, 1)):
        told = ["sample", "--checkpoint", str(trained), "--out", str(tmp_path / out)]
        assert main([*told, "--seed", str(seed), "--count", str(count)]) == 0
    one, two = (cv2.imread(str(tmp_path / out / "000001.png")) for out in ("one", "two"))
    other = cv2.imread(str(tmp_path / "one" / "000000.png"))
    assert np.abs(one.astype(int) - two).max() <= 1  # batches of other sizes sum otherwise
    assert not (one == other).all()


def test_a_pose_is_read_of_a_sample_or_of_its_file(root, tmp_path, key):
    sample = posed(f"{root}:{key}")
    assert sample.poses.shape == (1, 133, 3)
    assert sample.size == (64, 64)
    people = [{"keypoints": person.tolist()} for person in sample.poses]
    path = tmp_path / f"{key}.pose.json"
    path.write_text(json.dumps({"people": people}))
    alone = posed(str(path))
    sure = alone.poses[alone.poses[..., 2] > 0]
    assert alone.size[0] == alone.size[1]
    assert (sure[:, :2] >= 0).all()
    assert (sure[:, :2] <= alone.size[0]).all()
    (tmp_path / f"{key}.json").write_text(json.dumps({"width": 64, "height": 64}))
    assert np.allclose(posed(str(path)).poses, sample.poses)
    assert posed(str(path)).size == sample.size


def test_who_is_framed_stands_in_the_middle():
    poses = np.zeros((1, 133, 3), np.float32)
    poses[0, :2] = [(100, 50, 1), (140, 250, 1)]
    out = framed(poses)
    assert out.size == (240, 240)
    assert out.poses[0, :2, :2].mean(0).tolist() == [120, 120]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("optim.setps=3", "did you mean steps"),
        ("optimum.steps=3", "did you mean optim"),
        ("optim.steps=many", "int is wanted"),
        ("optim.steps=0", "1 or more"),
        ("optim.accumulate=3", "a multiple of accumulate"),
        ("network.branches=depth,rgb", "rgb comes first"),
        ("network.maps=hands", "choose of pose"),
        ("network.heads=3", "multiple of 4"),
        ("network.patch=3", "power of 2"),
        ("data.image_size=20", "a multiple of 8"),
        ("conditions.text=clop", "choose of bytes"),
        ("method.kind=magic", "choose one of flow, diffusion"),
        ("optim.batch_size=512", "make no batch"),
        ("data.split=train", "has no splits"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(root, tmp_path, capsys, assignment, told):
    recipe = recipe_file(tmp_path)
    arguments = ["train", str(recipe), "--data", str(root), "--out", str(tmp_path / "run")]
    assert told in refused(capsys, *arguments, "--set", assignment)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused(root, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = ["train", str(recipe_file(tmp_path)), "--data", str(root), "--out", str(tmp_path)]
    told = refused(capsys, *arguments, "--set", f"run.tracker={name}")
    assert f"install the package {name}" in told


def test_tensorboard_is_told_of_steps_and_samples(root, tmp_path):
    pytest.importorskip("tensorboard")
    settings = changed(optim={"steps": 2}, run={"tracker": "tensorboard", "sample_every": 2})
    train(settings, root, tmp_path)
    (events,) = (tmp_path / "tensorboard").iterdir()
    data = events.read_bytes()
    assert b"samples_per_second" in data
    assert b"PNG" in data


def test_what_is_not_there_is_refused_in_a_line(root, trained, tmp_path, capsys):
    recipe, out = recipe_file(tmp_path), ("--out", str(tmp_path / "out"))
    sample = ("sample", "--checkpoint", str(trained), *out)
    for arguments, told in (
        (("train", "nothing", "--data", str(root), *out), "no recipe nothing"),
        (("train", str(recipe), "--data", str(tmp_path), *out), "holds no shards"),
        (("train", str(recipe), *out), "--data"),
        (("refine", str(recipe), "--data", str(root), *out), "--from"),
        (("sample", "--checkpoint", str(tmp_path), *out), "holds no checkpoint"),
        ((*sample, "--pose", "nobody"), "ROOT:KEY"),
        ((*sample, "--pose", f"{root}:nobody"), "no sample nobody"),
        ((*sample, "--pose", str(recipe)), "is no pose"),
        ((*sample, "--count", "0"), "1 or more"),
        ((*sample, "--size", "20"), "multiples of 8"),
        ((*sample, "--refiner", str(trained)), "first stage"),
    ):
        assert told in refused(capsys, *arguments), arguments


def test_a_recipe_must_define_what_it_is_for(tmp_path, capsys):
    path = tmp_path / "empty.py"
    path.write_text("training = 1\n")
    told = refused(capsys, "train", str(path), "--data", "x", "--out", str(tmp_path))
    assert "must define `training" in told


def test_settings_come_back_from_a_file():
    told = json.loads(json.dumps(SMALL.to_json()))
    assert Training.of_json(told) == SMALL
