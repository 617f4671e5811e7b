"""Labels made on a wider canvas, of which only what lies inside the frame is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse.inference import Inference
from humanverse.models.base import Image

Saved = TypeVar("Saved")

PICTURE = ("image", "person_boxes")
CANVAS = ("canvas", "canvas_left", "canvas_top", "width", "height", "person_boxes")


@dataclass(frozen=True, slots=True)
class Frame:
    """Where in its canvas a picture lies, in pixels."""

    left: int
    top: int
    width: int
    height: int


Cut = Callable[[NDArray[np.float32], Frame], NDArray[np.float32]]
"""What was found on a canvas, and what of it is the picture's."""


@dataclass
class OnCanvas(Inference):
    """A stage that may look at the canvas around a picture rather than at the picture alone."""

    outpainted: bool = False
    """Look at the canvas that a stage `Outpaint` before this one has made."""
    cut: ClassVar[Cut]

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """The picture, or its canvas, and its people."""
        return CANVAS if self.outpainted else PICTURE

    def over_pictures(
        self,
        batch: pa.Table,
        look: Callable[[Sequence[Image], Sequence[NDArray[np.float32]]], Sequence[Any]],
        save: Callable[[Any], Saved],
    ) -> list[Saved]:
        """As ever, but on canvases, if they are there: results are cut to the frames."""
        if not self.outpainted:
            return super().over_pictures(batch, look, save)
        places = batch.select(CANVAS[1:]).to_pylist()
        frames = iter([Frame(*(place[name] for name in CANVAS[1:5])) for place in places])

        def inside(images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[Any]:
            # Pictures come in order, so frames may, too.
            return [type(self).cut(found, next(frames)) for found in look(images, boxes)]

        wide = batch.select(["key", "canvas"]).rename_columns(["key", "image"])
        boxes = pa.array(list(map(_shifted, places)), batch["person_boxes"].type)
        return super().over_pictures(wide.append_column("person_boxes", boxes), inside, save)


def _shifted(place: dict[str, Any]) -> list[list[float]]:
    """The boxes of a picture's people in its canvas."""
    by = [place["canvas_left"], place["canvas_top"]] * 2
    return [[a + b for a, b in zip(box, by, strict=True)] for box in place["person_boxes"]]


def cut_map(found: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """A map (H, W) or (H, W, 3) of the canvas as one of the picture."""
    rows = slice(frame.top, frame.top + frame.height)
    return np.ascontiguousarray(found[rows, frame.left : frame.left + frame.width])


def cut_keypoints(found: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Keypoints (n, 133, 3) of the canvas as the picture's: confidence 0 where it ends before."""
    out = found - np.array([frame.left, frame.top, 0], np.float32)
    limits = np.array([frame.width, frame.height], np.float32)
    inside = ((out[..., :2] >= 0) & (out[..., :2] <= limits)).all(axis=-1)
    out[..., 2] *= inside
    return out
