"""The second stage begins as the first one, and paints twice as large what that one gives."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from small import SMALL, awake, changed, given_of, recipe_file

from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.train import checkpoint
from humanverse.train.loop import train
from humanverse.train.parts import made
from humanverse.train.recipe import load_training
from humanverse.train.start import begin_from

REFINER = replace(
    changed(
        data={"image_size": 32},
        network={"branches": ("rgb",), "maps": ("pose", "depth", "normal")},
        conditions={"drop_maps": 0.5},
        optim={"steps": 3},
    ),
    name="refiner",
    stage="refiner",
)


def test_it_begins_with_the_weights_of_the_first_stage(trained):
    network = awake(made(REFINER).network)
    found = checkpoint.latest(trained)
    alone = begin_from(network, found)
    told = found.tensors("average")
    weights = dict(network.named_parameters())
    assert {name.split(".")[1] for name in alone} == {"depth", "normal"}
    assert all(torch.equal(weights[n], told[n]) for n in weights.keys() - set(alone))


def test_what_is_new_to_it_changes_nothing_before_it_has_learned(trained):
    network = made(REFINER).network
    begin_from(network, checkpoint.latest(trained))
    x, time = torch.randn(2, 1, 3, 32, 32), torch.full((2, 1), 0.5)
    given = given_of(2, maps=3)
    out = network(x, time, given)
    assert not (out == 0).all()
    maps = given.maps.clone()
    maps[:, 1:] = torch.randn(2, 2, 3, 16, 16)
    assert torch.equal(network(x, time, replace(given, maps=maps)), out)
    maps[:, 0] = torch.randn(2, 3, 16, 16)
    assert not torch.equal(network(x, time, replace(given, maps=maps)), out)


@pytest.mark.parametrize(
    ("fields", "told"), [({"width": 64}, "is .* here and"), ({"trunk": 2}, "fewer blocks")]
)
def test_networks_that_do_not_match_are_refused(trained, fields, told):
    with pytest.raises(UsageError, match=told):
        begin_from(made(changed(REFINER, network=fields)).network, checkpoint.latest(trained))


def test_refine_and_sample_from_the_command_line(root, trained, tmp_path):
    recipe, run = recipe_file(tmp_path, REFINER), tmp_path / "refiner"
    told = ["refine", str(recipe), "--data", str(root), "--out", str(run), "--from", str(trained)]
    assert main(told) == 0
    told = ["sample", "--checkpoint", str(trained), "--refiner", str(run), "--count", "2"]
    assert main([*told, "--out", str(tmp_path / "out")]) == 0
    small, large = (
        cv2.imread(str(tmp_path / "out" / name)) for name in ("000001.png", "000001.refined.png")
    )
    assert small.shape == (16, 16, 3)
    assert large.shape == (32, 32, 3)
    grid = cv2.imread(str(tmp_path / "out" / "grid.png"))
    assert grid.shape == (2 * 16, 4 * 16, 3)
    assert (
        np.abs(grid[16:, 48:].astype(float) - large.reshape(16, 2, 16, 2, 3).mean((1, 3))).max() < 1
    )


def test_it_goes_on_where_it_was_ended_and_not_from_the_first_stage_again(root, trained, tmp_path):
    for out, legs in (("one", (3,)), ("two", (1, 3))):
        for steps in legs:
            settings = changed(REFINER, optim={"steps": steps})
            train(settings, root, tmp_path / out, start=trained)
    one, two = (checkpoint.latest(tmp_path / out).tensors("model") for out in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_each_verb_wants_its_own_recipe(tmp_path):
    with pytest.raises(UsageError, match="for `humanverse refine`"):
        load_training(recipe_file(tmp_path, REFINER))
    with pytest.raises(UsageError, match="for `humanverse train`"):
        load_training(recipe_file(tmp_path, SMALL), stage="refiner")
    odd = changed(REFINER, network={"branches": ("rgb", "depth")})
    with pytest.raises(UsageError, match="rgb alone"):
        load_training(recipe_file(tmp_path, odd), stage="refiner")


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("demo", "base"),
        ("base_512", "base"),
        ("demo_refiner", "refiner"),
        ("refiner_1024", "refiner"),
    ],
)
def test_shipped_recipes_fit_their_stage(name, stage):
    training = load_training(name, stage=stage)
    assert training.stage == stage


@pytest.mark.parametrize(
    ("base", "refiner"), [("demo", "demo_refiner"), ("base_512", "refiner_1024")]
)
def test_shipped_refiners_fit_their_base(base, refiner):
    first, second = load_training(base), load_training(refiner, stage="refiner")
    assert second.data.image_size == 2 * first.data.image_size
    same = {"branches": first.network.branches, "maps": first.network.maps}
    assert replace(second.network, **same) == first.network
    assert second.conditions.text_width == first.conditions.text_width
