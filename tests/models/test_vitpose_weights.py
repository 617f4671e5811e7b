"""ViTPose++ in its authors' names and code, put together anew, beside ours on transformers'."""

import numpy as np
import pytest
from models.odd import odd_boxes, odd_pictures

from humanverse.errors import UsageError
from humanverse.models import vitpose_weights
from humanverse.models.torched import How
from humanverse.models.vitpose import VitPose, check

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from torch import nn  # noqa: E402  # only where torch is

CPU = How(device="cpu", batch=3)
WIDTH, PART, HEADS = 384, 96, 12
POINTS = (17, 14, 16, 17, 17, 133)
"""COCO, AiC, MPII, AP-10K, APT-36K, COCO-WholeBody."""


class Mlp(nn.Module):
    def __init__(self, experts):
        super().__init__()
        part = PART if experts else 0
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH - part)
        self.experts = nn.ModuleList(nn.Linear(4 * WIDTH, part) for _ in range(experts))

    def forward(self, x, which):
        x = nn.functional.gelu(self.fc1(x))
        parts = [self.fc2(x), *([self.experts[which](x)] if len(self.experts) else [])]
        return torch.cat(parts, dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        count, length, _ = x.shape
        qkv = self.qkv(x).reshape(count, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (qkv[0] * (WIDTH // HEADS) ** -0.5 @ qkv[1].mT).softmax(dim=-1)
        return self.proj((weights @ qkv[2]).transpose(1, 2).reshape(count, length, WIDTH))


class Block(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.attn, self.mlp = Attention(), Mlp(experts)

    def forward(self, x, which):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x), which)


class Trunk(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, 16, 16, padding=2)})
        self.pos_embed = nn.Parameter(torch.randn(1, 16 * 12 + 1, WIDTH) * 0.1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.blocks = nn.ModuleList(Block(experts) for _ in range(2))
        self.last_norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, pictures, which):
        x = self.patch_embed["proj"](pictures).flatten(2).mT
        x = x + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x = block(x, which)
        return self.last_norm(x).mT.reshape(len(x), WIDTH, 16, 12)


class Head(nn.Module):
    def __init__(self, points):
        super().__init__()
        layers = []
        for width in (WIDTH, 256):
            layers.append(nn.ConvTranspose2d(width, 256, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(256), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(256, points, 1)

    def forward(self, x):
        return self.final_layer(self.deconv_layers(x))


class Authors(nn.Module):
    """All six heads, or one."""

    def __init__(self, points):
        super().__init__()
        self.backbone = Trunk(len(points) if len(points) > 1 else 0)
        self.keypoint_head = Head(points[0])
        self.associate_keypoint_heads = nn.ModuleList(Head(count) for count in points[1:])

    def forward(self, pictures, which):
        head = self.associate_keypoint_heads[which - 1] if which else self.keypoint_head
        return head(self.backbone(pictures, which))


def made(path, points):
    torch.manual_seed(0)
    network = Authors(points).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    torch.save({"state_dict": network.state_dict(), "meta": {"epoch": 210}}, path)
    return network


@pytest.mark.parametrize(
    ("points", "which"), [(POINTS, 5), ((133,), 0), ((17,), 0)], ids=["six", "split", "body"]
)
def test_heat_maps_are_those_of_the_authors_network(tmp_path, points, which):
    network = made(tmp_path / "authors.pth", points)
    model, _ = vitpose_weights.load(tmp_path / "authors.pth")
    pictures = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(pictures, which)
        chosen = {"dataset_index": torch.full((2,), which)} if len(points) > 1 else {}
        found = model(pictures, **chosen).heatmaps
    assert found.shape == expected.shape == (2, points[which], 64, 48)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
    assert not torch.allclose(found, expected.roll(1, 0), atol=1e-2)


def test_all_133_keypoints_are_found_by_the_authors_file(tmp_path):
    made(tmp_path / "authors.pth", POINTS)
    image = next(odd_pictures())
    boxes = odd_boxes(*image.shape[:2])
    (found,) = VitPose(tmp_path / "authors.pth", how=CPU).estimate([image], [boxes])
    assert found.shape == (len(boxes), 133, 3)
    assert np.isfinite(found).all()


def test_a_head_saved_with_as_many_points_as_the_largest_is_cut_to_its_own(tmp_path):
    network = made(tmp_path / "authors.pth", (17, 14, 16, 17, 17, 140))
    model, _ = vitpose_weights.load(tmp_path / "authors.pth")
    last = network.associate_keypoint_heads[4].final_layer
    assert torch.equal(model.head.conv.weight, last.weight[:133])


def test_another_checkpoint_is_refused_in_one_line(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"backbone.stem.weight": torch.zeros(3)}}, path)
    check(path)
    with pytest.raises(UsageError, match="is no checkpoint of ViTPose"):
        VitPose(path, how=CPU)
    network = Authors((133,))
    del network.backbone.blocks[1].norm2
    torch.save(network.state_dict(), path)
    with pytest.raises(UsageError, match="is no checkpoint of ViTPose"):
        VitPose(path, how=CPU)
