"""Keypoints from heat maps, to a fraction of a cell: DARK (arXiv 1910.06278) on UDP's grid.

Written for batches on a device. UDP (arXiv 1911.07524) lays the centres of a heat map's outer
cells on the sides of the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

SIGMA: Final = 0.8
RADIUS: Final = 5
"""Cells to each side over which a map is smoothed before its slope is read."""
FLOOR: Final = 1e-3
CEILING: Final = 50.0
"""Bounds of a map before its logarithm is taken."""


def decode_heatmaps(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (n, k, 2), x and y in cells, and scores (n, k), of maps (n, k, height, width).

    The highest cell, moved to where a Gaussian through the logarithms around it peaks. A map
    without a positive cell has place -1 and is to be taken for not found.
    """
    import torch

    scores, index = maps.flatten(2).max(dim=-1)
    columns = maps.shape[3]
    places = torch.stack([index % columns, index // columns], dim=-1)
    logs = torch.log(smoothed(maps).clamp(FLOOR, CEILING))
    around = _around(logs.flatten(0, 1), places.flatten(0, 1))
    moved = places + _step(around).reshape(places.shape)
    return torch.where((scores > 0)[..., None], moved, torch.full_like(moved, -1)), scores


def smoothed(maps: torch.Tensor) -> torch.Tensor:
    """Maps under a Gaussian of `SIGMA` cells; beyond their edges they are mirrored."""
    import torch
    from torch.nn.functional import conv2d

    reach = torch.arange(-RADIUS, RADIUS + 1, device=maps.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (reach / SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    height, width = maps.shape[2:]
    down = _mirrored(height, maps.device)
    right = _mirrored(width, maps.device)
    padded = maps.float().reshape(-1, 1, height, width)[:, :, down][:, :, :, right]
    blurred = conv2d(conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])
    return blurred.reshape(maps.shape)


def _mirrored(side: int, device: torch.device) -> torch.Tensor:
    """Indices from -RADIUS to side + RADIUS, reflected: c b a | a b c | c b a."""
    import torch

    index = torch.arange(-RADIUS, side + RADIUS, device=device) % (2 * side)
    return torch.minimum(index, 2 * side - 1 - index)


def _around(logs: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The 3 x 3 cells (m, 3, 3), rows first, around places (m, 2) of maps (m, height, width).

    Edges are repeated once.
    """
    import torch
    from torch.nn.functional import pad

    padded = pad(logs[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    near = torch.arange(3, device=logs.device)
    rows = places[:, 1, None, None] + near[:, None]
    columns = places[:, 0, None, None] + near
    return padded[torch.arange(len(padded), device=logs.device)[:, None, None], rows, columns]


def _step(around: torch.Tensor) -> torch.Tensor:
    """Newton's step (m, 2), x and y, to the peak of a parabola through 3 x 3 cells (m, 3, 3)."""
    import torch

    (a, b, _), (d, e, f), (_, h, i) = (row.unbind(-1) for row in around.double().unbind(1))
    slope = torch.stack([0.5 * (f - d), 0.5 * (h - b)], dim=-1)
    bend_x, bend_y = f - 2 * e + d, h - 2 * e + b
    bend_xy = 0.5 * (i - f - h + e + e - d - b + a)
    # As the reference adds it, so that a flat map moves nothing rather than fail.
    trifle = torch.finfo(torch.float32).eps
    bend_x, bend_y = bend_x + trifle, bend_y + trifle
    turn = bend_x * bend_y - bend_xy**2
    x = (bend_y * slope[:, 0] - bend_xy * slope[:, 1]) / turn
    y = (bend_x * slope[:, 1] - bend_xy * slope[:, 0]) / turn
    return -torch.stack([x, y], dim=-1).float()


def unmirrored_maps(maps: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
    """Maps of a mirrored input as those of the input: `partners` (k,) swaps the names."""
    return maps.flip(-1)[:, partners]
