"""Faces made unrecognisable in what is handed on. Off unless a recipe names it.

Where a head is follows from the keypoints of people who were labelled, and for all others that the
detector saw, sure or not, from their boxes. Labels are made before, on the picture as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from humanverse import schema
from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.errors import UsageError
from humanverse.keypoints import COUNT, FACE
from humanverse.models.base import Image
from humanverse.stage import BaseStage

Array = NDArray[np.float32]

HEAD: Final = slice(0, 5)
"""Nose, eyes and ears."""
SHOULDERS: Final = (5, 6)
SURE: Final = 0.3
"""Confidence from which a keypoint tells where a head is."""
BLOCKS: Final = 6
"""Squares across a face that are left of it: too few to know anybody by."""


@dataclass
class BlurFaces(BaseStage):
    """Writes the picture with faces blurred, which is packed in the picture's place, and where."""

    name: ClassVar[str] = "faces"
    reads: ClassVar[tuple[str, ...]] = ("image", "boxes", "box_scores", "person_boxes", "keypoints")
    writes: ClassVar[pa.Schema] = schema.writes("blurred", "face_boxes")
    reasons: ClassVar[tuple[str, ...]] = ()

    min_score: float = 0.1
    """Score from which somebody the detector saw has a head to be blurred."""
    grow: float = 1.0
    """Times the usual size of what is blurred."""
    quality: int = 92
    """Of the JPEG."""

    def check(self) -> None:
        """Refuse a size that is none."""
        if not self.grow > 0:
            raise UsageError(f"faces.grow={self.grow}: more than 0 is wanted")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Each picture, blurred."""
        rows = [self._one(row) for row in batch.drop_columns("key").to_pylist()]
        columns = [
            pa.array([row[i] for row in rows], kind.type) for i, kind in enumerate(self.writes)
        ]
        return pa.table([batch["key"], *columns], names=["key", *self.writes.names])

    def _one(self, row: dict[str, Any]) -> tuple[bytes, list[list[float]]]:
        pixels = decode_jpeg(row["image"])
        people = [np.asarray(flat, np.float32).reshape(COUNT, 3) for flat in row["keypoints"]]
        labelled = np.asarray(row["person_boxes"], np.float32).reshape(-1, 4)
        seen = [
            np.asarray(box, np.float32)
            for box, score in zip(row["boxes"], row["box_scores"], strict=True)
            if score >= self.min_score and not (labelled == np.float32(box)).all(axis=1).any()
        ]
        heads = [head_of(*one) for one in zip(people, labelled, strict=True)]
        faces = [grown(face, self.grow) for face in (*heads, *map(head_in, seen))]
        for face in faces:
            blur(pixels, face)
        if not faces:  # the same bytes: there is nothing to encode anew
            return row["image"], []
        return encode_jpeg(pixels, self.quality), [face.tolist() for face in faces]


def head_of(points: Array, box: Array) -> Array:
    """The head's box (4,), xyxy, of a person's keypoints (133, 3), or else of their box (4,).

    Around nose, eyes, ears and face; as large as the shoulders or the person's box demand, since a
    head seen from the side has its points close together.
    """
    sure = points[np.r_[HEAD, FACE]]
    sure = sure[sure[:, 2] >= SURE][:, :2]
    if len(sure) == 0:
        return head_in(box)
    low, high = sure.min(axis=0), sure.max(axis=0)
    shoulders = points[list(SHOULDERS)]
    apart = np.linalg.norm(np.diff(shoulders[:, :2], axis=0)) if shoulders[:, 2].min() > SURE else 0
    side = max(1.5 * float((high - low).max()), 0.7 * float(apart), 0.08 * float(box[3] - box[1]))
    centre = (low + high) / 2
    return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def head_in(box: Array) -> Array:
    """Where in a person's box (4,) the head may be: its upper part, over its whole width.

    A square of its width at least: the wider a box, the more of it is a head, cut by the frame.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0], box[1], box[2], box[1] + min(height, max(0.3 * height, width))])


def grown(box: Array, times: float) -> Array:
    """A box (4,) so many times as wide and high, about its middle."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * times
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def blur(pixels: Image, box: Array) -> None:
    """Leave of a box, in place, a few squares of mean colour, and those without edges."""
    height, width = pixels.shape[:2]
    left, top = np.floor(np.clip(box[:2], 0, [width, height])).astype(int)
    right, bottom = np.ceil(np.clip(box[2:], 0, [width, height])).astype(int)
    if left >= right or top >= bottom:
        return
    part = pixels[top:bottom, left:right]
    across, down = min(BLOCKS, right - left), min(BLOCKS, bottom - top)
    few = cv2.resize(part, (across, down), interpolation=cv2.INTER_AREA)
    size = (int(right - left), int(bottom - top))
    pixels[top:bottom, left:right] = cv2.resize(few, size, interpolation=cv2.INTER_LINEAR)
