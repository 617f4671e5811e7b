"""Turned squares of an image: what the BlazePose networks look at, and the way back.

Every network of the family sees a square that is centred on a body part and turned so that the part
stands upright. `Region` is that square; it cuts the crop and maps points between crop and image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import Image

Points = NDArray[np.float64]
"""(..., 2), x and y."""

SMALLEST_SIDE = 1.0
"""Pixels. A smaller square has no picture in it, and its map could not be inverted."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of an image: centre and side in pixels, angle in radians, clockwise on screen."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def whole(cls, image: Image) -> Region:
        """The smallest upright square around a whole image, on its centre."""
        height, width = image.shape[:2]
        return cls(width / 2, height / 2, float(max(height, width)))

    @classmethod
    def of_box(cls, box: NDArray[np.floating], scale: float = 1.0) -> Region:
        """The upright square on the centre of a box (xyxy), `scale` times its longer side."""
        x0, y0, x1, y1 = (float(value) for value in box)
        side = max(x1 - x0, y1 - y0, SMALLEST_SIDE) * scale
        return cls((x0 + x1) / 2, (y0 + y1) / 2, side)

    @classmethod
    def pointing(cls, centre: Points, tip: Points, scale: float, target: float) -> Region:
        """The square on `centre` that reaches to `tip`, turned so that the tip lies at `target`.

        `target` is in degrees counter-clockwise from the crop's right: 90 puts the tip on top.
        """
        x, y = (float(value) for value in tip - centre)
        side = max(2 * float(np.hypot(x, y)), SMALLEST_SIDE) * scale
        angle = _wrapped(np.radians(target) - np.arctan2(-y, x))
        return cls(float(centre[0]), float(centre[1]), side, angle)

    @classmethod
    def around(cls, points: Points, right: Points, left: Points, scale: float) -> Region:
        """The square around points (n, 2), turned so that right to left runs level in the crop."""
        low, high = points.min(axis=0), points.max(axis=0)
        x, y = (float(value) for value in (low + high) / 2)
        side = max(float((high - low).max()), SMALLEST_SIDE) * scale
        dx, dy = (float(value) for value in left - right)
        return cls(x, y, side, _wrapped(-np.arctan2(-dy, dx)))

    def scaled(self, factor: float) -> Region:
        """The same square, larger or smaller."""
        return replace(self, side=max(self.side * factor, SMALLEST_SIDE))

    def raised(self, share: float) -> Region:
        """The same square, moved towards its own top by a share of its side."""
        return replace(
            self,
            x=self.x + self.side * share * float(np.sin(self.angle)),
            y=self.y - self.side * share * float(np.cos(self.angle)),
        )

    def matrix(self, size: int) -> NDArray[np.float64]:
        """(2, 3): takes points of a crop of `size` pixels to the image."""
        cos, sin = (f(self.angle) * self.side / size for f in (np.cos, np.sin))
        half = size / 2
        return np.array(
            [
                [cos, -sin, self.x - half * (cos - sin)],
                [sin, cos, self.y - half * (sin + cos)],
            ]
        )

    def to_image(self, points: NDArray[np.floating], size: int) -> Points:
        """Points (..., 2) of a crop of `size` pixels, in image pixels."""
        matrix = self.matrix(size)
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)

    def to_crop(self, points: NDArray[np.floating], size: int) -> Points:
        """Points (..., 2) of the image, in pixels of a crop of `size` pixels."""
        matrix = self.matrix(size)
        inverse = np.linalg.inv(matrix[:, :2])
        return np.asarray((points - matrix[:, 2]) @ inverse.T, np.float64)

    def crop(self, image: Image, size: int) -> Image:
        """(size, size, 3): what the square shows, black outside the image."""
        source, matrix = _shrunk(image, self, size)
        # OpenCV counts from pixel centres, we from the outer corner of the first pixel.
        matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
        return np.asarray(
            cv2.warpAffine(
                source,
                matrix,
                (size, size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            ),
            np.uint8,
        )


def tiles(image: Image, across: int, overlap: float = 0.3) -> list[Region]:
    """Upright squares that cover an image, row by row, `across` of them along its longer side.

    Each reaches over into its neighbours by `overlap` of its share, so that what one edge cuts
    lies whole in the next.
    """
    height, width = image.shape[:2]
    share = max(height, width) / across
    side = share * (1 + overlap)
    rows, columns = (_spread(length, side, share) for length in (height, width))
    return [Region(x, y, side) for y in rows for x in columns]


def _spread(length: float, side: float, step: float) -> list[float]:
    """Centres of the fewest spans of `side`, at most `step` apart, that cover `length`."""
    count = 1 + max(0, int(np.ceil((length - side) / step - 1e-6)))
    if count == 1:
        return [length / 2]
    return [float(x) for x in np.linspace(side / 2, length - side / 2, count)]


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def _shrunk(image: Image, region: Region, size: int) -> tuple[Image, NDArray[np.float64]]:
    """The part of the image that the region touches, area-averaged where it is much too large.

    Returns it with the matrix that takes crop points to its points. Averaging is by whole numbers
    of pixels, which OpenCV does twenty times faster than by fractions; bilinear sampling does the
    rest, and cannot skip a pixel for less than two of them.
    """
    matrix = region.matrix(size)
    height, width = image.shape[:2]
    factor = min(int(region.side / size), height, width)
    if factor < 2:
        return image, matrix
    reach = region.side * (abs(np.cos(region.angle)) + abs(np.sin(region.angle))) / 2 + factor
    x0, width = _span(region.x, reach, width, factor)
    y0, height = _span(region.y, reach, height, factor)
    if not (width and height):
        return image, matrix
    part = image[y0 : y0 + height, x0 : x0 + width]
    shape = (width // factor, height // factor)
    matrix[:, 2] -= (x0, y0)
    source = cv2.resize(part, shape, interpolation=cv2.INTER_AREA)
    return np.asarray(source, np.uint8), matrix / factor


def _span(centre: float, reach: float, limit: int, factor: int) -> tuple[int, int]:
    """Where the pixels within reach of the centre begin, and how many, a multiple of `factor`."""
    start, stop = (int(np.clip(centre + sign * reach, 0, limit)) for sign in (-1, 1))
    return start, (stop - start) // factor * factor
