"""Several processes learn what one does, whichever way the network is spread over them."""

import json
import subprocess
import sys

import pytest
import torch
from small import SMALL, changed, recipe_file

from humanverse.errors import UsageError
from humanverse.train import checkpoint
from humanverse.train.loop import train

STEPS = 4


BOTH = """
import sys
from pathlib import Path

import torch
from humanverse.train.loop import train
from humanverse.train.recipe import load_training

torch.set_num_threads(1)
recipe, root, out = sys.argv[1:]
for how in ("ddp", "fsdp"):
    train(load_training(recipe, [f"run.parallel={how}"]), root, Path(out) / how)
"""


@pytest.fixture(scope="module")
def both(root, tmp_path_factory):
    """A run of each kind by two processes."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "both.py").write_text(BOTH)
    settings = changed(optim={"steps": STEPS}, run={"sample_every": STEPS})
    recipe = recipe_file(folder, settings)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(folder / "both.py"), str(recipe), str(root), str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return folder


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one_and_one_goes_on_from_their_checkpoint(
    how, root, trained, both
):
    """Within rounding: sums are made in another order, and Adam's first steps enlarge it."""
    out = both / how
    assert losses(out) == pytest.approx(losses(trained)[:STEPS], rel=5e-3)
    assert losses(out)[0] == pytest.approx(losses(trained)[0], rel=1e-5)
    assert (out / "samples" / f"step-{STEPS:08d}.png").is_file()
    found = checkpoint.latest(out)
    whole = checkpoint.latest(trained).tensors("model")
    assert {n: t.shape for n, t in found.tensors("model").items()} == {
        n: t.shape for n, t in whole.items()
    }
    train(changed(optim={"steps": STEPS + 2}), root, out)
    assert losses(out)[STEPS:] == pytest.approx(losses(trained)[STEPS : STEPS + 2], rel=2e-2)


def test_parts_of_a_step_that_ranks_cannot_share_are_refused(root, tmp_path):
    with pytest.raises(UsageError, match="make no batch"):
        train(changed(optim={"batch_size": 1000}), root, tmp_path)


def test_a_device_that_is_not_there_is_refused(root, tmp_path):
    for device in ["tpu", *([] if torch.cuda.is_available() else ["cuda"])]:
        with pytest.raises(UsageError, match=rf"run.device={device}"):
            train(changed(SMALL, run={"device": device}), root, tmp_path)
