"""What a step of training draws at random: a function of seed, step and the samples' keys.

So it matters neither which rank draws for a sample nor whether the run was stopped before: there is
no generator whose state would have to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from humanverse.train.settings import Training


@dataclass(frozen=True)
class Draws:
    """For B samples of M branches and K maps."""

    noise: Tensor
    """(B, M, C, h, w), normal."""
    uniform: Tensor
    """(B, M) in [0, 1), from which times are made: the same for all branches, or not."""
    told: Tensor
    """(B, 2 + K) bool: whether caption, size and each map are told."""


def draw(keys: Sequence[str], step: int, latents: Tensor, training: Training) -> Draws:
    """The draws of a step for samples whose latents are (B, M, C, h, w), on their device."""
    given = training.conditions
    drops = [given.drop_text, given.drop_size] + [given.drop_maps] * len(training.network.maps)
    generator = torch.Generator(latents.device)
    noises, numbers = [], []
    branches, place = latents.shape[1], latents.device
    for key in keys:
        generator.manual_seed(number_of(training.optim.seed, step, key))
        noises.append(torch.randn(latents.shape[1:], generator=generator, device=place))
        numbers.append(torch.rand(branches + 1 + len(drops), generator=generator, device=place))
    uniform, alone, kept = torch.tensor_split(torch.stack(numbers), (branches, branches + 1), dim=1)
    uniform = torch.where(alone < training.method.independent, uniform, uniform[:, :1])
    told = kept >= torch.tensor(drops, device=kept.device)
    return Draws(torch.stack(noises), uniform, told)


def number_of(*words: object) -> int:
    """63 bits that words decide."""
    text = "\0".join(map(str, words)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1
