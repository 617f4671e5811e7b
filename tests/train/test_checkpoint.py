"""Checkpoints are there entirely or not at all, and are known where they were damaged."""

import json

import pytest
import torch

from humanverse.errors import DataError, UsageError
from humanverse.train import checkpoint

TENSORS = {"model": {"weight": torch.arange(6.0).reshape(2, 3)}}


def test_what_was_saved_comes_back(tmp_path):
    checkpoint.save(tmp_path, 5, TENSORS, {"levels": {"mean": [1]}})
    found = checkpoint.latest(tmp_path)
    assert found.state["step"] == 5
    assert found.state["levels"] == {"mean": [1]}
    assert torch.equal(found.tensors("model")["weight"], TENSORS["model"]["weight"])
    assert checkpoint.opened(found.folder).folder == checkpoint.opened(tmp_path).folder


def test_an_attempt_that_broke_off_is_no_checkpoint_and_is_swept(tmp_path):
    checkpoint.save(tmp_path, 5, TENSORS, {})
    attempt = tmp_path / "checkpoints" / "attempt-1"
    attempt.mkdir()
    (attempt / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path).state["step"] == 5
    checkpoint.prune(tmp_path, 1)
    assert not attempt.exists()


def test_the_latest_checkpoints_are_kept_by_step_and_not_by_age(tmp_path):
    for step in (9, 100, 10):
        checkpoint.save(tmp_path, step, TENSORS, {})
    checkpoint.prune(tmp_path, 2)
    assert [f.name for f in checkpoint.steps(tmp_path)] == ["step-00000010", "step-00000100"]


def test_a_step_that_is_reached_again_replaces_its_checkpoint(tmp_path):
    checkpoint.save(tmp_path, 5, TENSORS, {"levels": 1})
    checkpoint.save(tmp_path, 5, TENSORS, {"levels": 2})
    assert checkpoint.latest(tmp_path).state["levels"] == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "has .* of .* bytes"),
        (flip, "not what was written"),
        (lambda p: p.unlink(), "no model"),
    ],
)
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path, damage, told):
    folder = checkpoint.save(tmp_path, 5, TENSORS, {})
    damage(folder / "model.safetensors")
    with pytest.raises(DataError, match=f"{told}.*remove that folder"):
        checkpoint.latest(tmp_path).tensors("model")


@pytest.mark.parametrize("text", ["", '{"schema"', "[]", '{"schema": "another"}', '{"files": 1}'])
def test_a_damaged_description_is_refused(tmp_path, text):
    folder = checkpoint.save(tmp_path, 5, TENSORS, {})
    (folder / "state.json").write_text(text)
    with pytest.raises(DataError):
        checkpoint.latest(tmp_path)


def test_where_there_is_none_that_is_said(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    with pytest.raises(UsageError, match="holds no checkpoint"):
        checkpoint.opened(tmp_path)


def test_nothing_in_it_is_code(tmp_path):
    folder = checkpoint.save(tmp_path, 5, TENSORS, {})
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    json.loads((folder / "state.json").read_text())
