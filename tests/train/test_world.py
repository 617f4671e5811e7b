"""Several processes learn what one does, whichever way the network is spread over them."""

import json
import os
import subprocess
import sys

import pytest
import torch
from small import SMALL, changed, recipe_file

from humanverse.errors import UsageError
from humanverse.train import checkpoint
from humanverse.train.loop import train

STEPS = 4


def under_torchrun(how, root, folder):
    """A run by two processes. Each kind has a torchrun: a group that is joined twice in one may
    meet the addresses of the first time.
    """
    settings = changed(optim={"steps": STEPS}, run={"parallel": how, "sample_every": STEPS})
    recipe = recipe_file(folder, settings)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "humanverse", "train", str(recipe), "--data", str(root)]
    command += ["--out", str(folder / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return folder / "run"


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one_and_one_goes_on_from_their_checkpoint(
    how, root, trained, tmp_path
):
    """Within rounding: sums are made in another order, and Adam's first steps enlarge it."""
    out = under_torchrun(how, root, tmp_path)
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
