"""The sizes of the shipped training recipes, as a table: `python scripts/train_presets.py`.

Parameters are counted, and FLOP by torch's own counter over one training step of one sample
(forward and backward, two a multiplication), on tensors without storage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from humanverse.train.given import Given
from humanverse.train.parts import Parts, made
from humanverse.train.recipe import load_training
from humanverse.train.settings import Network, Training

RECIPES = Path(__file__).parent.parent / "pipelines" / "train"
LATENT = Training(
    "base-512, latents of 1/8",
    data=load_training("base_512", (), "base").data,
    network=replace(load_training("base_512", (), "base").network, patch=2),
)
DIT_B2 = Training("B/2 at 256, latents of 1/8", network=Network(experts=2, trunk=8))


@dataclass(frozen=True)
class Size:
    """One row."""

    name: str
    shape: str
    tokens: int
    parameters: int
    experts: int
    flop: float


def sized(training: Training, channels: int | None = None, side: int | None = None) -> Size:
    """The size of a recipe; of latents of so many channels and such a side, if told."""
    with torch.device("meta"):
        parts = made(training) if channels is None else latent(training, channels)
        net = training.network
        stride = 1 if channels is None else 8
        side = side or training.data.image_size
        branches, of = len(net.branches), channels or parts.autoencoder.channels
        noisy = torch.zeros(1, branches, of, side, side)
        words = training.conditions.text_length
        shown = torch.zeros(1, len(net.maps), 3, side * stride, side * stride)
        told = torch.ones(1, 2 + len(net.maps), dtype=torch.bool)
        text = torch.zeros(1, words, dtype=torch.long)
        said = torch.ones(1, words // 4, dtype=torch.bool)
        given = Given(text, said, shown, torch.zeros(1, 6), told)
        with FlopCounterMode(display=False) as counter:
            parts.network(noisy, torch.zeros(1, branches), given).sum().backward()
    count = sum(weight.numel() for weight in parts.network.parameters())
    own = sum(weight.numel() for weight in parts.network.branches.parameters())
    shape = f"{net.width} wide, {net.experts} + {net.trunk} + {net.experts} blocks, {branches}"
    tokens = (side // net.patch) ** 2
    return Size(training.name, shape, tokens, count, own, counter.get_total_flops())


def latent(training: Training, channels: int) -> Parts:
    """Its parts with a network for latents: no autoencoder has to be at hand for that."""
    from humanverse.train.model import StructuralDiT

    parts = made(replace(training, network=replace(training.network, patch=8)))
    assert parts.text.network is not None
    network = StructuralDiT(training.network, channels, 8, parts.text.network)
    return replace(parts, network=network)


def main() -> None:
    """Print the table."""
    sizes = []
    for path in sorted(RECIPES.glob("*.py")):
        stage = "refiner" if "refiner" in path.stem else "base"
        sizes.append(sized(load_training(path.stem, (), stage)))
    sizes += [sized(LATENT, 4, 64), sized(DIT_B2, 4, 32)]
    plain = replace(DIT_B2, name="the same, picture alone")
    net = replace(plain.network, branches=("rgb",))
    sizes.append(sized(replace(plain, network=net), 4, 32))
    print("| recipe | network, branches | tokens | parameters | of them the branches' own "
          "| GFLOP a sample and step |")  # fmt: skip
    print("|---|---|---:|---:|---:|---:|")
    for size in sizes:
        print(
            f"| {size.name} | {size.shape} | {size.tokens} | {size.parameters / 1e6:.2f} M "
            f"| {size.experts / 1e6:.2f} M | {size.flop / 1e9:,.1f} |"
        )


if __name__ == "__main__":
    main()
