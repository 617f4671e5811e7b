"""ViTPose++ out of its authors' own checkpoints, with the head for all 133 keypoints.

The folders on the hub were converted with COCO's head of 17 alone. The authors' files
(`vitpose+_base` to `vitpose+_huge`) hold six heads, the last of which is COCO-WholeBody's; those
that were split by data set hold one. Both are renamed into transformers' network, whose sizes
follow from the shapes of the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from humanverse.errors import UsageError
from humanverse.keypoints import BODY, COUNT
from humanverse.models.hub_folder import library
from humanverse.models.weight_files import load_weights

if TYPE_CHECKING:
    import torch

WHOLEBODY: Final = "associate_keypoint_heads.4."
"""The sixth data set's head; `keypoint_head` is the first one's, or the only one."""
HEADS: Final = {384: 12, 768: 12, 1024: 16, 1280: 16}
"""Attention heads by width: small, base, large, huge."""
INPUT: Final = (256, 192)
"""Height and width: all of them were made for it."""
PATCH: Final = 16
EPSILON: Final = 1e-6
"""Of layer norms, as the authors have it."""

_LAYER = r"backbone.encoder.layer.\1."
_RULES: Final[tuple[tuple[str, str], ...]] = (
    (r"backbone\.patch_embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"backbone\.pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"backbone\.blocks\.(\d+)\.norm1\.", _LAYER + "layernorm_before."),
    (r"backbone\.blocks\.(\d+)\.norm2\.", _LAYER + "layernorm_after."),
    (
        r"backbone\.blocks\.(\d+)\.attn\.proj\.",
        _LAYER + "attention.output.dense.",
    ),
    (r"backbone\.blocks\.(\d+)\.mlp\.", _LAYER + "mlp."),
    (r"backbone\.last_norm\.", "backbone.layernorm."),
    (r"head\.deconv_layers\.0\.", "head.deconv1."),
    (r"head\.deconv_layers\.1\.", "head.batchnorm1."),
    (r"head\.deconv_layers\.3\.", "head.deconv2."),
    (r"head\.deconv_layers\.4\.", "head.batchnorm2."),
    (r"head\.final_layer\.", "head.conv."),
)
_QKV: Final = re.compile(r"backbone\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")


def load(path: Path) -> Any:
    """A file's network, for inference, in fp32, with the processor that belongs to it.

    Raises:
        UsageError: it holds another network, or more than arrays.
    """
    state = load_weights(path)
    try:
        config = config_of(state)
        model = library().VitPoseForPoseEstimation(config)
        model.load_state_dict(renamed(state))
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        why = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} is no checkpoint of ViTPose or ViTPose++: {why}") from error
    return model.eval(), library().VitPoseImageProcessor()


def config_of(state: Mapping[str, torch.Tensor]) -> Any:
    """The network's shape, by its weights'.

    Raises:
        KeyError: they are of another network.
        ValueError: they are for another input, or of a width that no published one has.
    """
    width = state["backbone.patch_embed.proj.weight"].shape[0]
    places = state["backbone.pos_embed"].shape[1] - 1
    if places != INPUT[0] // PATCH * (INPUT[1] // PATCH):
        raise ValueError(f"{places} places are not those of {INPUT[0]} x {INPUT[1]} pixels")
    if width not in HEADS:
        raise ValueError(f"no published network is {width} wide")
    layers = sum(bool(_QKV.fullmatch(n)) and n.endswith("weight") for n in state)
    first = "backbone.blocks.0.mlp."
    experts = sum(n.startswith(first + "experts.") and n.endswith("weight") for n in state)
    part = state[first + "experts.0.weight"].shape[0] if experts else 0
    transformers = library()
    backbone = transformers.VitPoseBackboneConfig(
        image_size=list(INPUT),
        patch_size=[PATCH] * 2,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=HEADS[width],
        mlp_ratio=state[first + "fc1.weight"].shape[0] // width,
        num_experts=max(1, experts),
        part_features=part,
        layer_norm_eps=EPSILON,
        out_indices=[layers],
    )
    points = len(renamed(state)["head.conv.bias"])
    return transformers.VitPoseConfig(
        backbone_config=backbone, num_labels=points, use_simple_decoder=False
    )


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' state in the names of transformers' network, with one head.

    Raises:
        KeyError: a name belongs to another network.
    """
    prefix = WHOLEBODY if f"{WHOLEBODY}final_layer.bias" in state else "keypoint_head."
    out: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name.startswith(prefix):
            out |= _renamed("head." + name.removeprefix(prefix), value)
        elif name.startswith("backbone.") and name != "backbone.cls_token":
            out |= _renamed(name, value)
    for name in ("head.conv.weight", "head.conv.bias"):
        # Heads of several data sets were saved with as many points as the largest has.
        out[name] = out[name][: COUNT if len(out[name]) >= COUNT else BODY.stop]
    return out


def _renamed(name: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    if found := _QKV.fullmatch(name):
        base = f"backbone.encoder.layer.{found[1]}.attention.attention."
        parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
        return {f"{base}{which}.{found[2]}": part for which, part in parts}
    for old, new in _RULES:
        if re.match(old, name):
            return {re.sub(old, new, name): value}
    raise KeyError(name)
