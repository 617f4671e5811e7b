"""Keypoints from SimCC (arXiv 2107.03332): two histograms a keypoint, one an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def decode_simcc(
    across: torch.Tensor, down: torch.Tensor, split: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (n, k, 2), x and y in pixels of the network's input, and scores (n, k).

    `across` is (n, k, width * split), `down` (n, k, height * split): `split` bins a pixel. The
    score is the lower of the two maxima. A keypoint without a positive score has place -1 / split
    and is to be taken for not found.
    """
    import torch

    high_x, x = across.max(dim=-1)
    high_y, y = down.max(dim=-1)
    scores = torch.minimum(high_x, high_y)
    places = torch.stack([x, y], dim=-1).float()
    found = (scores > 0)[..., None]
    return torch.where(found, places, torch.full_like(places, -1)) / split, scores


def unmirrored_simcc(
    across: torch.Tensor, down: torch.Tensor, partners: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Histograms of a mirrored input as those of the input: `partners` (k,) swaps the names."""
    return across.flip(-1)[:, partners], down[:, partners]
