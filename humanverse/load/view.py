"""One crop of a sample, scaled and perhaps mirrored, the same for picture and labels.

Pixel coordinates begin at the outer corner of the first pixel, so a crop of a picture's left half
is (0, 0, W / 2, H), and scaling needs no half pixels.

>>> half = View(left=0, top=0, width=50, height=100, size=(64, 32))
>>> half.places(np.array([[25.0, 50.0]])).tolist()
[[16.0, 32.0]]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.keypoints import COUNT, FLIP

Sample = dict[str, Any]
Size = tuple[int, int]
"""Height and width."""
SIDES = ("left", "top", "width", "height")


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of a picture, in whole pixels, and how large it is to come out."""

    left: int
    top: int
    width: int
    height: int
    size: Size
    mirrored: bool = False
    of: Size | None = None
    """Height and width of the picture, where they were known."""

    def reduction(self) -> int:
        """By how much, 1, 2, 4 or 8, its picture may be made smaller and still suffice."""
        spare = min(self.height / self.size[0], self.width / self.size[1])
        return next((factor for factor in (8, 4, 2) if spare >= factor), 1)

    def aligned(self, factor: int) -> View:
        """The same but for a few pixels, so that its edges remain between pixels of a picture that
        is smaller by a factor.
        """
        sides = {name: getattr(self, name) // factor * factor for name in SIDES}
        return replace(self, **sides)

    def reduced(self, factor: int) -> View:
        """An aligned view, of the smaller picture."""
        sides = {name: getattr(self, name) // factor for name in SIDES}
        return replace(self, **sides)

    def places(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Points (..., 2) of the picture, x and y, in pixels of the view."""
        scale = np.array([self.size[1] / self.width, self.size[0] / self.height])
        out = (np.asarray(points, np.float64) - [self.left, self.top]) * scale
        if self.mirrored:
            out[..., 0] = self.size[1] - out[..., 0]
        return np.asarray(out, np.float32)

    def pixels(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A picture or map (H, W) or (H, W, c) as (size, c): mean where it shrinks, else linear."""
        part = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        if part.shape[:2] != self.size:
            shrinks = self.size[0] <= self.height and self.size[1] <= self.width
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            part = cv2.resize(np.ascontiguousarray(part), self.size[::-1], interpolation=how)
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)

    def normals(self, normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit vectors (H, W, 3) as unit vectors: mirrored ones point the other way along x."""
        out = self.pixels(normals).astype(np.float32)
        if self.mirrored:
            out[..., 0] *= -1
        length = np.sqrt(np.einsum("hwc,hwc->hw", out, out))[..., None]
        # Where opposite ones met nothing is left: such a place faces the viewer.
        ahead = np.array([0, 0, 1], np.float32)
        return np.where(length > 1e-6, out / np.maximum(length, 1e-6), ahead).astype(np.float32)

    def poses(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keypoints (n, 133, 3): left and right change places where mirrored, and what lies outside
        has confidence 0.
        """
        chosen = poses[:, FLIP] if self.mirrored else poses
        places = self.places(chosen[..., :2])
        inside = ((places >= 0) & (places <= self.size[::-1])).all(axis=-1)
        sure = chosen[..., 2] * inside
        return np.concatenate([places, sure[..., None]], axis=-1).reshape(-1, COUNT, 3)

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4), xyxy, cut to the view; one outside has no area."""
        corners = self.places(np.asarray(boxes, np.float32).reshape(-1, 2, 2))
        corners = np.clip(np.sort(corners, axis=1), 0, self.size[::-1])
        return corners.reshape(-1, 4).astype(np.float32)

    def __call__(self, sample: Sample) -> Sample:
        """A sample as it looks in the view; what is neither picture nor place stays."""
        seen = dict(sample)
        ways = {"image": self.pixels, "depth": self.pixels, "normals": self.normals}
        ways["poses"] = self.poses
        for name in ways.keys() & sample.keys():
            seen[name] = ways[name](sample[name])
        return seen | {"view": self}


def whole(shape: Size, size: Size) -> View:
    """All of a picture (height, width), squeezed to a size."""
    return View(0, 0, shape[1], shape[0], size, of=shape)


def largest(shape: Size, size: Size, across: float = 0.5, down: float = 0.5) -> View:
    """The largest crop of a size's aspect; `across` and `down`, 0 to 1, tell where it lies.

    Raises:
        UsageError: a side is none.
    """
    if min(*shape, *size) < 1:
        raise UsageError(f"no view of {size} is cut from a picture of {shape}")
    scale = min(shape[0] / size[0], shape[1] / size[1])
    height, width = (min(a, max(1, round(b * scale))) for a, b in zip(shape, size, strict=True))
    left, top = round((shape[1] - width) * across), round((shape[0] - height) * down)
    return View(left, top, width, height, size, of=shape)


def drawn(
    shape: Size, size: Size, random: np.random.Generator, *, least: float = 0.7, flip: bool = True
) -> View:
    """A view drawn at random: a crop of the size's aspect, anywhere, at least `least` as long as
    the largest; mirrored every second time.
    """
    zoom, across, down, turned = random.random(4)
    view, zoom = largest(shape, size), least + (1 - least) * zoom
    height, width = max(1, round(view.height * zoom)), max(1, round(view.width * zoom))
    left, top = round((shape[1] - width) * across), round((shape[0] - height) * down)
    mirrored = bool(flip and turned < 0.5)
    return replace(view, left=left, top=top, width=width, height=height, mirrored=mirrored)
