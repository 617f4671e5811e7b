"""How pixels become bytes and come back: pictures, depth, normals.

Depth: 16-bit PNG codes over the map's own range; value = code * scale + offset. Normals: 8-bit PNG,
RGB = (n + 1) / 2. Both open in common tools, and any PNG of such content is read.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError
from humanverse.png import encode_png

CODES = 65535


def decode_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """One of our JPEGs as (H, W, 3) sRGB.

    Raises:
        DataError: it cannot be decoded.
    """
    return np.asarray(_decoded(jpeg, cv2.IMREAD_COLOR_RGB), np.uint8)


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
    scale = np.float32((high - low) / CODES) or np.float32(1)
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
    codes = _decoded(png, cv2.IMREAD_UNCHANGED)
    return np.asarray(codes, np.float32) * np.float32(scale) + np.float32(offset)


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
    codes = _decoded(png, cv2.IMREAD_COLOR_RGB)
    vectors = np.asarray(codes, np.float32) / 127.5 - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)


def _decoded(data: bytes, how: int) -> Any:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    if pixels is None:
        raise DataError("a stored picture cannot be decoded: run `humanverse verify`")
    return pixels
