"""Bytes to the picture that is stored: an upright sRGB JPEG without metadata.

A plain JPEG that is small enough keeps its pixels as they came: it is decoded once, at an eighth of
its size, to know that it is whole. One that is too large is decoded near the size it will have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from humanverse.codec import encode_jpeg
from humanverse.collect import jpeg, pixels

EIGHTHS = 8
NEAR = 4 / 3
"""Shrinking by no more than this, cubic interpolation is as close to Lanczos as averaging areas is
(docs/decisions/0008), and takes a quarter of its time."""

HASHED = 48
"""Pixels that the shorter side of a picture should have to be hashed."""

_TURNS: dict[int, tuple[bool, int | None]] = {
    1: (False, None),
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
"""EXIF orientation to: transpose first?, then OpenCV's code for the flip."""


class BadPicture(Exception):
    """Bytes that do not become a picture; `reason` is one of the schema's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is taken, and what is stored of it."""

    max_side: int
    """Longest side of what is stored, pixels."""
    min_side: int
    """Shortest side that is taken, pixels as served."""
    max_pixels: int
    """Most pixels that are decoded."""
    quality: int
    """Of a JPEG that has to be made."""
    square: int | None = None
    """Side of the square that is stored, pixels, of what is in the middle; all of it if None."""
    enlarge: bool = False
    """Whether a square that is smaller than that is made larger."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright sRGB JPEG and where it came from."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    """Upright, as served."""
    original_height: int
    format: str
    phash: str


def normalise(data: bytes, bounds: Bounds) -> Picture:
    """Decode, turn upright, convert to sRGB, cut and shrink, encode: as far as needed.

    Of an animation the first frame is taken.

    Raises:
        BadPicture: with `not_image`, `broken_image`, `too_many_pixels`, `too_small` or `poison`.
    """
    try:
        found = jpeg.plain(data)
        if found is not None:
            _check(found.width, found.height, bounds)
            try:
                return _kept(found) if _fits(found, bounds) else _remade(data, found, bounds)
            except ValueError:  # the fast decoder is strict; the other one forgives what can be
                pass
        return _read(data, bounds)
    except (MemoryError, cv2.error):  # OpenCV's way to say that there is no memory
        raise BadPicture("poison") from None


def _check(width: int, height: int, bounds: Bounds) -> None:
    """Refuse a picture by its header."""
    if width * height > bounds.max_pixels:
        raise BadPicture("too_many_pixels")
    if min(width, height) < bounds.min_side:
        raise BadPicture("too_small")


def _fits(found: jpeg.Plain, bounds: Bounds) -> bool:
    if bounds.square is not None:
        small = found.width == found.height == bounds.square
    else:
        small = max(found.width, found.height) <= bounds.max_side
    return small and found.orientation == 1 and found.components == 3 and not found.profile


def _kept(found: jpeg.Plain) -> Picture:
    """As it came, less its metadata."""
    size = found.width, found.height
    part = min(1.0, max(1 / EIGHTHS, HASHED / min(size)))
    # What is stored is what is looked at.
    gray = _decoded(found.stripped, (size[0] * part, size[1] * part), "GRAY")[..., 0]
    return Picture(found.stripped, *size, *size, "JPEG", perceptual_hash(gray))


def _remade(data: bytes, found: jpeg.Plain, bounds: Bounds) -> Picture:
    """Decoded at the size that the shrinking needs, shrunk, turned and encoded anew."""
    scale = _scale((found.width, found.height), bounds)
    read = _decoded(data, decoding_size(found.width, found.height, scale), "RGB")
    if found.profile:
        read = pixels.to_srgb(read, found.profile)
    return _finished(read, (found.width, found.height), found.orientation, "JPEG", bounds)


def _read(data: bytes, bounds: Bounds) -> Picture:
    """Any other file, by Pillow."""
    try:
        with pixels.opened(data) as image:
            stored, kind = image.size, image.format or ""
            _check(*stored, bounds)
            orientation = pixels.orientation(image)
            read = pixels.srgb(image, _shrunk(stored, bounds))
    except UnidentifiedImageError:
        raise BadPicture("not_image") from None
    except pixels.MALFORMED as error:
        raise BadPicture("broken_image") from error
    return _finished(read, stored, orientation, kind, bounds)


def _scale(size: tuple[int, int], bounds: Bounds) -> float:
    """By how much a picture is shrunk as a whole: not at all before a square is cut out."""
    return 1.0 if bounds.square is not None else min(1.0, bounds.max_side / max(size))


def _shrunk(size: tuple[int, int], bounds: Bounds) -> tuple[int, int]:
    scale = _scale(size, bounds)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _finished(
    read: NDArray[np.uint8], stored: tuple[int, int], orientation: int, kind: str, bounds: Bounds
) -> Picture:
    """Shrunk, turned upright, and cut. `stored` is the size before all of it."""
    read = shrink(read, _shrunk(stored, bounds))
    transposed, flip = _TURNS[orientation]
    read = _array(cv2.transpose(read)) if transposed else read
    read = read if flip is None else _array(cv2.flip(read, flip))
    if bounds.square is not None:
        read = _squared(read, bounds.square, enlarge=bounds.enlarge)
    return _encoded(read, stored[::-1] if transposed else stored, kind, bounds)


def centre(width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side of the largest square amid a picture, pixels."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def _squared(upright: NDArray[np.uint8], wanted: int, *, enlarge: bool) -> NDArray[np.uint8]:
    """The middle of a picture, at a side of `wanted` pixels, or less if it is not enlarged."""
    left, top, side = centre(upright.shape[1], upright.shape[0])
    wanted = wanted if enlarge else min(side, wanted)
    return shrink(upright[top : top + side, left : left + side], (wanted, wanted))


def _encoded(
    upright: NDArray[np.uint8], served: tuple[int, int], kind: str, bounds: Bounds
) -> Picture:
    height, width = upright.shape[:2]
    phash = perceptual_hash(_array(cv2.cvtColor(upright, cv2.COLOR_RGB2GRAY)))
    return Picture(encode_jpeg(upright, bounds.quality), width, height, *served, kind, phash)


def decoding_size(width: int, height: int, scale: float) -> tuple[float, float]:
    """The least size to decode a JPEG at before it is shrunk by `scale`; the decoder knows eighths.

    Above half its size a reduced picture costs more than a whole one, and is worth it only where
    it leaves so little to shrink that interpolating will do.
    """
    eighths = EIGHTHS if scale * NEAR >= 1 else max(1, math.ceil(scale * EIGHTHS - 1e-9))
    return width * eighths / EIGHTHS, height * eighths / EIGHTHS


def shrink(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An (H, W, 3) picture at another (width, height), which is seldom larger."""
    height, width = image.shape[:2]
    if size == (width, height):
        return np.ascontiguousarray(image)
    ratio = max(width / size[0], height / size[1])
    kind = cv2.INTER_CUBIC if ratio <= NEAR else cv2.INTER_AREA
    return _array(cv2.resize(image, size, interpolation=kind))


def perceptual_hash(gray: NDArray[np.uint8]) -> str:
    """The DCT hash of `imagehash.phash`, which COYO's tables carry: 64 bits in 16 hex digits.

    Each bit tells whether one of the 8 x 8 lowest frequencies of the picture at 32 x 32 exceeds
    their median.
    """
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = np.asarray(cv2.dct(small), np.float32)[:8, :8]
    # That library's transform is not orthonormal: its zero frequencies weigh more than OpenCV's.
    low[0] *= np.float32(math.sqrt(2))
    low[:, 0] *= np.float32(math.sqrt(2))
    middle = np.partition(low, (31, 32), axis=None)[31:33].mean()  # as np.median, in a fifth of it
    return np.packbits(low > middle).tobytes().hex()


def _decoded(data: bytes, size: tuple[float, float], colours: str) -> NDArray[np.uint8]:
    """At the least size of whole eighths that is not below `size`.

    Raises:
        ValueError: the decoder has anything to complain of.
    """
    width, height = math.floor(size[0]), math.floor(size[1])
    return np.asarray(
        simplejpeg.decode_jpeg(data, colours, min_width=width, min_height=height), np.uint8
    )


def _array(image: NDArray[Any]) -> NDArray[np.uint8]:
    """OpenCV's stubs do not tell that bytes stay bytes."""
    return np.asarray(image, np.uint8)
