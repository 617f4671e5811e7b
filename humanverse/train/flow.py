"""The method: how data become noise, what the network learns of it, and the way back.

`Flow` is rectified flow with logit-normal times (arXiv 2209.03003, 2403.03206); `Diffusion` is
v-prediction on a schedule that ends in noise alone (arXiv 2202.00512, 2305.08891), as HyperHuman
has it. Times run from 0, data, to 1, noise. Shapes: data are (B, M, C, H, W), M branches of a
picture; times (B, M).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from humanverse.train.given import Given

Model = Callable[[Tensor, Tensor, Given], Tensor]
"""A network: noisy data, their times and the conditions in; something of the data's shape out."""
Predicts = Literal["velocity", "picture"]

LEAST = 0.05
"""Where a picture is predicted, the time below which its velocity is told as if at this one."""


class Method(Protocol):
    """A path from data to noise, and a step on the way back."""

    @property
    def predicts(self) -> Predicts:
        """What the network's numbers mean."""
        ...

    def times(self, uniform: Tensor) -> Tensor:
        """Times of training out of uniform random numbers in (0, 1)."""
        ...

    def schedule(self, steps: int) -> Tensor:
        """Times of sampling, (steps + 1,), from 1 to 0."""
        ...

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Data at a time."""
        ...

    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """The velocity there."""
        ...

    def velocity(self, noisy: Tensor, clean: Tensor, time: Tensor) -> Tensor:
        """The velocity at noisy data whose clean ones are predicted."""
        ...

    def step(self, noisy: Tensor, velocity: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """Data at an earlier time."""
        ...


@dataclass(frozen=True)
class Flow:
    """x(t) = (1 - t) x + t e; the velocity is e - x."""

    predicts: Predicts = "velocity"
    mean: float = 0.0
    std: float = 1.0
    """Of the times' logit. More mass at the noisy end, mean > 0, for larger pictures."""
    shift: float = 1.0
    """Times of sampling are moved towards noise by this factor of their odds: 3 for 1024."""

    def times(self, uniform: Tensor) -> Tensor:  # noqa: D102
        normal = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
        return torch.sigmoid(self.mean + self.std * normal)

    def schedule(self, steps: int) -> Tensor:  # noqa: D102
        even = torch.linspace(1, 0, steps + 1)
        return even / (even + (1 - even) / self.shift)

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # noqa: D102
        return torch.lerp(clean, noise, wide(time))

    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # noqa: ARG002, D102
        return noise - clean

    def velocity(self, noisy: Tensor, clean: Tensor, time: Tensor) -> Tensor:  # noqa: D102
        return (noisy - clean) / wide(time).clamp(min=LEAST)

    def step(self, noisy: Tensor, velocity: Tensor, now: Tensor, then: Tensor) -> Tensor:  # noqa: D102
        return noisy + wide(then - now) * velocity


@dataclass(frozen=True)
class Diffusion:
    """x(t) = a x + s e with a² + s² = 1; the velocity is a e - s x. A step is DDIM's."""

    predicts: Predicts = "velocity"
    levels: int = 1000
    first: float = 0.00085
    last: float = 0.012
    """Variances of the first and last level, linear in their roots (arXiv 2112.10752)."""

    def kept(self) -> Tensor:
        """How much signal each level keeps, a, (levels + 1,): 1 at the first, 0 at the last."""
        roots = torch.linspace(self.first**0.5, self.last**0.5, self.levels, dtype=torch.float64)
        kept = torch.cumprod(1 - roots**2, 0).sqrt()
        kept = (kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])
        return torch.cat([torch.ones(1, dtype=torch.float64), kept]).float()

    def times(self, uniform: Tensor) -> Tensor:  # noqa: D102
        return (uniform * self.levels).floor().add(1).clamp(max=self.levels) / self.levels

    def schedule(self, steps: int) -> Tensor:  # noqa: D102
        return (torch.linspace(1, 0, steps + 1) * self.levels).round() / self.levels

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # noqa: D102
        signal, spread = self._parts(time)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # noqa: D102
        signal, spread = self._parts(time)
        return signal * noise - spread * clean

    def velocity(self, noisy: Tensor, clean: Tensor, time: Tensor) -> Tensor:  # noqa: D102
        signal, spread = self._parts(time)
        return (signal * noisy - clean) / spread.clamp(min=LEAST)

    def step(self, noisy: Tensor, velocity: Tensor, now: Tensor, then: Tensor) -> Tensor:  # noqa: D102
        signal, spread = self._parts(now)
        clean, noise = signal * noisy - spread * velocity, spread * noisy + signal * velocity
        return self.noisy(clean, noise, then)

    def _parts(self, time: Tensor) -> tuple[Tensor, Tensor]:
        level = (time * self.levels).round().long()
        signal = self.kept().to(time.device)[level]
        return wide(signal), wide((1 - signal.square()).sqrt())


def predicted(model: Model, method: Method, noisy: Tensor, time: Tensor, given: Given) -> Tensor:
    """The velocity that a network tells at noisy data (B, M, C, H, W)."""
    out = model(noisy, time, given)
    return out if method.predicts == "velocity" else method.velocity(noisy, out, time)


def loss(
    model: Model, method: Method, clean: Tensor, noise: Tensor, time: Tensor, given: Given
) -> Tensor:
    """The mean squared error of the velocity, (B, M): one number a sample and branch."""
    noisy = method.noisy(clean, noise, time)
    error = predicted(model, method, noisy, time, given) - method.target(clean, noise, time)
    return error.float().square().flatten(2).mean(2)


def guided(model: Model, scale: float) -> Model:
    """A model that goes `scale` times as far from what it says of no conditions as with them.

    Classifier-free guidance (arXiv 2207.12598); 1 is the model itself.
    """
    if scale == 1:
        return model

    def guide(noisy: Tensor, time: Tensor, given: Given) -> Tensor:
        both = model(noisy.repeat(2, 1, 1, 1, 1), time.repeat(2, 1), given.beside(given.none()))
        told, untold = both.chunk(2)
        return torch.lerp(untold, told, scale)

    return guide


@torch.no_grad()
def sample(
    model: Model, method: Method, noise: Tensor, given: Given, steps: int, heun: bool = False
) -> Tensor:
    """Data (B, M, C, H, W) out of noise of that shape, in so many steps.

    `heun` takes the mean of the velocities at both ends of each step but the last, at twice the
    cost; it is for `Flow`. Without it the step is Euler's, or DDIM's for `Diffusion`.
    """
    x, schedule = noise, method.schedule(steps).to(noise.device)
    for number in range(steps):
        now, then = (schedule[number + end].expand(x.shape[:2]) for end in (0, 1))
        velocity = predicted(model, method, x, now, given)
        further = method.step(x, velocity, now, then)
        if heun and number < steps - 1:
            velocity = (velocity + predicted(model, method, further, then, given)) / 2
            further = method.step(x, velocity, now, then)
        x = further
    return x


def wide(time: Tensor) -> Tensor:
    """Times (B, M) as (B, M, 1, 1, 1)."""
    return time[..., None, None, None]
