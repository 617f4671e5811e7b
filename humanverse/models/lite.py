"""Depth and normals without torch: one small network that ships with the package.

It learned from rendered scenes alone (see `weights/lite_geometry.md`) and serves where no large
estimator can run: demos, tests, machines without a GPU. What it says of real photographs is rough,
and of people it says little: those whose boxes are known are put right by their masks (see
`billboard`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.models.base import DepthKind, Image
from humanverse.models.billboard import round_off, stand_up
from humanverse.models.onnx import onnx_session

if TYPE_CHECKING:
    from humanverse.models.blaze.wholebody import BodyFinder

WEIGHTS: Final = Path(__file__).parent / "weights" / "lite_geometry.onnx"
SIDE: Final = 160
"""Pixels a side of the network's input, to which every image is squeezed."""

Array = NDArray[np.float32]


class _Network:
    """The session, and its last answer: two views of one image in turn compute once."""

    def __init__(self, path: Path) -> None:
        self._session: Any = onnx_session(path)
        self._last: tuple[bytes, Array, Array] = (b"", np.empty(0), np.empty(0))  # type: ignore[assignment]

    def __call__(self, square: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Disparity (h, w) and normals (h, w, 3) of a picture (SIDE, SIDE, 3)."""
        asked = square.tobytes()
        last = self._last
        if last[0] != asked:
            batch = square.transpose(2, 0, 1)[None].astype(np.float32) / 255
            disparity, normals = self._session.run(["disparity", "normals"], {"image": batch})
            last = (asked, disparity[0, 0], np.ascontiguousarray(normals[0].transpose(1, 2, 0)))
            self._last = last
        return last[1], last[2]


@lru_cache(maxsize=2)
def _network(path: Path) -> _Network:
    return _Network(path)


def _bodies() -> BodyFinder:
    """Loaded with the first box: pictures without people need none of BlazePose."""
    from humanverse.models.blaze.wholebody import body_finder

    return body_finder()


@dataclass(frozen=True, slots=True)
class LiteGeometry:
    """Depth and normals of one image at a time, on one CPU thread."""

    weights: Path = WEIGHTS

    def infer(self, image: Image) -> tuple[Array, Array]:
        """Disparity (H, W), up to scale and offset, and unit normals (H, W, 3) of an image.

        Larger disparity is nearer. Both are computed at 80 x 80 and enlarged to the image's size.

        Raises:
            ValueError: the image is not `uint8` of shape (H, W, 3).

        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected (H, W, 3) uint8, not {image.shape} {image.dtype}")
        shrinks = min(image.shape[:2]) >= SIDE
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        square = cv2.resize(image, (SIDE, SIDE), interpolation=how)
        disparity, normals = _network(self.weights)(np.asarray(square, np.uint8))
        size = (image.shape[1], image.shape[0])
        disparity = np.asarray(cv2.resize(disparity, size), np.float32)
        normals = np.asarray(cv2.resize(normals, size), np.float32)
        length = np.sqrt(np.einsum("hwc,hwc->hw", normals, normals))[..., None]
        ahead = np.array([0, 0, 1], np.float32)  # where opposite normals met and cancelled out
        unit = np.where(length > 1e-3, normals / np.maximum(length, 1e-3), ahead)
        return disparity, unit.astype(np.float32)


@dataclass(frozen=True, slots=True)
class LiteDepth:
    """`DepthEstimator`: disparity, that is inverse depth up to an unknown scale and offset."""

    weights: Path = WEIGHTS
    kind: DepthKind = "disparity"

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Array]:
        """One (H, W) map an image; larger is nearer, and the people of boxes (n, 4) stand up.

        Raises:
            WeightsMissing: there are boxes, and BlazePose's weights cannot be had.

        """
        return [self._of_image(*pair) for pair in zip(images, boxes, strict=True)]

    def _of_image(self, image: Image, boxes: NDArray[np.float32]) -> Array:
        disparity, _ = LiteGeometry(self.weights).infer(image)
        return stand_up(disparity, _bodies().masks(image, boxes)) if len(boxes) else disparity


@dataclass(frozen=True, slots=True)
class LiteNormals:
    """`NormalEstimator`."""

    weights: Path = WEIGHTS

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[Array]:
        """One (H, W, 3) map of unit vectors an image: +X right, +Y up, +Z towards the viewer.

        The people of boxes (n, 4) are round.

        Raises:
            WeightsMissing: there are boxes, and BlazePose's weights cannot be had.

        """
        return [self._of_image(*pair) for pair in zip(images, boxes, strict=True)]

    def _of_image(self, image: Image, boxes: NDArray[np.float32]) -> Array:
        _, normals = LiteGeometry(self.weights).infer(image)
        return round_off(normals, _bodies().masks(image, boxes)) if len(boxes) else normals
