"""Grids of samples while a network learns: the same conditions and noises each time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from humanverse.train.examples import Example
from humanverse.train.given import Given
from humanverse.train.grid import grid
from humanverse.train.latents import Levels
from humanverse.train.painter import Painter, painted
from humanverse.train.parts import Parts
from humanverse.train.settings import Training
from humanverse.train.trainee import Trainee


class Previews:
    """Paints a few samples, and beside them the pose that was asked for."""

    def __init__(
        self, examples: Iterable[Example], parts: Parts, levels: Levels, training: Training
    ) -> None:
        self.parts, self.levels, self.training = parts, levels, training
        self.given: Given | None = None
        if training.run.sample_every and training.run.samples:
            whole = _together([example.given for example in examples])
            self.given = _first(whole, training.run.samples)

    def painted(self, trainee: Trainee) -> NDArray[np.uint8] | None:
        """A grid. All ranks must ask, since a network may be spread over them."""
        if self.given is None:
            return None
        painter = Painter(
            self.training,
            trainee.core,
            self.parts.method,
            self.levels,
            self.parts.autoencoder,
            self.parts.text,
            trainee.world.device,
        )
        side = self.training.data.image_size
        with trainee.average.in_place_of(trainee.core):
            latents = painter.paint(self.given, range(len(self.given)), (side, side))
        maps = self.given.maps.unbind(1)
        shown = [((m.permute(0, 2, 3, 1).cpu() + 1) * 127.5).byte().numpy() for m in maps]
        return grid(painted(painter.pixels(latents)), *shown)


def _together(parts: list[Given]) -> Given:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.beside(part)
    return replace(whole, told=torch.ones_like(whole.told))


def _first(given: Given, count: int) -> Given:
    return Given(*(getattr(given, field.name)[:count] for field in fields(given)))
