"""A network that learns: one step, and all that its next step depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from humanverse.train import flow
from humanverse.train.average import Average
from humanverse.train.draws import draw, number_of
from humanverse.train.examples import Example
from humanverse.train.latents import Levels
from humanverse.train.parts import Parts
from humanverse.train.settings import Optim, Training
from humanverse.train.world import World, core, like, spread, summing, whole


@dataclass(frozen=True)
class Learned:
    """What a step was like on this rank."""

    losses: Tensor
    """(M,), the mean of each branch."""
    gradient: Tensor
    """The gradient's length before it was cut."""


class Trainee:
    """The network, its average, and its optimizer."""

    FILES: ClassVar = ("model", "average", "optimizer")
    """What a checkpoint of it holds."""

    def __init__(self, training: Training, parts: Parts, levels: Levels, world: World) -> None:
        self.training, self.world, self.levels = training, world, levels
        self.method = parts.method
        self.network = spread(parts.network, world, training.run.parallel)
        if training.run.compile:
            self.network.compile()
        self.core = core(self.network)
        self.average = Average(self.core, training.optim.ema)
        self.optimizer = torch.optim.AdamW(
            self.core.parameters(),
            lr=training.optim.rate,
            betas=(training.optim.betas[0], training.optim.betas[1]),
            weight_decay=training.optim.decay,
            fused=True,
        )

    def step(self, number: int, parts: Sequence[Example]) -> Learned:
        """Learn from the parts of step `number`, counted from 1."""
        optim = self.training.optim
        # Nothing here draws from it; what a user's encoder draws is repeated after a resume too.
        torch.manual_seed(number_of(optim.seed, number, self.world.rank))
        for group in self.optimizer.param_groups:
            group["lr"] = rate(number, optim)
        losses = torch.zeros(len(self.training.network.branches), device=self.world.device)
        for index, part in enumerate(parts):
            with summing(self.network, last=index == len(parts) - 1):
                error = self.loss(number, part)  # (B, M)
                torch.autograd.backward(error.sum(1).mean() / len(parts))
            losses += error.detach().mean(0) / len(parts)
        gradient = torch.nn.utils.clip_grad_norm_(self.core.parameters(), optim.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.core, number)
        return Learned(losses, gradient)

    def loss(self, number: int, part: Example) -> Tensor:
        """The loss of each sample and branch, (B, M), with what step `number` draws for them."""
        drawn = draw(part.keys, number, part.latents, self.training)
        given = replace(part.given, told=drawn.told)
        clean, time = self.levels.scaled(part.latents), self.method.times(drawn.uniform)
        with self.autocast():
            return flow.loss(self.network, self.method, clean, drawn.noise, time, given)

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 where the settings ask for it: weights and sums stay fp32."""
        return autocast(self.training, self.world.device)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Everything that is learned, by file and name, whole. All ranks must ask."""
        weights = dict(self.core.named_parameters())
        state = {
            f"{name}/{key}": value
            for name, weight in weights.items()
            for key, value in self.optimizer.state[weight].items()
        }
        parts: tuple[Mapping[str, Tensor], ...] = (weights, self.average.weights, state)
        files = zip(self.FILES, parts, strict=True)
        return {f: {name: whole(t) for name, t in ts.items()} for f, ts in files}

    @torch.no_grad()
    def load(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `tensors` gave, in whichever world."""
        state = files["optimizer"]
        for name, weight in self.core.named_parameters():
            weight.copy_(like(files["model"][name], weight))
            self.average.weights[name].copy_(like(files["average"][name], weight))
            self.optimizer.state[weight] = {
                "step": state[f"{name}/step"].to(weight.device),
                "exp_avg": like(state[f"{name}/exp_avg"], weight),
                "exp_avg_sq": like(state[f"{name}/exp_avg_sq"], weight),
            }


def rate(number: int, optim: Optim) -> float:
    """The learning rate of step `number`, counted from 1."""
    up = number / max(optim.warmup, 1)
    down = (optim.steps - number + 1) / max(optim.cooldown, 1)
    return optim.rate * min(1.0, up, down)


def autocast(training: Training, device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the settings ask for it, or by themselves on a GPU."""
    asked = training.run.precision
    if asked == "bf16" or (asked == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
