"""After a few steps the network knows its data, and listens to what it is told."""

from dataclasses import replace
from math import isclose

import pytest
import torch
from small import changed, given_of

import humanverse
from humanverse.train import checkpoint, flow
from humanverse.train.average import Average
from humanverse.train.draws import draw
from humanverse.train.examples import Examples
from humanverse.train.loop import Reader, train
from humanverse.train.painter import restored
from humanverse.train.parts import made
from humanverse.train.trainee import rate
from humanverse.train.world import World

CPU = torch.device("cpu")
SETTINGS = changed(
    data={"crop": "centre"},
    method={"predicts": "picture"},
    optim={"steps": 200, "batch_size": 12, "rate": 6e-3, "warmup": 10, "cooldown": 50},
    run={"save_every": 200, "log_every": 50},
)


@pytest.fixture(scope="module")
def learned(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("learned")
    train(SETTINGS, root, out)
    return out


@pytest.fixture(scope="module")
def examples(root):
    """All of them in one batch, with noises that are always the same."""
    parts = made(SETTINGS)
    making = Examples(SETTINGS, parts.autoencoder, parts.text, CPU)
    with humanverse.open(root, making.columns()) as dataset:
        settings = changed(SETTINGS, optim={"batch_size": 24})
        loader = Reader(dataset, making, settings).loader(World(0, 1, CPU))
        return making(next(iter(loader)))


def loss_of(painter, example, given):
    drawn = draw(example.keys, 0, example.latents, painter.training)
    clean, time = painter.levels.scaled(example.latents), painter.method.times(drawn.uniform)
    with torch.no_grad():
        losses = flow.loss(painter.network, painter.method, clean, drawn.noise, time, given)
    return losses.sum(1).mean().item()


def test_the_loss_falls_to_less_than_half(learned, examples):
    painter = restored(learned, CPU)
    before = replace(painter, network=made(SETTINGS).network)
    end, start = (loss_of(p, examples, examples.given) for p in (painter, before))
    assert end < start / 2


def test_it_listens_to_the_pose_it_is_told(learned, examples):
    painter, given = restored(learned, CPU), examples.given
    right = loss_of(painter, examples, given)
    wrong = loss_of(painter, examples, replace(given, maps=given.maps.roll(1, 0)))
    silent = loss_of(painter, examples, given.none())
    assert right < 0.97 * wrong
    assert right < 0.97 * silent


def test_the_average_is_that_of_the_weights_and_changes_places_with_them():
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = Average(network, 0.5)
    for step, value in enumerate((4.0, 8.0), start=100):
        network.weight.data.fill_(value)
        average.update(network, step)
    assert average.weights["weight"].item() == 5.0
    with average.in_place_of(network):
        assert network.weight.item() == 5.0
    assert network.weight.item() == 8.0


def test_the_average_forgets_the_first_weights_soon():
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(100.0)
    average = Average(network, 0.9999)
    network.weight.data.fill_(1.0)
    for step in range(1, 101):
        average.update(network, step)
    assert abs(average.weights["weight"].item() - 1) < 1e-3


def test_the_rate_grows_stays_and_falls():
    optim = changed(optim={"rate": 1.0, "warmup": 10, "steps": 100, "cooldown": 20}).optim
    rates = [rate(step, optim) for step in (1, 10, 50, 80, 91, 100)]
    assert all(map(isclose, rates, (0.1, 1, 1, 1, 0.5, 0.05)))


def test_pictures_that_were_painted_have_the_levels_of_the_data(learned, examples):
    painter = restored(learned, CPU)
    given = replace(examples.given, told=torch.ones_like(examples.given.told))
    latents = painter.paint(given, range(24), (16, 16))
    apart = (latents.mean((0, 3, 4)) - examples.latents.mean((0, 3, 4))).abs()
    assert apart.max() < 0.25


def test_checkpoints_tell_how_they_came_about(learned):
    state = checkpoint.latest(learned).state
    assert state["loader"]["epoch"] * 2 + state["loader"]["batch"] == 200
    assert state["training"]["optim"]["steps"] == 200
    assert "torch" in state["versions"]


def test_painting_goes_by_guidance_and_conditions(learned):
    painter = restored(learned, CPU)
    given = given_of(2)
    run = painter.training.run
    plain, strong = (
        replace(painter, training=painter.training.with_section("run", replace(run, guidance=g)))
        for g in (1.0, 3.0)
    )
    one, other = (p.paint(given, (0, 1), (16, 16)) for p in (plain, strong))
    assert not torch.allclose(one, other, atol=1e-3)
    assert torch.allclose(
        plain.paint(given.none(), (0, 1), (16, 16)),
        strong.paint(given.none(), (0, 1), (16, 16)),
        atol=1e-5,
    )
