"""Bytes to an upright sRGB JPEG without metadata.

Pillow reads: it knows the odd formats, checks the header before the pixels and refuses truncated
files. JPEG is decoded at a reduced size where the wanted size allows.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from humanverse.codec import encode_jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
ROTATING = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""

Image.init()  # loads all readers; `FORMATS` then says which may be used
Image.MAX_IMAGE_PIXELS = None  # the header is judged here, before any pixel, against the recipe


MALFORMED = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError),
    *(AttributeError, RuntimeError, MemoryError, struct.error, cv2.error),
)
"""What readers are seen to raise on malformed files: AVIF's alone a RuntimeError."""


class BadPicture(Exception):
    """Bytes that do not become a picture; `reason` is one of the schema's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright sRGB JPEG and where it came from."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    format: str
    phash: str


def normalise(
    data: bytes, *, max_side: int, min_side: int, max_pixels: int, quality: int
) -> Picture:
    """Decode, turn upright, convert to sRGB, shrink to `max_side`, encode.

    Of an animation the first frame is taken.

    Raises:
        BadPicture: with `not_image`, `broken_image`, `too_many_pixels` or `too_small`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is dropped anyway
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                return _normalise(opened, max_side, min_side, max_pixels, quality)
    except UnidentifiedImageError:
        raise BadPicture("not_image") from None
    except MALFORMED as error:
        raise BadPicture("broken_image") from error


def _normalise(
    opened: Image.Image, max_side: int, min_side: int, max_pixels: int, quality: int
) -> Picture:
    kind = opened.format or ""
    width, height = opened.size
    if width * height > max_pixels:
        raise BadPicture("too_many_pixels")
    if min(width, height) < min_side:
        raise BadPicture("too_small")
    opened.draft(None, _target(width, height, max_side))  # JPEG only: decodes at 1/2^n above it
    orientation = _orientation(opened)
    opened.load()
    image = _srgb(ImageOps.exif_transpose(opened) if orientation > 1 else opened)
    if orientation in ROTATING:
        width, height = height, width
    pixels = _shrunk(np.asarray(image), max_side)
    return Picture(
        encode_jpeg(pixels, quality),
        pixels.shape[1],
        pixels.shape[0],
        width,
        height,
        kind,
        perceptual_hash(pixels),
    )


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
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        base = image.convert("RGB") if image.mode == "RGBA" else image
        out: Any = ImageCms.profileToProfile(base, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that does not fit its image is passed over, as browsers do
    return out if isinstance(out, Image.Image) else image


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Wide integers or floats to 8 bits by their declared or actual range."""
    top = 65535.0 if values.dtype.kind == "i" and values.max(initial=0) > 255 else 255.0
    if values.dtype.kind == "f" and values.max(initial=0) <= 1:
        top = 1.0
    return np.asarray(np.clip(np.nan_to_num(values) * (255.0 / top), 0, 255), np.uint8)


def _target(width: int, height: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrunk(pixels: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    size = _target(width, height, max_side)
    if size == (width, height):
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def perceptual_hash(pixels: NDArray[np.uint8]) -> str:
    """64 bits in 16 hex digits: signs of the 8 x 8 lowest frequencies against their median."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.packbits(bits).tobytes().hex()


_SRGB = ImageCms.createProfile("sRGB")
