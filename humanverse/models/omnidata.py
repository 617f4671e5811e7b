"""Omnidata's DPT-Hybrid for normals and depth (arXiv 2110.04994), which HyperHuman labelled with.

Its checkpoints are state dicts in the names of the authors' own code. The network is the one that
transformers has as DPT-Hybrid, so the weights are renamed into that; for normals the head's last
layer is three wide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.axes import OMNIDATA
from humanverse.models.base import DepthKind, Image
from humanverse.models.dense import DenseNetwork, Size
from humanverse.models.hub_folder import library
from humanverse.models.normal_maps import channels_last, unit
from humanverse.models.torched import How
from humanverse.models.weight_files import check_weights, load_weights

if TYPE_CHECKING:
    import torch

SIDE: Final = 384
"""Pixels a side of the square that pictures are squeezed to."""
HYBRID: Final[dict[str, Any]] = {
    "is_hybrid": True,
    "image_size": SIDE,
    "patch_size": 16,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "backbone_out_indices": [2, 5, 8, 11],
    "backbone_featmap_shape": [1, 1024, 24, 24],
    "reassemble_factors": [1, 1, 1, 0.5],
    "neck_hidden_sizes": [256, 512, 768, 768],
    "neck_ignore_stages": [0, 1],
    "readout_type": "project",
    "layer_norm_eps": 1e-6,
}
"""DPT-Hybrid as the authors build it: a ResNet-50 of three stages before a ViT-B."""

_TRUNK, _VIT, _FUSION = "pretrained.model.", "dpt.encoder.layer.", "neck.fusion_stage.layers."
_RULES: Final[tuple[tuple[str, str], ...]] = (
    (r"pretrained\.model\.cls_token", "dpt.embeddings.cls_token"),
    (r"pretrained\.model\.pos_embed", "dpt.embeddings.position_embeddings"),
    (r"pretrained\.model\.patch_embed\.proj\.", "dpt.embeddings.projection."),
    (
        r"pretrained\.model\.patch_embed\.backbone\.stem\.conv\.",
        "dpt.embeddings.backbone.bit.embedder.convolution.",
    ),
    (
        r"pretrained\.model\.patch_embed\.backbone\.stem\.norm\.",
        "dpt.embeddings.backbone.bit.embedder.norm.",
    ),
    (
        r"pretrained\.model\.patch_embed\.backbone\.stages\.(\d+)\.blocks\.",
        r"dpt.embeddings.backbone.bit.encoder.stages.\1.layers.",
    ),
    (r"pretrained\.model\.blocks\.(\d+)\.norm1\.", _VIT + r"\1.layernorm_before."),
    (r"pretrained\.model\.blocks\.(\d+)\.norm2\.", _VIT + r"\1.layernorm_after."),
    (r"pretrained\.model\.blocks\.(\d+)\.attn\.proj\.", _VIT + r"\1.attention.output.dense."),
    (r"pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.", _VIT + r"\1.attention.attention.qkv."),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc1\.", _VIT + r"\1.intermediate.dense."),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc2\.", _VIT + r"\1.output.dense."),
    (r"pretrained\.model\.norm\.", "dpt.layernorm."),
    (
        r"pretrained\.act_postprocess([34])\.0\.project\.0\.",
        "neck.reassemble_stage.readout_projects.{}.0.",
    ),
    (r"pretrained\.act_postprocess([34])\.3\.", "neck.reassemble_stage.layers.{}.projection."),
    (r"pretrained\.act_postprocess([34])\.4\.", "neck.reassemble_stage.layers.{}.resize."),
    (r"scratch\.layer([1-4])_rn\.", "neck.convs.{}."),
    (r"scratch\.output_conv\.(\d+)\.", r"head.head.\1."),
)
"""Beginnings of names, and what they become; `{}` is the number found, less one."""
_FUSIONS: Final = re.compile(
    r"scratch\.refinenet([1-4])\.(?:resConfUnit([12])\.conv([12])|out_conv)\."
)
"""The authors count their four fusions from the finest, transformers from the coarsest."""
_UNUSED: Final = (_TRUNK + "head.", _TRUNK + "fc_norm.")
"""The trunk's classifier, which came with its weights of ImageNet."""


class OmnidataNormals:
    """`NormalEstimator` from `omnidata_dpt_normal_v2`."""

    def __init__(self, weights: Path, how: How | None = None) -> None:
        """Load a `.safetensors` file, or a checkpoint that holds arrays alone.

        Raises:
            UsageError: it holds something else.
        """
        self.network = _network(weights, 3, {"do_normalize": False}, _normals, how)

    def estimate(
        self,
        images: Sequence[Image],
        boxes: Sequence[NDArray[np.float32]],  # noqa: ARG002  # the protocol's
    ) -> list[NDArray[np.float32]]:
        """One (H, W, 3) map of unit vectors an image; boxes are left aside."""
        return [channels_last(one) for one in self.network.maps(images)]


class OmnidataDepth:
    """`DepthEstimator` from `omnidata_dpt_depth_v2`: depth up to scale and offset."""

    kind: DepthKind = "relative"

    def __init__(self, weights: Path, how: How | None = None) -> None:
        """Load a `.safetensors` file, or a checkpoint that holds arrays alone.

        Raises:
            UsageError: it holds something else.
        """
        scaling = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        self.network = _network(weights, 1, scaling, _depth, how)

    def estimate(
        self,
        images: Sequence[Image],
        boxes: Sequence[NDArray[np.float32]],  # noqa: ARG002  # the protocol's
    ) -> list[NDArray[np.float32]]:
        """One (H, W) map an image, larger is farther; boxes are left aside."""
        return self.network.maps(images)


def check(setting: str, weights: Path | None) -> None:
    """Refuse a file that is none, without loading it.

    Raises:
        UsageError: the file or a package is missing.
    """
    check_weights(weights, setting)


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' state dict in the names of transformers' DPT-Hybrid.

    Raises:
        KeyError: a name belongs to another network.
    """
    out: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name.startswith(_UNUSED):
            continue
        new = _new_name(name)
        if ".qkv." in new:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                out[new.replace(".qkv.", f".{part}.")] = third.contiguous()
        else:
            out[new] = value
    return out


def build(channels: int, **changes: Any) -> Any:
    """A DPT-Hybrid without weights whose head gives so many channels; `changes` of `HYBRID`."""
    import torch

    have = library()
    model = have.DPTForDepthEstimation(have.DPTConfig(**(HYBRID | changes)))
    model.head.head[4] = torch.nn.Conv2d(32, channels, kernel_size=1)
    return model.eval()


def _new_name(name: str) -> str:
    fusion = _FUSIONS.match(name)
    if fusion:
        number, residual, convolution = fusion.groups()
        part = f"residual_layer{residual}.convolution{convolution}" if residual else "projection"
        return f"{_FUSION}{4 - int(number)}.{part}.{name[fusion.end() :]}"
    for pattern, new in _RULES:
        found = re.match(pattern, name)
        if found:
            start = new.format(int(found[1]) - 1) if "{}" in new else found.expand(new)
            return start + name[found.end() :]
    raise KeyError(name)


def _network(
    weights: Path, channels: int, scaling: dict[str, Any], restore: Any, how: How | None
) -> DenseNetwork:
    # The authors' trainer puts one more word before each name.
    bare = {name.removeprefix("model."): value for name, value in load_weights(weights).items()}
    try:
        state = renamed(bare)
    except KeyError as error:
        raise UsageError(f"{weights} is none of Omnidata's: it has {error}") from error
    model = build(channels)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        why = str(error).splitlines()[1].strip()
        raise UsageError(f"{weights} is no DPT-Hybrid of {channels} channels: {why}") from error
    processor = library().DPTImageProcessor(
        size={"height": SIDE, "width": SIDE}, resample=2, **scaling
    )
    return DenseNetwork(model, processor, restore, how=how)


def _normals(output: Any, sizes: list[Size]) -> Sequence[torch.Tensor]:
    """Colours from 0 to 1 are vectors from -1 to 1."""
    maps = output.predicted_depth.float().clamp(0, 1) * 2 - 1
    return [
        unit(_resized(one, size, "bilinear"), OMNIDATA)
        for one, size in zip(maps, sizes, strict=True)
    ]


def _depth(output: Any, sizes: list[Size]) -> Sequence[torch.Tensor]:
    maps = output.predicted_depth.float().clamp(0, 1)
    return [
        _resized(one[None], size, "bicubic")[0].clamp(0, 1)
        for one, size in zip(maps, sizes, strict=True)
    ]


def _resized(one: torch.Tensor, size: Size, mode: str) -> torch.Tensor:
    """A map (c, h, w) at the picture's size."""
    from torch.nn.functional import interpolate

    return interpolate(one[None], size=size, mode=mode, align_corners=False)[0]
