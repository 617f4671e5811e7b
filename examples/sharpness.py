"""A stage of one's own: pictures that are out of focus are set aside, the score is kept."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import pyarrow as pa

from humanverse.codec import decode_jpeg
from humanverse.stage import BaseStage


@dataclass
class Sharpness(BaseStage):
    """Variance of the Laplacian, the usual measure of focus, and a bound on it."""

    name: ClassVar[str] = "sharpness"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = pa.schema({"sharpness": pa.float32()})
    reasons: ClassVar[dict[str, str]] = {"blurred": "less sharp than wanted"}

    least: float = 50.0

    def __call__(self, batch: pa.Table) -> pa.Table:
        pictures = [decode_jpeg(jpeg.as_py()) for jpeg in batch["image"]]
        grays = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
        scores = [cv2.Laplacian(gray, cv2.CV_64F).var() for gray in grays]
        reasons = [None if score >= self.least else "blurred" for score in scores]
        return pa.table({"key": batch["key"], "sharpness": scores, "reason": reasons})
