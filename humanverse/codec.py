"""How pixels become bytes and come back: pictures, depth, normals.

Depth: 16-bit PNG codes over the map's own range; value = code * scale + offset. Normals: 8-bit PNG,
RGB = (n + 1) / 2. Both open in common tools.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError

CODES = 65535
FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def decode_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """One of our JPEGs as (H, W, 3) sRGB.

    Raises:
        DataError: it cannot be decoded.
    """
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise DataError("a stored picture cannot be decoded: run `humanverse verify`")
    return np.asarray(pixels, np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) sRGB as a JPEG without metadata."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    return data.tobytes()


def encode_depth(depth: NDArray[np.float32]) -> tuple[bytes, float, float]:
    """A finite (H, W) map as (PNG, scale, offset); the error is at most half a scale."""
    low, high = float(depth.min()), float(depth.max())
    offset = float(np.float32(low))
    scale = float(np.float32((high - low) / CODES)) or 1.0
    codes = np.clip(np.rint((depth.astype(np.float64) - offset) / scale), 0, CODES)
    return _png(codes.astype(np.uint16)), scale, offset


def decode_depth(png: bytes, scale: float, offset: float) -> NDArray[np.float32]:
    """The map, (H, W), in the unit its kind tells."""
    codes = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(codes, np.float32) * np.float32(scale) + np.float32(offset)


def encode_normals(normals: NDArray[np.float32]) -> bytes:
    """Unit vectors (H, W, 3) as PNG."""
    codes = np.clip(np.rint((normals + 1) * 127.5), 0, 255).astype(np.uint8)
    return _png(codes[..., ::-1])


def decode_normals(png: bytes) -> NDArray[np.float32]:
    """Unit vectors, (H, W, 3): +X right, +Y up, +Z towards the viewer."""
    codes = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    vectors = np.asarray(codes, np.float32) / 127.5 - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)


def _png(pixels: NDArray[np.generic]) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels), FAST)
    return data.tobytes()
