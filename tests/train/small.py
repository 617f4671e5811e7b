"""Settings of the smallest network, and how they are told to another process."""

from dataclasses import replace

import torch

from humanverse.train.given import Given
from humanverse.train.settings import Conditions, Data, Network, Optim, Run, Training

SMALL = Training(
    name="small",
    data=Data(image_size=16, workers=1),
    network=Network(width=32, heads=2, experts=1, trunk=1, patch=8, across=4.0),
    conditions=Conditions(text_length=16, text_width=16),
    optim=Optim(steps=24, batch_size=4, rate=3e-3, warmup=4, ema=0.9),
    run=Run(log_every=1, save_every=6, sample_every=0, samples=2, sample_steps=2),
)


def changed(training=SMALL, **sections):
    """The settings with fields of some sections changed: `optim={"steps": 3}`."""
    for name, fields in sections.items():
        training = training.with_section(name, replace(training.sections()[name], **fields))
    return training


def recipe_file(folder, training=SMALL):
    """The settings as a recipe."""
    path = folder / f"{training.name}.py"
    names = "Conditions, Data, Method, Network, Optim, Run, Training"
    path.write_text(f"from humanverse.train.settings import {names}\n\ntraining = {training!r}\n")
    return path


def awake(network, seed=0):
    """The network as if it had learned something: no layer gives nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return network


def given_of(count, maps=1, words=4, seed=0):
    """Conditions at random, all told."""
    generator = torch.Generator().manual_seed(seed)
    return Given(
        torch.randint(0, 256, (count, 4 * words), generator=generator),
        torch.ones(count, words, dtype=torch.bool),
        torch.rand((count, maps, 3, 16, 16), generator=generator) * 2 - 1,
        torch.randint(0, 999, (count, 6), generator=generator).float(),
        torch.ones(count, 2 + maps, dtype=torch.bool),
    )
