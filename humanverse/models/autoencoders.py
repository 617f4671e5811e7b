"""Autoencoders that turn pictures into latents: those of a diffusers folder, and TAEF2.

They are `humanverse.train.latents.Autoencoder`s, frozen. A folder holds an AutoencoderKL (Stable
Diffusion's, SDXL's, FLUX.1's) or an AutoencoderTiny: `config.json` and one file of safetensors, as
`vae/` of a pipeline does. What a KL gives is the mean of its posterior: once it is kept, a sample's
noise would be the same in each epoch.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from humanverse.errors import UsageError
from humanverse.models import store
from humanverse.models.hub_folder import CONFIG, library, read_json, refuse_missing
from humanverse.models.weight_files import load_weights
from humanverse.stage import weights_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from humanverse.models.autoencoder_networks import Coder

KINDS: Final = {
    "AutoencoderKL": "block_out_channels",
    "AutoencoderTiny": "encoder_block_out_channels",
}
"""Classes, and the setting of each that has an entry for every resolution."""
WEIGHTS: Final = "diffusion_pytorch_model.safetensors"
LISTED: Final = {"taef2": ("taef2/encoder", "taef2/decoder")}
"""Those that the store of weights has, by name."""
LISTED_STRIDE: Final = 8


class FrozenAutoencoder:
    """Pixels to latents and back, on the device where they are."""

    def __init__(self, coder: Coder, identity: str) -> None:
        self.coder = coder.eval().requires_grad_(False)
        self.channels, self.stride = coder.channels, coder.stride
        self.identity = identity
        """Differs between autoencoders whose latents differ."""

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, C, H / stride, W / stride), spread about 1."""
        return self.coder.to(pixels.device).encode(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """The way back, which may leave [-1, 1]."""
        return self.coder.to(latents.device).decode(latents)


def check(name: str) -> int:
    """The stride of an autoencoder: pixels that a latent is wide, known without loading it.

    Raises:
        UsageError: there is no such folder, or a file or a package is missing.
    """
    if name in LISTED:
        return LISTED_STRIDE
    folder, known = Path(name), ", ".join(LISTED)
    if not (folder / CONFIG).is_file():
        raise UsageError(
            f"no autoencoder {name!r}: choose of {known}, or give a folder of diffusers' with a "
            f"{CONFIG}, such as a pipeline's vae"
        )
    if find_spec("diffusers") is None:
        raise UsageError("an autoencoder's folder needs: pip install 'humanverse[annotate]'")
    config = read_json(folder / CONFIG)
    kind = config.get("_class_name")
    if kind not in KINDS or not config.get(KINDS[kind]):
        raise UsageError(f"{folder} holds a {kind}; {' or '.join(KINDS)} is wanted")
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"{folder} has no {WEIGHTS}: pickled weights are not opened")
    return int(2 ** (len(config[KINDS[kind]]) - 1))


def identity(name: str) -> str:
    """What `FrozenAutoencoder.identity` is going to be: the hash of the weights."""
    if name in LISTED:
        return f"sha256:{store.find(LISTED[name][0]).sha256}"
    return weights_sha256(Path(name))


def opened(name: str) -> FrozenAutoencoder:
    """An autoencoder by the name of a listed one, or by its folder.

    Raises:
        UsageError: as `check`, or the weights are of another network.
        WeightsMissing: a listed one cannot be had.
    """
    check(name)
    from humanverse.models import autoencoder_networks as networks

    if name in LISTED:
        encoder, decoder = (load_weights(store.weight_path(part)) for part in LISTED[name])
        return FrozenAutoencoder(networks.taef2(encoder, decoder), identity(name))
    return FrozenAutoencoder(networks.of_diffusers(_loaded(Path(name))), identity(name))


def _loaded(folder: Path) -> Any:
    """A folder's network.

    Raises:
        UsageError: its files do not make up one.
    """
    library()  # the same switches, before the hub's own package is imported
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    import diffusers

    kind = getattr(diffusers, str(read_json(folder / CONFIG)["_class_name"]))
    try:
        network, told = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{folder} cannot be loaded as {kind.__name__}: {why}") from error
    refuse_missing(folder, told)
    return network.float()
