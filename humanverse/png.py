"""PNG files of maps, written and read fast: one filter for all rows, and deflate by ISA-L.

OpenCV and Pillow try filters row by row and deflate with zlib, which takes ten times as long on
maps. The files are plain PNG: any reader opens them, and any other PNG is read by OpenCV.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, cast

import cv2
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
UP: Final = 2
"""The filter: each byte less the one above it. Maps change little from row to row."""
LEVEL: Final = 0
"""The fastest; the next one takes 1.5 x as long for files a fifth smaller."""
GRAY, RGB = 0, 2
STRIP: Final = 64
"""Rows that are read at a time."""
LARGEST: Final = 1 << 31
"""Bytes of pixels; OpenCV says what it thinks of more."""


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """(H, W) of 8 or 16 bits, or (H, W, 3) of 8 or 16 bits as red, green and blue, as a PNG.

    Raises:
        ValueError: the array is of another shape or type, or empty.
    """
    is_map = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_map or pixels.dtype not in (np.uint8, np.uint16) or pixels.size == 0:
        raise ValueError(f"no PNG holds {pixels.dtype} of shape {pixels.shape}")
    height, width = pixels.shape[:2]
    bits, colour = 8 * pixels.itemsize, GRAY if pixels.ndim == 2 else RGB
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    packed = isal_zlib.compress(_filtered(pixels), LEVEL)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


class Opened:
    """Any PNG of (H, W), or (H, W, 3) as red, green and blue, of 8 or 16 bits.

    Its pixels come some rows at a time, so that what is made of them stays in the cache. `shape`
    and `dtype` are theirs.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        """Read a file.

        Raises:
            ValueError: it is none, or damaged.
        """
        self.dtype: type[np.uint8 | np.uint16]
        self.shape: tuple[int, ...]
        self._rows: NDArray[np.uint8] | None = None
        self._pixels: NDArray[Any] | None = None
        try:
            known = self._read(memoryview(data))
        except (struct.error, IsalError) as error:  # type: ignore[misc]  # its stub forgets its base
            raise ValueError("it is cut short, or damaged") from error
        if not known:
            self._pixels = _any(data)
            self.shape, self.dtype = self._pixels.shape, self._pixels.dtype.type

    def pixels(self) -> NDArray[Any]:
        """All of them, of `shape` and `dtype`."""
        pixels = np.empty(self.shape, self.dtype)
        for first, rows in self.strips():
            pixels[first : first + len(rows)] = rows
        return pixels

    def strips(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Number of the first row, and rows: each only until the next is asked for."""
        if self._rows is None:
            assert self._pixels is not None
            for first in range(0, len(self._pixels), STRIP):
                yield first, self._pixels[first : first + STRIP]
            return
        above = np.zeros(self._rows.shape[1] - 1, np.uint8)
        summed = np.empty((STRIP, len(above)), np.uint8)
        for first in range(0, len(self._rows), STRIP):
            part = self._rows[first : first + STRIP]
            # Row by row NumPy adds 32 bytes at a time; down the columns it adds one.
            for number, row in enumerate(part):
                np.add(above, row[1:], out=summed[number])
                above = summed[number]
            above = above.copy()
            out = summed[: len(part)]
            pixels = out.view(">u2") if self.dtype is np.uint16 else out
            yield first, pixels.reshape(-1, *self.shape[1:])

    def _read(self, data: memoryview) -> bool:
        """Inflate a file as we write it; False if it is another."""
        if bytes(data[:16]) != SIGNATURE + b"\0\0\0\rIHDR" or bytes(data[37:41]) != b"IDAT":
            return False
        width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
        (length,) = struct.unpack(">I", data[33:37])
        end, row = 41 + length, width * (bits // 8) * (3 if colour == RGB else 1) + 1
        if bits not in (8, 16) or colour not in (GRAY, RGB) or any(rest) or len(data) != end + 16:
            return False
        if not 0 < height * row < LARGEST:
            return False
        (told,) = struct.unpack(">I", data[end : end + 4])
        if isal_zlib.crc32(data[37:end]) != told:
            raise ValueError("its checksum is another")
        inflate = isal_zlib.decompressobj()
        raw = np.frombuffer(inflate.decompress(data[41:end], height * row), np.uint8)
        if raw.size != height * row or not inflate.eof:
            raise ValueError("it holds less than it says, or more")
        if (raw[::row] != UP).any():
            return False
        self._rows, self.dtype = raw.reshape(height, row), np.uint16 if bits == 16 else np.uint8
        self.shape = (height, width, 3) if colour == RGB else (height, width)
        return True


def _any(data: bytes | memoryview) -> NDArray[np.uint8] | NDArray[np.uint16]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError("it is no PNG of 8 or 16 bits")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)
    return cast(NDArray[np.uint8], pixels)


def _filtered(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Rows of bytes, high ones first, each behind the number of its filter: (H, 1 + bytes)."""
    high_first = np.ascontiguousarray(pixels.byteswap() if pixels.itemsize == 2 else pixels)
    rows = high_first.view(np.uint8).reshape(len(pixels), -1)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = UP
    out[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    return out


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
