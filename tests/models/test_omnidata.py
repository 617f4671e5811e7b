"""Omnidata's network in its authors' names, on timm's trunk, beside ours on transformers'."""

from functools import partial

import numpy as np
import pytest
from models.odd import odd_pictures

from humanverse.errors import UsageError
from humanverse.models import omnidata
from humanverse.models.omnidata import OmnidataDepth, OmnidataNormals, build, check, renamed
from humanverse.models.torched import TOLERANCE, How

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from models.small_depth import stages  # noqa: E402  # it needs transformers
from safetensors.torch import save_file  # noqa: E402
from timm.layers import HybridEmbed, StdConv2dSame  # noqa: E402
from timm.models.resnetv2 import ResNetV2  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import interpolate, relu  # noqa: E402

CPU = How(device="cpu", batch=2)
SMALL = {
    "image_size": 64,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "backbone_featmap_shape": [1, 1024, 4, 4],
    "neck_hidden_sizes": [256, 512, 24, 24],
    "fusion_hidden_size": 16,
    "backbone_config": stages(),
}


class Readout(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, tokens):
        first = tokens[:, :1].expand_as(tokens[:, 1:])
        return self.project(torch.cat([tokens[:, 1:], first], dim=-1))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(relu(self.conv1(relu(x))))


class Fusion(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.resConfUnit1, self.resConfUnit2 = Residual(width), Residual(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x, skip=None):
        x = x if skip is None else x + self.resConfUnit1(skip)
        larger = partial(interpolate, scale_factor=2, mode="bilinear", align_corners=True)
        return self.out_conv(larger(self.resConfUnit2(x)))


class Enlarged(nn.Module):
    def forward(self, x):
        return interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class Authors(nn.Module):
    """DPT-Hybrid as its authors put it together, with their names."""

    def __init__(self, trunk, channels, width, reassembled):
        super().__init__()
        dim = trunk.embed_dim
        self.pretrained, self.scratch = nn.Module(), nn.Module()
        self.pretrained.model = trunk
        gap = nn.Identity
        first = nn.Conv2d(dim, reassembled, 1)
        self.pretrained.act_postprocess3 = nn.Sequential(Readout(dim), gap(), gap(), first)
        self.pretrained.act_postprocess4 = nn.Sequential(
            *(Readout(dim), gap(), gap(), nn.Conv2d(dim, reassembled, 1)),
            nn.Conv2d(reassembled, reassembled, 3, stride=2, padding=1),
        )
        for number, given in enumerate((256, 512, reassembled, reassembled), start=1):
            lateral = nn.Conv2d(given, width, 3, padding=1, bias=False)
            setattr(self.scratch, f"layer{number}_rn", lateral)
            setattr(self.scratch, f"refinenet{number}", Fusion(width))
        self.scratch.output_conv = nn.Sequential(
            *(nn.Conv2d(width, width // 2, 3, padding=1), Enlarged()),
            *(nn.Conv2d(width // 2, 32, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, channels, 1), nn.ReLU(), nn.Identity()),
        )

    def forward(self, x):
        trunk, scratch = self.pretrained.model, self.scratch
        x = trunk.patch_embed.backbone.stem(x)
        maps = []
        for stage in trunk.patch_embed.backbone.stages:
            x = stage(x)
            maps.append(x)
        side = x.shape[-1]
        tokens = trunk.patch_embed.proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([trunk.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + trunk.pos_embed
        del maps[2]
        for number, block in enumerate(trunk.blocks):
            tokens = block(tokens)
            after = {8: "act_postprocess3", 11: "act_postprocess4"}.get(number)
            if after:
                layers = getattr(self.pretrained, after)
                read = layers[0](tokens).transpose(1, 2).unflatten(2, (side, side))
                maps.append(layers[1:](read))
        path = None
        for number in (4, 3, 2, 1):
            lateral = getattr(scratch, f"layer{number}_rn")(maps[number - 1])
            fuse = getattr(scratch, f"refinenet{number}")
            path = fuse(lateral) if path is None else fuse(path, lateral)
        return scratch.output_conv(path)


def authors(channels):
    trunk = VisionTransformer(
        img_size=64,
        patch_size=1,
        embed_dim=32,
        depth=12,
        num_heads=2,
        mlp_ratio=2,
        embed_layer=partial(
            HybridEmbed,
            backbone=ResNetV2(
                (1, 1, 1),
                num_classes=0,
                global_pool="",
                preact=False,
                stem_type="same",
                conv_layer=partial(StdConv2dSame, eps=1e-8),
            ),
        ),
    )
    torch.manual_seed(0)
    made = Authors(trunk, channels, width=16, reassembled=24)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            elif "norm" not in name:
                parameter.normal_(0, 0.1)
        made.scratch.output_conv[4].bias.fill_(0.5)
    return made.eval()


@pytest.fixture
def small(monkeypatch):
    """The sizes of the small network, in place of the published one's."""
    monkeypatch.setattr(omnidata, "HYBRID", omnidata.HYBRID | SMALL)
    monkeypatch.setattr(omnidata, "SIDE", 64)


def saved(network, path, word=""):
    """A checkpoint as the authors' trainer leaves it, with a word before each name."""
    state = {word + name: value.contiguous() for name, value in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_the_renamed_weights_compute_what_the_authors_network_does(small, channels):
    theirs, ours = authors(channels), build(channels)
    ours.load_state_dict(renamed(theirs.state_dict()))
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = theirs(picture), ours(picture).predicted_depth
    assert expected.std() > 0.01
    assert torch.allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_the_published_network_has_weights_of_the_same_names_and_shapes():
    with torch.device("meta"):
        trunk = timm.create_model("vit_base_r50_s16_384", pretrained=False)
        theirs = Authors(trunk, 3, width=256, reassembled=768)
        ours = build(3)
    # The classifier of the trunk is left out.
    given = {name: tuple(value.shape) for name, value in renamed(theirs.state_dict()).items()}
    assert given == {name: tuple(value.shape) for name, value in ours.state_dict().items()}


@pytest.mark.parametrize("name", ["normal.safetensors", "normal.ckpt"])
def test_normals_are_those_of_the_authors_demo(small, tmp_path, name):
    """Colours of a squeezed picture, from which X, Y down and Z to the viewer are read."""
    theirs = authors(3)
    ours = OmnidataNormals(saved(theirs, tmp_path / name, "model."), CPU)
    images = list(odd_pictures())
    for image, found in zip(images, ours.estimate(images, []), strict=True):
        squeezed = ours.network.inputs([image])
        assert 0 <= squeezed.min() <= squeezed.max() <= 1
        with torch.no_grad():
            colours = theirs(squeezed).clamp(0, 1)
        vectors = interpolate(colours * 2 - 1, size=image.shape[:2], mode="bilinear")[0]
        vectors = vectors.numpy().transpose(1, 2, 0) * (1, -1, 1)
        expected = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        assert found.shape == image.shape
        assert np.abs(found - expected).max() < 1e-3
        assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_depth_is_that_of_the_authors_demo(small, tmp_path):
    theirs = authors(1)
    ours = OmnidataDepth(saved(theirs, tmp_path / "depth.safetensors"), CPU)
    assert ours.kind == "relative"
    for image in odd_pictures():
        squeezed = ours.network.inputs([image])
        with torch.no_grad():
            small_map = theirs(squeezed).clamp(0, 1)
        expected = interpolate(small_map, size=image.shape[:2], mode="bicubic")[0, 0].clamp(0, 1)
        (found,) = ours.estimate([image], [])
        assert np.abs(found - expected.numpy()).max() < 1e-3


def test_an_image_is_seen_the_same_alone_and_among_others(small, tmp_path):
    ours = OmnidataNormals(saved(authors(3), tmp_path / "n.safetensors"), CPU)
    images = list(odd_pictures(1))
    for image, among in zip(images, ours.estimate(images, []), strict=True):
        assert np.abs(ours.estimate([image], [])[0] - among).max() <= TOLERANCE


def test_a_depth_checkpoint_is_not_taken_for_one_of_normals(small, tmp_path):
    path = saved(authors(1), tmp_path / "depth.safetensors")
    with pytest.raises(UsageError, match=r"no DPT-Hybrid of 3 channels: size mismatch") as refused:
        OmnidataNormals(path, CPU)
    assert "\n" not in str(refused.value)


def test_another_network_is_refused(tmp_path):
    save_file({"backbone.conv.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="none of Omnidata's"):
        OmnidataNormals(tmp_path / "a.safetensors", CPU)


class Code:
    """What a pickle could hold."""


def test_a_checkpoint_that_holds_code_is_not_opened(tmp_path):
    torch.save({"state_dict": {}, "hyper_parameters": Code()}, tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match="more than arrays"):
        OmnidataNormals(tmp_path / "a.ckpt", CPU)


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match=r"a\."):
        OmnidataNormals(tmp_path / name, CPU)


def test_a_missing_file_is_refused_without_loading_anything(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        check("normals.model=omnidata", tmp_path / "gone.ckpt")
    with pytest.raises(UsageError, match=r"docs/models\.md"):
        check("normals.model=omnidata", None)
