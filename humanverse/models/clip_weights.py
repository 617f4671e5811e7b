"""Names of CLIP's image tower: from transformers' to timm's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

RENAMED: Final = (
    (r"^vision_model\.", ""),
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^post_layernorm\.", "norm."),
    (r"^encoder\.layers\.", "blocks."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"^visual_projection\.", "head."),
)
JOINED: Final = re.compile(r"(blocks\.\d+\.)self_attn\.([qkv])_proj\.(weight|bias)")
"""Three layers there are one here, in this order."""


def timm_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a CLIPVisionModelWithProjection by the names of timm's VisionTransformer."""
    import torch

    out: dict[str, torch.Tensor] = {}
    parts: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        if name.endswith("position_ids"):  # a counter, which old files hold
            continue
        new = name
        for pattern, replacement in RENAMED:
            new = re.sub(pattern, replacement, new)
        if found := JOINED.fullmatch(new):
            block, which, part = found.groups()
            parts.setdefault((block, part), {})[which] = value
        else:
            out[new] = value
    for (block, part), three in parts.items():
        out[f"{block}attn.qkv.{part}"] = torch.cat([three[which] for which in "qkv"])
    out["cls_token"] = out["cls_token"].reshape(1, 1, -1)
    out["pos_embed"] = out["pos_embed"][None]
    out["head.bias"] = torch.zeros(len(out["head.weight"]))
    return out
