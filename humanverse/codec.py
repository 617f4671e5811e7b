"""How pixels become bytes and come back: pictures, depth, normals.

Depth: 16-bit PNG codes over the map's own range; value = code * scale + offset. Normals: 8-bit PNG,
RGB = (n + 1) / 2. Both open in common tools, and any PNG of such content is read.
"""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from humanverse.errors import DataError
from humanverse.png import Opened, encode_png

CODES = 65535
SUM = np.ones((1, 3), np.float32)


Room = NDArray[Any] | None
"""An array that a result is written to if it is of that shape and type, and is then the result."""


def decode_jpeg(jpeg: bytes | memoryview, factor: int = 1, out: Room = None) -> NDArray[np.uint8]:
    """One of our JPEGs as (H, W, 3) sRGB or, by a factor of 2, 4 or 8, so much smaller.

    A smaller one is decoded from fewer frequencies, each pixel about the mean of those it replaces;
    sides are rounded up.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        height, width = (-(-side // factor) for side in simplejpeg.decode_jpeg_header(jpeg)[:2])
        room = _room(out, (height, width, 3), np.uint8)
        simplejpeg.decode_jpeg(jpeg, min_height=height, min_width=width, buffer=room)
    except ValueError as error:
        raise DataError(f"a stored picture cannot be decoded: {error}") from error
    return room


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


def decode_depth(
    png: bytes | memoryview, scale: float, offset: float, out: Room = None
) -> NDArray[np.float32]:
    """The map, (H, W), in the unit its kind tells.

    Raises:
        DataError: it cannot be decoded.
    """
    file = _opened(png, 2)
    depth = _room(out, file.shape, np.float32)
    for first, codes in file.strips():
        depth_of(codes, scale, offset, depth[first : first + len(codes)])
    return depth


def depth_of(
    codes: NDArray[Any], scale: float, offset: float, out: Room = None
) -> NDArray[np.float32]:
    """The map that codes (H, W) stand for."""
    depth = _room(out, codes.shape, np.float32)
    np.multiply(codes, np.float32(scale), out=depth, dtype=np.float32)
    depth += np.float32(offset)
    return depth


def encode_normals(normals: NDArray[np.float32]) -> bytes:
    """Unit vectors (H, W, 3) as PNG."""
    return encode_png(normal_codes(normals))


def normal_codes(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit vectors (H, W, 3) as red, green and blue."""
    # It takes the absolute value, too, which changes nothing: no component is below -1.
    return np.asarray(cv2.convertScaleAbs(normals, alpha=127.5, beta=127.5), np.uint8)


def decode_normals(png: bytes | memoryview, out: Room = None) -> NDArray[np.float32]:
    """Unit vectors, (H, W, 3): +X right, +Y up, +Z towards the viewer.

    Raises:
        DataError: it cannot be decoded.
    """
    file = _opened(png, 3)
    normals = _room(out, file.shape, np.float32)
    for first, codes in file.strips():
        normals_of(codes, normals[first : first + len(codes)])
    return normals


def normals_of(codes: NDArray[Any], out: Room = None) -> NDArray[np.float32]:
    """The unit vectors that red, green and blue of 8 bits, (H, W, 3), stand for."""
    vectors = _room(out, codes.shape, np.float32)
    vectors[:] = codes
    vectors -= np.float32(127.5)
    length = cv2.sqrt(cv2.transform(cv2.multiply(vectors, vectors), SUM))
    cv2.divide(vectors, cv2.merge([length] * 3), dst=vectors)  # no code stands for 0
    return vectors


def decode_codes(png: bytes | memoryview, axes: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A stored map's codes: (H, W) for 2 axes, (H, W, 3) for 3.

    Raises:
        DataError: it cannot be decoded.
    """
    return _opened(png, axes).pixels()


def _opened(png: bytes | memoryview, axes: int) -> Opened:
    try:
        file = Opened(png)
    except ValueError as error:
        raise DataError(f"a stored map cannot be decoded: {error}") from error
    if len(file.shape) != axes or (axes == 3 and file.dtype is not np.uint8):
        raise DataError("a stored map is of another kind than its name says")
    return file


def _room(out: Room, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    fits = out is not None and out.shape == shape and out.dtype == kind and out.flags.c_contiguous
    return cast(NDArray[Any], out) if fits else np.empty(shape, kind)
