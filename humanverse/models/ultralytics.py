"""YOLO detectors as ultralytics makes them: exports run here, checkpoints through the package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Detections, Image
from humanverse.models.onnx import onnx_session
from humanverse.models.yolox import suppressed

PERSON: Final = 0
"""Class id: COCO's first class, or the only one of a person detector. Its name varies."""
PAD: Final = 114
OVERLAP: Final = 0.7
"""IoU above which the weaker of two boxes is dropped; the package's own default."""
END_TO_END_COLUMNS: Final = 6
"""x0, y0, x1, y1, score, class: a head that needs no suppression gives these."""

Array = NDArray[np.float32]


class _Runner(Protocol):
    def __call__(self, image: Image, least: float) -> tuple[Array, Array]:
        """Person boxes (n, 4), xyxy in pixels, and scores (n,)."""
        ...


class UltralyticsDetector:
    """Finds people with an ultralytics YOLO detector, `.onnx` or `.pt`.

    The ultralytics package, an optional extra that only `.pt` files need, and the models made with
    it are under AGPL-3.0, unless you hold another licence of theirs: that binds what you build on
    them, a service too.
    """

    def __init__(self, path: Path | str, trusted: bool = False, least: float = 0.05) -> None:
        """Load a detector.

        A `.pt` file is a pickle, which runs code when it is opened: it is refused unless `trusted`.
        `least` is the score below which a box is not even reported.

        Raises:
            UsageError: the file is missing, of another kind, or not trusted.

        """
        path = Path(path)
        _check(path, trusted)
        self._run: _Runner = _Export(path) if path.suffix == ".onnx" else _Checkpoint(path)
        self._least = least

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        boxes, scores = self._run(image, self._least)
        height, width = image.shape[:2]
        limits = np.array([width, height, width, height], np.float32)
        order = np.argsort(-scores, kind="stable")
        return Detections(np.clip(boxes[order], 0, limits), scores[order])


def _check(path: Path, trusted: bool) -> None:
    if path.suffix not in (".onnx", ".pt"):
        raise UsageError(f"{path} is neither .onnx nor .pt")
    if not path.is_file():
        # The package would look for a file of that name on the web.
        raise UsageError(f"there is no file {path}")
    if path.suffix == ".pt" and not trusted:
        raise UsageError(f"{path} is a pickle that can run code: trust it, or export it to .onnx")


class _Export:
    """An ONNX export on one CPU thread, without the package."""

    def __init__(self, path: Path) -> None:
        self._session: Any = onnx_session(path)
        entry = self._session.get_inputs()[0]
        if len(entry.shape) != 4 or not all(isinstance(side, int) for side in entry.shape[2:]):
            raise UsageError(f"{path} is no export of a fixed size: its input is {entry.shape}")
        self._input: str = entry.name
        self._size: tuple[int, int] = (entry.shape[2], entry.shape[3])

    def __call__(self, image: Image, least: float) -> tuple[Array, Array]:
        picture, scale, corner = letterbox(image, self._size)
        tensor = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / np.float32(255)
        raw = self._session.run(None, {self._input: tensor[None]})[0][0]
        boxes, scores = decode(raw, self._size, least)
        return (boxes - np.tile(corner, 2)) / np.float32(scale), scores


def letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, float, NDArray[np.float32]]:
    """The image shrunk or enlarged into the middle of a grey picture (height, width, 3).

    Returns it with the scale, picture pixels an image pixel, and its corner (2,), x and y.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    x, y = (size[1] - inner[0]) // 2, (size[0] - inner[1]) // 2
    picture = np.full((*size, 3), PAD, np.uint8)
    picture[y : y + inner[1], x : x + inner[0]] = cv2.resize(
        image, inner, interpolation=cv2.INTER_LINEAR
    )
    return picture, scale, np.array([x, y], np.float32)


def decode(raw: Array, size: tuple[int, int], least: float) -> tuple[Array, Array]:
    """Person boxes (n, 4), xyxy in input pixels, and scores (n,), from one image's raw output.

    That is (4 + classes, n) with centres and sizes, or (n, 6) from a head that needs no
    suppression. Quantised exports give boxes as fractions of the input, which no real box list in
    pixels is small enough to be taken for.
    """
    if raw.shape[1] == END_TO_END_COLUMNS:
        boxes, scores = raw[:, :4], np.where(raw[:, 5] == PERSON, raw[:, 4], 0)
        chosen = scores >= least
        return boxes[chosen], scores[chosen]
    centres, halves, scores = raw[:2].T, raw[2:4].T / 2, raw[4 + PERSON]
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    if boxes.max(initial=0) <= 2:
        boxes = boxes * np.array([size[1], size[0], size[1], size[0]], np.float32)
    boxes, scores = boxes[scores >= least], scores[scores >= least]
    kept = suppressed(boxes, scores, OVERLAP)
    return boxes[kept], scores[kept]


class _Checkpoint:
    """A checkpoint through the package, on the CPU."""

    def __init__(self, path: Path) -> None:
        _isolate()
        from ultralytics import YOLO

        self._model: Any = YOLO(str(path), task="detect")

    def __call__(self, image: Image, least: float) -> tuple[Array, Array]:
        # Arrays are taken for BGR, the order in which OpenCV reads files.
        bgr = np.ascontiguousarray(image[..., ::-1])
        (result,) = self._model.predict(
            bgr, conf=least, classes=[PERSON], device="cpu", verbose=False, save=False
        )
        boxes = result.boxes.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4)
        return boxes, result.boxes.conf.cpu().numpy().astype(np.float32)


def _isolate() -> None:
    """Keep the package from sending statistics, looking for updates and installing anything.

    It reads its switches once, when it is first imported, so they are set before; where somebody
    imported it earlier, what it made of them is set instead.
    """
    from humanverse.models.store import cache_folder

    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_folder() / "ultralytics"))
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    from ultralytics.utils import checks, events

    events.events.enabled = False
    checks.AUTOINSTALL = False
