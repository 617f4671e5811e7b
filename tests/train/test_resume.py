"""A run that was stopped, however, ends with the very weights of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from small import SMALL, changed, recipe_file

from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.train import checkpoint
from humanverse.train.loop import train
from humanverse.train.trainee import Trainee

STOPS = 20
KILLED = """
import os, signal, sys
import torch
from pathlib import Path
from humanverse.train import checkpoint, trainee
from humanverse.train.loop import train
from humanverse.train.recipe import load_training

torch.set_num_threads(1)
recipe, root, out, step, where = sys.argv[1:]
learn, save = trainee.Trainee.step, checkpoint.save_file
now = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def learning(self, number, parts):
    global now
    now = number
    if where == "step" and number == int(step):
        die()
    return learn(self, number, parts)

def saving(tensors, path):
    save(tensors, path)
    if where == "save" and now >= int(step) and path.name.startswith("average"):
        path.write_bytes(path.read_bytes()[:100])
        die()

trainee.Trainee.step, checkpoint.save_file = learning, saving
train(load_training(recipe), root, Path(out))
"""


class Stopped(Exception):
    """Somebody pressed a key."""


def weights(out):
    found = checkpoint.latest(out)
    return found.state["step"], {name: found.tensors(name) for name in Trainee.FILES}


def same(one, other):
    assert one[0] == other[0]
    for name, tensors in one[1].items():
        assert tensors.keys() == other[1][name].keys()
        for key, tensor in tensors.items():
            assert torch.equal(tensor, other[1][name][key]), f"{name}: {key}"


def losses(out):
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def test_stopped_at_random_steps_it_goes_on_as_if_nothing_had_been(
    root, trained, tmp_path, monkeypatch
):
    places = random.Random(5)
    learn, stop = Trainee.step, [0]

    def learning(self, number, parts):
        if number == stop[0]:
            raise Stopped
        return learn(self, number, parts)

    monkeypatch.setattr(Trainee, "step", learning)
    for _ in range(STOPS):
        stop[0] = places.randint(1, SMALL.optim.steps)
        with suppress(Stopped):
            train(changed(run={"save_every": 3}), root, tmp_path)
    stop[0] = 0
    train(changed(run={"save_every": 3}), root, tmp_path)
    same(weights(trained), weights(tmp_path))
    assert losses(tmp_path) == losses(trained)


def test_sigterm_ends_it_after_the_step_at_hand_and_it_goes_on(
    root, trained, tmp_path, monkeypatch, capsys
):
    learn = Trainee.step

    def learning(self, number, parts):
        if number == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, number, parts)

    before = signal.getsignal(signal.SIGTERM)
    told = [
        "train",
        str(recipe_file(tmp_path)),
        "--data",
        str(root),
        "--out",
        str(tmp_path / "run"),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Trainee, "step", learning)
        assert main(told) == 1
    assert "stopped at step 10 of 24" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is before
    assert weights(tmp_path / "run")[0] == 10
    assert main(told) == 0
    same(weights(trained), weights(tmp_path / "run"))


@pytest.mark.parametrize(("step", "where"), [(10, "step"), (12, "save")])
def test_killed_while_it_learns_or_writes_it_goes_on_too(root, trained, tmp_path, step, where):
    recipe = recipe_file(tmp_path)
    out = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(recipe), str(root), str(out), str(step), where]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert checkpoint.latest(out).state["step"] == 6
    train(SMALL, root, out)
    same(weights(trained), weights(out))
    assert not list((out / "checkpoints").glob("attempt-*"))


def test_a_run_goes_on_only_with_the_settings_it_began_with(root, trained, tmp_path):
    for section, fields in (
        ("network", {"trunk": 2}),
        ("optim", {"batch_size": 8}),
        ("data", {"crop": "centre"}),
        ("conditions", {"drop_text": 0.5}),
    ):
        name = next(iter(fields))
        with pytest.raises(UsageError, match=rf"was begun with {section}\.{name}="):
            train(changed(**{section: fields}), root, trained)


def test_a_finished_run_is_left_as_it_is_and_a_longer_one_goes_on(root, trained, tmp_path):
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    before = weights(tmp_path / "run")
    assert train(SMALL, root, tmp_path / "run") == SMALL.optim.steps
    same(before, weights(tmp_path / "run"))
    train(changed(optim={"steps": 26}), root, tmp_path / "run")
    assert weights(tmp_path / "run")[0] == 26


def test_a_step_in_parts_is_the_step_in_one(root, tmp_path):
    """Within rounding: sums are made in another order."""
    for parts in (1, 2):
        settings = changed(optim={"accumulate": parts, "steps": 3})
        train(settings, root, tmp_path / str(parts))
    one, two = (weights(tmp_path / str(parts))[1]["model"] for parts in (1, 2))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=2e-4), name
    assert [loss for _, loss in losses(tmp_path / "1")] == pytest.approx(
        [loss for _, loss in losses(tmp_path / "2")], rel=1e-3
    )
