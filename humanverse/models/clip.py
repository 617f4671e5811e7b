"""CLIP (arXiv 2103.00020): pictures and texts in one space, in batches.

The image tower runs through timm or transformers, the text tower through transformers; both give
the projected embedding at length 1, so 768 numbers for ViT-L/14. OpenAI's code and weights are
under MIT.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Image
from humanverse.models.clip_pixels import by_processor, by_timm
from humanverse.models.clip_weights import timm_names
from humanverse.models.hub_folder import check_folder, library, load_model, load_processor
from humanverse.models.torched import Engine, How
from humanverse.models.weight_files import check_weights, load_weights

if TYPE_CHECKING:
    import torch

    from humanverse.models.clip_pixels import Prepare

Library = Literal["timm", "transformers"]
"""Who runs the image tower of a folder. A file is timm's."""

TOWER: Final = "vit_large_patch14_clip_quickgelu_224.openai"
"""OpenAI's ViT-L/14 in timm. Its name without `quickgelu` is the same file with another activation,
which moves every embedding."""


PLACES: Final = frozenset({"pos_embed", "visual.positional_embedding", "visual.trunk.pos_embed"})
"""Embeddings of a tower's patches, in timm's and OpenCLIP's files."""


class ClipImages:
    """Embeddings of pictures."""

    def __init__(
        self,
        weights: Path,
        tower: str = TOWER,
        library: Library = "timm",
        how: How | None = None,
    ) -> None:
        """Load an image tower.

        Args:
            weights: a file of timm's or OpenCLIP's (safetensors, or arrays of torch), or a folder
                with a CLIPModel of transformers.
            tower: what a file holds, by timm's name; a folder says it itself.
            library: who runs a folder's tower.
            how: device, batch, precision.

        Raises:
            UsageError: as `check_images`, or the weights are of another network.
        """
        self.width = check_images(weights, tower)
        network: Any
        self._prepare: Prepare
        if weights.is_dir():
            # What the config says of a tower alone is often left at 512, whatever the tower is.
            name = "CLIPVisionModelWithProjection"
            model = load_model(weights, name, projection_dim=self.width)
            network = _as_timm(model) if library == "timm" else model
            self._prepare = by_processor(load_processor(weights, "CLIPImageProcessor"))
        else:
            network, config = _from_file(weights, tower)
            self._prepare = by_timm(config)
        self._engine = Engine(network, how)

    def embed(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, width), of length 1."""
        found = self._engine.in_batches(images, self._step)
        return np.array([row[0] for row in found], np.float32).reshape(-1, self.width)

    def projected(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, width), of the lengths that the tower gives them."""
        found = self._engine.in_batches(images, lambda batch: (self._given(batch).float(),))
        return np.array([row[0] for row in found], np.float32).reshape(-1, self.width)

    def inputs(self, images: Sequence[Image]) -> torch.Tensor:
        """Images as the network's input (n, 3, side, side)."""
        return self._prepare(self._engine, images)

    def _step(self, images: Sequence[Image]) -> tuple[torch.Tensor]:
        return (_unit(self._given(images)),)

    def _given(self, images: Sequence[Image]) -> torch.Tensor:
        given = self._engine(self.inputs(images))
        embeddings: torch.Tensor = getattr(given, "image_embeds", given)
        return embeddings


class ClipTexts:
    """Embeddings of texts. A text is cut after as many tokens as the tower takes: 77, both marks
    counted, in all published ones; that is some 50 English words.
    """

    def __init__(self, folder: Path, how: How | None = None) -> None:
        """Load the text tower and tokeniser of a folder with a CLIPModel of transformers.

        Raises:
            UsageError: the folder holds no such model, or no tokeniser.
        """
        self.width = check_texts(folder)
        model = load_model(folder, "CLIPTextModelWithProjection", projection_dim=self.width)
        self._tokenise = load_processor(folder, "AutoTokenizer", "tokenizer.json")
        self._most: int = model.config.max_position_embeddings
        self._engine = Engine(model, how)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width), of length 1. What is longer than the tower takes is cut at its end."""
        found = self._engine.in_batches(texts, self._step)
        return np.array([row[0] for row in found], np.float32).reshape(-1, self.width)

    def _step(self, texts: Sequence[str]) -> tuple[torch.Tensor]:
        tokens = self._tokenise(
            list(texts), padding=True, truncation=True, max_length=self._most, return_tensors="np"
        )
        given = (self._engine.upload(tokens[name]) for name in ("input_ids", "attention_mask"))
        return (_unit(self._engine(*given).text_embeds),)


def check_images(weights: Path, tower: str = TOWER) -> int:
    """The width of an image tower's embeddings, known without loading it.

    Raises:
        UsageError: a file or a package is missing, or timm knows no such tower.
    """
    if not weights.is_dir():
        check_weights(weights, "quality.clip")
        return int(_described(tower).num_classes)
    return int(_config(weights).projection_dim)


def check_texts(folder: Path) -> int:
    """The width of a text tower's embeddings, known without loading it.

    Raises:
        UsageError: a file or a package is missing, or the folder has no tokeniser.
    """
    config = _config(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise UsageError(f"{folder} has no tokeniser: no tokenizer.json, no vocab.json")
    return int(config.projection_dim)


def _config(folder: Path) -> Any:
    check_folder(folder, "quality.clip", ("clip",))
    return library().CLIPConfig.from_pretrained(str(folder), local_files_only=True)


def _described(tower: str) -> Any:
    """What timm says of a tower with its pretrained weights.

    Raises:
        UsageError: it knows none of that name, or one with another activation is meant.
    """
    timm = _timm()
    try:
        known = timm.models.get_pretrained_cfg(tower) if "." in tower else None
    except RuntimeError:  # it has no such weights
        known = None
    if known is None or "clip" not in tower or not known.num_classes:
        raise UsageError(f"timm has no CLIP tower {tower!r}: name one as {TOWER}")
    if any("natively QuickGELU" in note for note in known.notes or ()) and "quickgelu" not in tower:
        better = tower.replace("_clip_", "_clip_quickgelu_")
        raise UsageError(f"{tower} was taught with QuickGELU: its name with that is {better}")
    return known


def _from_file(weights: Path, tower: str) -> tuple[Any, dict[str, Any]]:
    """A tower of timm's with its weights, and its data config.

    Raises:
        UsageError: the file holds another network.
    """
    timm, known = _timm(), _described(tower)
    model = timm.create_model(tower, pretrained=False, num_classes=known.num_classes)
    state = load_weights(weights)
    try:
        places = [state[name].squeeze(0) for name in PLACES & set(state)]
        # Where the number of patches differs timm would stretch: no tower that anybody taught.
        stretched = any(len(given) != model.pos_embed.shape[1] for given in places)
        fitted = timm.models.vision_transformer.checkpoint_filter_fn(state, model)
        model.load_state_dict({} if stretched else fitted)
    except (RuntimeError, AttributeError, KeyError, IndexError) as error:
        raise UsageError(
            f"{weights} does not hold {tower}: name quality.tower after it, or give a folder"
        ) from error
    return model, timm.data.resolve_model_data_config(model)


def _as_timm(model: Any) -> Any:
    """The same image tower as a network of timm's.

    Raises:
        UsageError: its activation is none that both have.
    """
    timm, config = _timm(), model.config
    import torch

    if config.hidden_act not in ("quick_gelu", "gelu"):
        raise UsageError(f"no tower of timm's has the activation {config.hidden_act}")
    network = timm.models.VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch_size,
        in_chans=config.num_channels,
        num_classes=config.projection_dim,
        embed_dim=config.hidden_size,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        mlp_ratio=config.intermediate_size / config.hidden_size,
        norm_layer=partial(torch.nn.LayerNorm, eps=config.layer_norm_eps),
        act_layer=config.hidden_act,
        pre_norm=True,
        weight_init="skip",
    )
    network.load_state_dict(timm_names(model.state_dict()))
    return network


def _timm() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import timm

    return timm


def _unit(embeddings: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(embeddings.float(), dim=-1)
