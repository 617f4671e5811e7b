"""The lite geometry network in torch, its losses, and its way into an ONNX file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(self.first(x)))


class Attention(nn.Module):
    """A pre-norm transformer block over the cells of a map: each cell sees the whole picture."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.grow, self.shrink = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, T, D)
        n, t, d = x.shape
        q, k, v = self.mix(self.before(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, d))
        return x + self.shrink(F.gelu(self.grow(self.between(x)), approximate="tanh"))


class Network(nn.Module):
    """Image (N, 3, S, S) in [0, 1] to disparity, normals and person logits at S / 2.

    The disparity has no scale or offset; the normals are not yet unit. All work is done at a
    quarter of the side and below; the last layer unfolds each cell into two by two.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 144)) -> None:
        super().__init__()
        a, b, c = widths
        self.stem = nn.Sequential(
            nn.Conv2d(5, a, 7, 4, 3, bias=False),
            nn.BatchNorm2d(a),
            nn.ReLU(inplace=True),
            Residual(a),
        )
        self.eighth = nn.Sequential(_conv(a, b, stride=2), Residual(b), Residual(b))
        self.sixteenth = _conv(b, c, stride=2)
        self.whole = nn.Sequential(*(Attention(c) for _ in range(3)))
        self.narrow = nn.ModuleList([nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.join = nn.ModuleList([Residual(b), Residual(a)])
        self.head = nn.Conv2d(a, 5 * 4, 3, 1, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        n, _, h, w = image.shape
        y = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(n, 1, h, w)
        x = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(n, 1, h, w)
        quarter = self.stem(torch.cat([image * 4 - 2, x, y], 1))
        eighth = self.eighth(quarter)
        deep = self.sixteenth(eighth)
        cells = self.whole(deep.flatten(2).transpose(1, 2))
        deep = deep + cells.transpose(1, 2).reshape(deep.shape)
        for narrow, join, skip in zip(self.narrow, self.join, (eighth, quarter), strict=True):
            up = F.interpolate(narrow(deep), scale_factor=2.0, mode="bilinear")
            deep = join(up + skip)
        out = F.pixel_shuffle(self.head(deep), 2)
        return out[:, :1], out[:, 1:4], out[:, 4:]


def softened(maps: torch.Tensor) -> torch.Tensor:
    """Averaged with weights 1, 2, 1 both ways, which cancels the grid that unfolding leaves."""
    wide = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    rows = wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


class Exported(nn.Module):
    """What ships: disparity and unit normals, the person map left out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        disparity, normals, _ = self.network(image)
        disparity, normals = softened(disparity), softened(normals)
        return disparity, normals / (normals.square().sum(1, keepdim=True) + 1e-6).sqrt()


def levelled(maps: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) less each picture's median, over its mean distance from it."""
    flat = maps.flatten(1)
    flat = flat - flat.median(1, keepdim=True).values
    return (flat / (flat.abs().mean(1, keepdim=True) + 1e-4)).view_as(maps)


def disparity_loss(guess: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Scale-and-shift-invariant L1 plus the L1 of gradients at four scales."""
    error = levelled(guess) - levelled(truth).clamp(-4, 4)
    loss = error.abs().mean()
    for _ in range(4):
        across = (error[..., 1:] - error[..., :-1]).abs().mean()
        down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        loss = loss + 0.15 * (across + down)
        error = error[..., ::2, ::2]
    return loss


def normal_loss(guess: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """One minus the cosine, plus the L1 distance of the unit vectors."""
    unit = F.normalize(guess, dim=1)
    return (1 - (unit * truth).sum(1)).mean() + 0.5 * (unit - truth).abs().mean()


def export(network: Network, side: int, path: Path) -> None:
    """Write the network with half-precision weights that are widened when the file is loaded."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Exported(network.eval()), (torch.zeros(1, 3, side, side),), buffer, dynamo=False,
            opset_version=17, input_names=["image"], output_names=["disparity", "normals"],
        )  # fmt: skip
    model = onnx.load_model_from_string(buffer.getvalue())
    _halve(model.graph)
    model.doc_string = "humanverse lite geometry: disparity and normals"
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def _halve(graph: onnx.GraphProto) -> None:
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".half"))
        casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name], to=1))
    for node in reversed(casts):
        graph.node.insert(0, node)
