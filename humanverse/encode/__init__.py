"""Encode: latents and text embeddings of samples, so that no epoch has to reckon them anew."""

from humanverse.encode.latents import EncodeLatents, Latents
from humanverse.encode.text import EncodeText, Text

__all__ = ["EncodeLatents", "EncodeText", "Latents", "Text"]
