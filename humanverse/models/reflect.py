"""Outpainting without a network: what lies beyond an edge is what lies before it, mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from humanverse.models.base import Image, Narrow


class ReflectOutpainter:
    """`Outpainter` that mirrors pictures at their edges."""

    def widen(self, pictures: Sequence[Narrow]) -> list[Image]:
        """One canvas a picture, with the picture itself in its middle."""
        return [reflected(picture) for picture in pictures]


def reflected(picture: Narrow) -> Image:
    """A picture's canvas, (H + 2 top, W + 2 left, 3)."""
    top, left = picture.top, picture.left
    border = cv2.BORDER_REFLECT_101
    canvas = cv2.copyMakeBorder(picture.image, top, top, left, left, border)
    return np.asarray(canvas, np.uint8)
