"""How pixels become bytes and come back: pictures, depth, normals.

Depth: 16-bit PNG codes over the map's own range; value = code * scale + offset. Normals: 8-bit PNG,
RGB = (n + 1) / 2. Both open in common tools, and any PNG of such content is read.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from humanverse.errors import DataError
from humanverse.png import decode_png, encode_png

CODES = 65535
COMPONENT = (np.arange(256, dtype=np.float32) / 127.5 - 1)[None]
"""What an 8-bit code of normals stands for."""


def decode_jpeg(jpeg: bytes | memoryview, factor: int = 1) -> NDArray[np.uint8]:
    """One of our JPEGs as (H, W, 3) sRGB or, by a factor of 2, 4 or 8, so much smaller.

    A smaller one is decoded from fewer frequencies, each pixel about the mean of those it replaces;
    sides are rounded up.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        height, width = (-(-side // factor) for side in simplejpeg.decode_jpeg_header(jpeg)[:2])
        pixels = simplejpeg.decode_jpeg(jpeg, min_height=height, min_width=width)
    except ValueError as error:
        raise DataError(f"a stored picture cannot be decoded: {error}") from error
    return np.asarray(pixels, np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) sRGB as a JPEG without metadata."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    return data.tobytes()


def encode_depth(depth: NDArray[np.float32]) -> tuple[bytes, float, float]:
    """A finite (H, W) map as (PNG, scale, offset); the error is half a scale, and rounding.

    Raises:
        ValueError: it is not finite.
    """
    codes, scale, offset = depth_codes(depth)
    return encode_png(codes), scale, offset


def depth_codes(depth: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """A finite (H, W) map as (codes, scale, offset).

    Raises:
        ValueError: it is not finite.
    """
    low, high = np.float32(depth.min()), np.float32(depth.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError("a depth map that is not finite cannot be stored")
    scale = np.float32((high - low) / CODES)
    if scale < np.finfo(np.float32).tiny:  # flat, but for what 32 bits cannot tell apart
        scale = np.float32(1)
    codes = np.subtract(depth, low, dtype=np.float32)
    # In place: passing over memory is what this costs.
    np.divide(codes, scale, out=codes)
    np.rint(codes, out=codes)
    np.minimum(codes, CODES, out=codes)
    return codes.astype(np.uint16), float(scale), float(low)


def decode_depth(png: bytes, scale: float, offset: float) -> NDArray[np.float32]:
    """The map, (H, W), in the unit its kind tells.

    Raises:
        DataError: it cannot be decoded.
    """
    return depth_of(decode_codes(png), scale, offset)


def depth_of(
    codes: NDArray[np.uint8] | NDArray[np.uint16], scale: float, offset: float
) -> NDArray[np.float32]:
    """The map that codes (H, W) stand for."""
    depth = codes.astype(np.float32)
    depth *= np.float32(scale)
    depth += np.float32(offset)
    return depth


def encode_normals(normals: NDArray[np.float32]) -> bytes:
    """Unit vectors (H, W, 3) as PNG."""
    return encode_png(normal_codes(normals))


def normal_codes(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit vectors (H, W, 3) as red, green and blue."""
    # It takes the absolute value, too, which changes nothing: no component is below -1.
    return np.asarray(cv2.convertScaleAbs(normals, alpha=127.5, beta=127.5), np.uint8)


def decode_normals(png: bytes) -> NDArray[np.float32]:
    """Unit vectors, (H, W, 3): +X right, +Y up, +Z towards the viewer.

    Raises:
        DataError: it cannot be decoded.
    """
    return normals_of(decode_codes(png))


def normals_of(codes: NDArray[Any]) -> NDArray[np.float32]:
    """The unit vectors that red, green and blue (H, W, 3) stand for.

    Raises:
        DataError: these are not colours of 8 bits.
    """
    if codes.ndim != 3 or codes.dtype != np.uint8:
        raise DataError("a stored map of normals is none")
    vectors = np.asarray(cv2.LUT(codes, COMPONENT), np.float32)
    squares = cv2.transform(cv2.LUT(codes, COMPONENT**2), np.ones((1, 3), np.float32))
    np.sqrt(squares, out=squares)  # never 0: no code stands for 0
    vectors /= squares[..., None]
    return vectors


def decode_codes(png: bytes | memoryview) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A stored map's codes: (H, W), or (H, W, 3).

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        return decode_png(png)
    except ValueError as error:
        raise DataError(f"a stored map cannot be decoded: {error}") from error
