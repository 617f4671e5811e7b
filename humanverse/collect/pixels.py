"""Any picture file to upright sRGB pixels, by Pillow: it knows the odd formats, tells a size before
it decodes, and refuses truncated files.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
ROTATING = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
MALFORMED = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError),
    *(AttributeError, RuntimeError, struct.error, cv2.error),
)
"""What readers are seen to raise on malformed files: AVIF's alone a RuntimeError."""

Image.init()  # loads all readers; `FORMATS` then says which may be used
Image.MAX_IMAGE_PIXELS = None  # the header is judged by the caller, before any pixel is decoded


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The picture's header: `size` and `format` are known, nothing is decoded.

    Raises:
        UnidentifiedImageError: it is none of `FORMATS`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which is dropped anyway
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image


def upright(image: Image.Image, wanted: tuple[int, int]) -> tuple[NDArray[np.uint8], bool]:
    """The first frame as upright (H, W, 3) sRGB, and whether width and height changed places.

    A JPEG comes at the least 1/2, 1/4 or 1/8 of its size that is not below `wanted`.
    """
    image.draft(None, wanted)
    orientation = _orientation(image)
    image.load()
    turned = ImageOps.exif_transpose(image) if orientation > 1 else image
    return np.asarray(_srgb(turned)), orientation in ROTATING


def to_srgb(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of an ICC profile's colours as sRGB."""
    return np.asarray(_by_profile(Image.fromarray(rgb), profile))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except MALFORMED:
        return 1  # metadata that cannot be read says nothing


def _srgb(image: Image.Image) -> Image.Image:
    """To 8-bit sRGB: profiles applied, alpha over white, 16 bits scaled down."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_scaled(np.asarray(image)))
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "LA", "PA") or (image.mode == "RGB" and "transparency" in image.info):
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        image = _by_profile(image, profile)
    image = image.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        image = white
    return image


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    image = image.convert("RGB") if image.mode == "RGBA" else image
    try:
        out = ImageCms.applyTransform(image, _to_srgb(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that does not fit its image is passed over, as browsers do
    return out if isinstance(out, Image.Image) else image


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Kept, because making one takes longer than using it, and few profiles serve most pictures."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, _SRGB, mode, "RGB")


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Wide integers or floats to 8 bits by their declared or actual range."""
    top = 65535.0 if values.dtype.kind == "i" and values.max(initial=0) > 255 else 255.0
    if values.dtype.kind == "f" and values.max(initial=0) <= 1:
        top = 1.0
    return np.asarray(np.clip(np.nan_to_num(values) * (255.0 / top), 0, 255), np.uint8)


_SRGB = ImageCms.createProfile("sRGB")
