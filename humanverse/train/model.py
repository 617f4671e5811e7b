"""The network: a branch for each of picture, depth and normals, and one trunk for them all.

Each branch has its own patches, its own first and last blocks (its experts) and its own head. The
mean of their tokens, place by place, goes through the shared trunk, where the caption's tokens
stand beside them; the trunk's answer is joined to what each branch knew before (HyperHuman, arXiv
2310.08579, section 3.2, as a transformer). A trunk over the mean costs the same for three branches
as for one.

Captions stand in context rather than in a cross-attention: one attention serves both, no layer is
added, and a caption's tokens are worked on by the trunk too. Experts know the caption by its mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humanverse.train.blocks import Block, Head, angles, places
from humanverse.train.embed import TIME_SCALE, Captions, Numbers, Stem
from humanverse.train.given import Given
from humanverse.train.settings import Network
from humanverse.train.text import TrainedText


class Branch(nn.Module):
    """What belongs to one of picture, depth and normals alone."""

    def __init__(self, made: Network, channels: int) -> None:
        super().__init__()
        numbers = channels * made.patch**2
        self.patch = made.patch
        self.tokens = nn.Linear(numbers, made.width)
        self.first = nn.ModuleList(Block(made.width, made.heads) for _ in range(made.experts))
        self.joints = nn.ModuleList(_joint(made.width) for _ in range(made.experts))
        self.last = nn.ModuleList(Block(made.width, made.heads) for _ in range(made.experts))
        self.head = Head(made.width, numbers)

    def enter(self, x: Tensor, maps: Tensor, condition: Tensor, turns: Tensor) -> list[Tensor]:
        """Data (B, C, H, W) as tokens (B, N, D), after each of the first blocks."""
        states = [self.tokens(patches(x, self.patch)) + maps]
        for block in self.first:
            states.append(block(states[-1], condition, turns))
        return states[1:] or states

    def leave(self, x: Tensor, states: list[Tensor], condition: Tensor, turns: Tensor) -> Tensor:
        """The trunk's tokens (B, N, D), joined to the branch's own, as numbers (B, N, C p p)."""
        for joint, block, state in zip(self.joints, self.last, reversed(states), strict=False):
            x = block(joint(torch.cat([x, state], dim=2)), condition, turns)
        out: Tensor = self.head(x, condition)
        return out


class StructuralDiT(nn.Module):
    """Noisy data, times and conditions in, velocities (or pictures) out, for all branches."""

    def __init__(self, made: Network, channels: int, stride: int, text: TrainedText | int) -> None:
        """`channels` of each branch's latents, pixels that a latent is wide, and the text encoder
        that is trained along, or the width of what another one gives.
        """
        super().__init__()
        self.made = made
        text_width = text if isinstance(text, int) else text.width
        self.text = None if isinstance(text, int) else text
        self.branches = nn.ModuleDict({name: Branch(made, channels) for name in made.branches})
        self.time = Numbers(1, made.width, 256)
        self.size = Numbers(6, made.width)
        self.no_size = nn.Parameter(torch.zeros(made.width))
        self.captions = Captions(text_width, made.width)
        self.stems = nn.ModuleDict({m: Stem(stride * made.patch, made.width) for m in made.maps})
        self.trunk = nn.ModuleList(Block(made.width, made.heads) for _ in range(made.trunk))

    def forward(self, noisy: Tensor, time: Tensor, given: Given) -> Tensor:
        """(B, M, C, H, W), times (B, M) and conditions to (B, M, C, H, W)."""
        height, width = (side // self.made.patch for side in noisy.shape[3:])
        turns = angles(
            places(height, width, self.made.across, noisy.device),
            self.made.width // self.made.heads,
        )
        text = given.text if self.text is None else self.text(given.text)
        words, whole = self.captions(text, given.said & given.told[:, :1])
        sizes = torch.where(given.told[:, 1:2], self.size(given.size), self.no_size)
        told = whole + sizes  # (B, D)
        maps = self._maps(given, (height, width))
        conditions, states = [], []
        for number, branch in enumerate(self._branches()):
            conditions.append(told + self.time(time[:, number, None] * TIME_SCALE))
            states.append(branch.enter(noisy[:, number], maps, conditions[-1], turns))
        x = torch.stack([state[-1] for state in states]).mean(0)  # (B, N, D)
        x = self._through_trunk(x, words, torch.stack(conditions).mean(0), turns)
        out = []
        for branch, own, condition in zip(self._branches(), states, conditions, strict=True):
            numbers = branch.leave(x, own, condition, turns)
            out.append(picture(numbers, (height, width), self.made.patch))
        return torch.stack(out, dim=1)

    def _branches(self) -> list[Branch]:
        return [branch for branch in self.branches.values() if isinstance(branch, Branch)]

    def _maps(self, given: Given, grid: tuple[int, int]) -> Tensor:
        """The sum of what the maps' stems give, (B, N, D), or nothing."""
        out = self.no_size.new_zeros(1, 1, self.made.width)
        for number, stem in enumerate(self.stems.values()):
            out = out + stem(given.maps[:, number], given.told[:, 2 + number], grid)
        return out

    def _through_trunk(self, x: Tensor, words: Tensor, condition: Tensor, turns: Tensor) -> Tensor:
        """Tokens of the picture (B, N, D), with the caption's (B, T, D) beside them."""
        count = x.shape[1]
        still = turns.new_zeros(words.shape[1], turns.shape[1])
        x, turns = torch.cat([x, words.to(x.dtype)], dim=1), torch.cat([turns, still])
        for block in self.trunk:
            x = block(x, condition, turns)
        return x[:, :count]


def _joint(width: int) -> nn.Linear:
    """Two halves to one; at first their sum."""
    joint = nn.Linear(2 * width, width)
    with torch.no_grad():
        joint.weight.copy_(torch.eye(width).repeat(1, 2))
        joint.bias.zero_()
    return joint


def patches(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, N, C side side), row by row."""
    b, c, height, width = x.shape
    parts = x.reshape(b, c, height // side, side, width // side, side)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * side * side)


def picture(numbers: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """(B, N, C side side) on a grid (h, w) to (B, C, h side, w side)."""
    b, (height, width) = len(numbers), grid
    parts = numbers.reshape(b, height, width, -1, side, side)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(b, -1, height * side, width * side)
