"""A network's first weights out of another one's."""

from __future__ import annotations

import torch
from torch import nn

from humanverse.errors import UsageError
from humanverse.train.checkpoint import Checkpoint


@torch.no_grad()
def begin_from(network: nn.Module, other: Checkpoint) -> list[str]:
    """Take over the averaged weights that both have; gives the names of those it has alone.

    What a refiner has beyond its base, the stems of depth and normals, gives nothing at first, so
    it begins as the base's picture branch.

    Raises:
        UsageError: the networks differ in size.
    """
    told, alone = other.tensors("average"), []
    for name, weight in network.named_parameters():
        if name not in told:
            alone.append(name)
        elif told[name].shape != weight.shape:
            raise UsageError(
                f"{name} is {tuple(weight.shape)} here and {tuple(told[name].shape)} in "
                f"{other.folder}: give the recipe the same network.* and conditions.*"
            )
        else:
            weight.copy_(told[name])
    if any(name.startswith(("trunk.", "branches.rgb.")) for name in alone):
        raise UsageError(f"{other.folder} has fewer blocks than the recipe's network")
    return alone
