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

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageCms

from humanverse.collect import jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MOST_PIECES = 1 << 14
"""Strips or tiles of a TIFF. Pillow goes through them in Python, whatever their size."""
PIECES = frozenset({273, 324})
"""TIFF's tags that hold where they begin."""
MOST_RUNS = 1 << 20
"""Bytes of a packed BMP: its runs, too, are read in Python."""
SPARE = 2
"""What is left to shrink with more care, once a picture was reduced by a whole number."""
MOST_PROFILE = 4 << 20
"""Bytes; those for print take up to 2 MB."""
MALFORMED = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError),
    *(AttributeError, RuntimeError, struct.error),
)
"""What readers are seen to raise on malformed files: AVIF's alone a RuntimeError."""

Image.init()  # loads all readers; `FORMATS` then says which may be used
Image.MAX_IMAGE_PIXELS = None  # the header is judged by the caller, before any pixel is decoded
# One thread for each child: those of a machine with many cores map more memory than a child may.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The picture's header: `size` and `format` are known, nothing is decoded.

    Raises:
        UnidentifiedImageError: it is none of `FORMATS`.
        ValueError: it would take long for what it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which is dropped anyway
        if data.startswith(jpeg.SOI) and jpeg.takes_long(data):
            raise ValueError("segments without end")
        if _directory_entries(data) > MOST_PIECES:
            raise ValueError("pieces without end")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.info.get("compression") in ("jpeg", "tiff_jpeg") and jpeg.takes_long(data):
                raise ValueError("segments without end")
            if image.format == "BMP" and image.tile[0][0] == "bmp_rle" and len(data) > MOST_RUNS:
                raise ValueError("runs without end")
            yield image


def srgb(image: Image.Image, wanted: tuple[int, int]) -> NDArray[np.uint8]:
    """The first frame as stored, (H, W, 3) sRGB, at a size that is not below `wanted`."""
    image.draft(None, wanted)
    image.load()
    return np.asarray(_srgb(_reduced(image, wanted)))


def orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1 is upright."""
    for name in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)  # Pillow would heed an orientation in it, browsers do not
    try:
        value = int(image.getexif().get(0x0112, 1))
    except MALFORMED:
        return 1  # metadata that cannot be read says nothing
    return value if 1 <= value <= 8 else 1


def to_srgb(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of an ICC profile's colours as sRGB."""
    return np.asarray(_by_profile(Image.fromarray(rgb), profile))


def _directory_entries(data: bytes) -> int:
    """The most values that a tag in a TIFF's first directory has; 0 for another file."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    try:
        if order is None:
            return 0
        if struct.unpack_from(f"{order}H", data, 2)[0] == 43:  # with places of 64 bits
            kinds, place = ("Q", "HHQQ"), struct.unpack_from(f"{order}Q", data, 8)[0]
        else:
            kinds, place = ("H", "HHII"), struct.unpack_from(f"{order}I", data, 4)[0]
        (number,) = struct.unpack_from(order + kinds[0], data, place)
        entry, place = struct.Struct(order + kinds[1]), place + struct.calcsize(kinds[0])
        end = place + min(number, MOST_PIECES) * entry.size
        tags = entry.iter_unpack(data[place : end - (end - place) % entry.size])
        return max((count for tag, _, count, _ in tags if tag in PIECES), default=0)
    except struct.error:
        return 0


def _reduced(image: Image.Image, wanted: tuple[int, int]) -> Image.Image:
    """A much larger picture at a whole part of its size, so that all else costs little."""
    factor = max(image.size) // max(SPARE * max(wanted), 1)
    if factor < 2 or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    if "transparency" in image.info:  # one colour of all, which a mean is not
        return image
    if image.mode == "RGBA":  # colours count as much as they are seen
        return image.convert("RGBa").reduce(factor).convert("RGBA")
    return image.reduce(factor)


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
    if len(profile) > MOST_PROFILE:
        return image
    try:
        out = ImageCms.applyTransform(image, _to_srgb(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that does not fit its image is passed over, as browsers do
    return out if isinstance(out, Image.Image) else image


@lru_cache(maxsize=8)
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
