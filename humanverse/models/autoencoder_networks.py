"""Networks of autoencoders under one roof: latents as diffusion models are trained on them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from humanverse.models import taef2 as taef2s


class Coder(nn.Module):
    """A network's own latents, less a shift, times a factor. Its `forward` encodes."""

    def __init__(self, network: Any, channels: int, stride: int) -> None:
        super().__init__()
        self.network: Any = network
        self.channels, self.stride = channels, stride
        self.factor, self.shift = 1.0, 0.0

    def forward(self, pixels: Tensor) -> Tensor:
        """See `encode`."""
        return self.encode(pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, C, H / stride, W / stride)."""
        return (self.raw(pixels) - self.shift) * self.factor

    def decode(self, latents: Tensor) -> Tensor:
        """The way back."""
        return self.pixels(latents / self.factor + self.shift)

    def raw(self, pixels: Tensor) -> Tensor:
        """The network's latents."""
        latents: Tensor = self.network.encode(pixels)
        return latents

    def pixels(self, raw: Tensor) -> Tensor:
        """Pixels of the network's latents."""
        pixels: Tensor = self.network.decode(raw)
        return pixels


class _Kl(Coder):
    def raw(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.network.encode(pixels).latent_dist.mode()
        return latents

    def pixels(self, raw: Tensor) -> Tensor:
        pixels: Tensor = self.network.decode(raw).sample
        return pixels


class _Tiny(_Kl):
    def raw(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.network.encode(pixels).latents
        return latents


def of_diffusers(network: Any) -> Coder:
    """An AutoencoderKL or AutoencoderTiny, scaled as its config says."""
    config = network.config
    tiny = type(network).__name__ == "AutoencoderTiny"
    levels = config.encoder_block_out_channels if tiny else config.block_out_channels
    kind = _Tiny if tiny else _Kl
    coder = kind(network, config.latent_channels, 2 ** (len(levels) - 1))
    coder.factor, coder.shift = float(config.scaling_factor), float(config.shift_factor or 0)
    return coder


def taef2(encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> Coder:
    """TAEF2 out of its two files; its latents are spread by 0.85 as they are."""
    return Coder(taef2s.filled(encoder, decoder), taef2s.CHANNELS, taef2s.STRIDE)
