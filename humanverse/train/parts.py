"""What settings stand for: the network, its encoders and its method."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from humanverse.errors import UsageError
from humanverse.train.flow import Diffusion, Flow, Method
from humanverse.train.latents import Autoencoder, autoencoder_of
from humanverse.train.model import StructuralDiT
from humanverse.train.settings import Training
from humanverse.train.text import TextEncoder, encoder_of


@dataclass(frozen=True)
class Parts:
    """They are made together, since the network depends on the encoders."""

    network: StructuralDiT
    autoencoder: Autoencoder
    text: TextEncoder
    method: Method


def made(training: Training) -> Parts:
    """The parts that settings ask for; the network's first weights follow from their seed.

    Raises:
        UsageError: an encoder is unknown, or pictures of this size are not cut into tokens evenly.
    """
    given, told = training.conditions, training.method
    autoencoder = autoencoder_of(given.autoencoder)
    torch.manual_seed(training.optim.seed)
    text = encoder_of(given)
    side = autoencoder.stride * training.network.patch
    if training.data.image_size % side:
        raise UsageError(
            f"data.image_size={training.data.image_size}: a multiple of {side} is wanted, the "
            "pixels of a token"
        )
    network = StructuralDiT(
        training.network,
        autoencoder.channels,
        autoencoder.stride,
        text.width if text.network is None else text.network,
    )
    method: Method = Diffusion(told.predicts)
    if told.kind == "flow":
        method = Flow(told.predicts, told.mean, told.std, told.shift)
    return Parts(network, autoencoder, text, method)
