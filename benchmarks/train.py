"""What a training step costs beside a plain DiT's and diffusers' DiT's of the same size.

    python benchmarks/train.py --json FILE
    python benchmarks/train.py --width 768 --heads 12 --batch 256 --device cuda --compile

Latents of 32 x 32 x 4 (pictures of 256 pixels), patches of 2, twelve blocks. `joint` is our
network with three branches, `picture alone` the same with one, `plain DiT` one branch without
experts, whose blocks are the trunk. diffusers' `DiTTransformer2DModel` is told classes, ours
captions, sizes and poses. A step is loss, gradients, clipping and AdamW (fused), on one batch that
stays in memory; the ways take turns, five rounds, the median is told. FLOP are torch's own count;
the peak is that of a large product of matrices in the same type, measured in the same run, or told
by `--tflops`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from common import figure, write
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from humanverse.train import flow
from humanverse.train.flow import Flow
from humanverse.train.given import Given
from humanverse.train.model import StructuralDiT
from humanverse.train.settings import Conditions, Network
from humanverse.train.text import encoder_of

SIDE, CHANNELS, PATCH, BLOCKS, EXPERTS, WORDS = 32, 4, 2, 12, 2, 32
ROUNDS, GOAL_OF_PEAK = 5, 0.4
THEIRS = "diffusers' DiT"

Loss = Callable[[], Tensor]


@dataclass
class Way:
    """A network and its step."""

    network: torch.nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer

    def step(self) -> None:
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def way(network: torch.nn.Module, loss: Loss, options: argparse.Namespace) -> Way:
    if options.compile:
        network.compile()

    def cast() -> Tensor:
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            return loss()

    return Way(network, cast, torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True))


def ours(options: argparse.Namespace, branches: tuple[str, ...], experts: int) -> Way:
    """A step of the trainer's own network and loss."""
    sizes = {"width": options.width, "heads": options.heads, "patch": PATCH}
    trunk = BLOCKS - 2 * experts
    made = Network(branches=branches, experts=experts, trunk=trunk, **sizes)
    text = encoder_of(Conditions(text_length=4 * WORDS)).network
    network = StructuralDiT(made, CHANNELS, 8, text).to(options.device)
    batch, device = options.batch, options.device
    data = torch.randn(2, batch, len(branches), CHANNELS, SIDE, SIDE, device=device)
    times = torch.rand(batch, 1, device=device).expand(-1, len(branches))
    given = Given(
        torch.randint(0, 256, (batch, 4 * WORDS), device=device),
        torch.ones(batch, WORDS, dtype=torch.bool, device=device),
        torch.rand(batch, 1, 3, 8 * SIDE, 8 * SIDE, device=device),
        torch.rand(batch, 6, device=device),
        torch.ones(batch, 3, dtype=torch.bool, device=device),
    )
    return way(
        network,
        lambda: flow.loss(network, Flow(), data[0], data[1], times, given).sum(1).mean(),
        options,
    )


def theirs(options: argparse.Namespace) -> Way:
    """The same with diffusers' transformer."""
    from diffusers import DiTTransformer2DModel

    network = DiTTransformer2DModel(
        num_attention_heads=options.heads,
        attention_head_dim=options.width // options.heads,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=BLOCKS,
        sample_size=SIDE,
        patch_size=PATCH,
    ).to(options.device)
    batch, device = options.batch, options.device
    clean, noise = torch.randn(2, batch, CHANNELS, SIDE, SIDE, device=device)
    time = torch.rand(batch, 1, 1, 1, device=device)
    noisy, labels = clean + time * (noise - clean), torch.randint(0, 1000, (batch,), device=device)
    steps = (time.flatten() * 999).long()

    def loss() -> Tensor:
        found = network(noisy, timestep=steps, class_labels=labels).sample
        return (found - (noise - clean)).square().mean()

    return way(network, loss, options)


def seconds(act: Callable[[], object], options: argparse.Namespace) -> float:
    if options.device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    act()
    if options.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def peak(options: argparse.Namespace) -> float:
    """FLOP a second of a product of matrices."""
    kind, side = (torch.bfloat16, 8192) if options.device == "cuda" else (torch.float32, 1536)
    left, right = torch.randn(2, side, side, device=options.device, dtype=kind)
    return 2 * side**3 / min(seconds(lambda: left @ right, options) for _ in range(5))


def counted(step: Callable[[], None]) -> float:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def main() -> None:
    """Print the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 384), ("heads", 6), ("batch", 8), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tflops", type=float, help="of the device; measured if not told")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    branches = ("rgb", "depth", "normal")
    plain = replace(Network(), branches=branches).branches[:1]
    ways = {
        "joint": ours(options, branches, EXPERTS),
        "picture alone": ours(options, plain, EXPERTS),
        "plain DiT": ours(options, plain, 0),
        THEIRS: theirs(options),
    }
    for each in ways.values():  # compiled, and the optimizer's state made, before anything counts
        each.step()
        each.step()
    flop = {name: counted(each.step) for name, each in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    peaks = []
    for _ in range(options.rounds):
        peaks.append(options.tflops * 1e12 if options.tflops else peak(options))
        for name, each in ways.items():
            taken[name].append(seconds(each.step, options))
    write(told(options, flop, taken, peaks), options.json)


def told(
    options: argparse.Namespace,
    flop: dict[str, float],
    taken: dict[str, list[float]],
    peaks: list[float],
) -> list[dict]:
    """The rows of all ways."""
    of = median(peaks)
    print(f"peak {of / 1e12:.3f} TFLOP/s on {options.device}, batches of {options.batch}")
    rows = []
    for name, mine in taken.items():
        shares = (flop[name] / (s * p) for s, p in zip(mine, peaks, strict=True))
        share, each = median(shares), flop[name] / options.batch / 1e9
        beside = median(t / o for t, o in zip(taken[THEIRS], mine, strict=True))
        print(
            f"{name:15} {options.batch / median(mine):8.2f} pictures/s  {each:8.1f} GFLOP each  "
            f"{share:6.1%} of the peak  {beside:5.2f} x {THEIRS}"
        )
        goal = GOAL_OF_PEAK if options.device == "cuda" and name != THEIRS else None
        rows.append(figure(f"{name}: of the peak", share, "share", goal))
        if name != THEIRS:
            peer = f"{options.batch / median(taken[THEIRS]):.2f}/s"
            rows.append(figure(f"{name}: pictures/s over {THEIRS}", beside, "x", peer=peer))
    return rows


if __name__ == "__main__":
    main()
