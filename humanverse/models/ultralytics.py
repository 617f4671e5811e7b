"""YOLO detectors as ultralytics makes them: exports run here, checkpoints' networks in batches.

The ultralytics package, an optional extra that only `.pt` files need, and the models made with
it are under AGPL-3.0, unless you hold another licence of theirs: that binds what you build on
them, a service too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Detections, Image
from humanverse.models.onnx import onnx_session
from humanverse.models.torched import Engine, How, normalised, stacked
from humanverse.models.yolox import suppressed

if TYPE_CHECKING:
    import torch

PERSON: Final = 0
"""Class id: COCO's first class, or the only one of a person detector. Its name varies."""
PAD: Final = 114
OVERLAP: Final = 0.7
"""IoU above which the weaker of two boxes is dropped; the package's own default."""
MOST: Final = 300
"""Most boxes of an image; the package's own default."""
END_TO_END_COLUMNS: Final = 6
"""x0, y0, x1, y1, score, class: a head that needs no suppression gives these."""

Array = NDArray[np.float32]


class _Network(Protocol):
    size: tuple[int, int]
    """Height and width of its input."""

    def __call__(self, pictures: Sequence[Image]) -> list[tuple[Array, Array]]:
        """Person boxes (n, 4), xyxy in pixels, and scores (n,), best first, of each picture."""
        ...


class UltralyticsDetector:
    """Finds people with an ultralytics YOLO detector, `.onnx` or `.pt`: YOLO11, YOLO26 and kin.

    Every image is letterboxed to one square, as the package does with a batch of different ones,
    so that all of them share batches. Under AGPL-3.0: see above.
    """

    def __init__(
        self,
        path: Path | str,
        trusted: bool = False,
        least: float = 0.05,
        how: How | None = None,
    ) -> None:
        """Load a detector.

        A `.pt` file is a pickle, which runs code when it is opened: it is refused unless `trusted`,
        or listed among the known weights. `least` is the score above which a box is reported.

        Raises:
            UsageError: the file is missing, of another kind, or not trusted.

        """
        path, how = Path(path), how or How()
        check(path, trusted, how)
        self._network: _Network = (
            _Export(path, least, how) if path.suffix == ".onnx" else _Checkpoint(path, least, how)
        )

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        boxed = [letterbox(image, self._network.size) for image in images]
        found = self._network([picture for picture, _, _ in boxed])
        return [
            _unboxed(image, *people, scale, corner)
            for image, people, (_, scale, corner) in zip(images, found, boxed, strict=True)
        ]


def check(path: Path | None, trusted: bool, how: How) -> None:
    """Refuse what cannot work, without loading it.

    Raises:
        UsageError: as the detector itself would.
    """
    if path is None:
        raise UsageError("people.detector=ultralytics needs a file: --set people.weights=FILE.onnx")
    if path.suffix not in (".onnx", ".pt"):
        raise UsageError(f"{path} is neither .onnx nor .pt")
    if not path.is_file():
        # The package would look for a file of that name on the web.
        raise UsageError(f"there is no file {path}")
    if path.suffix == ".onnx":
        if how.device.startswith("cuda"):
            raise UsageError(f"{path.name} runs on the CPU: take the .pt file for device=cuda")
        return
    if find_spec("ultralytics") is None:
        raise UsageError(".pt files need the extra: pip install 'humanverse[annotate]'")
    from humanverse.models.store import is_listed

    if not trusted and not is_listed(path):
        raise UsageError(
            f"{path} is a pickle that can run code: trust it (--set people.trust=true), "
            "or export it to .onnx"
        )


def _unboxed(image: Image, boxes: Array, scores: Array, scale: Array, corner: Array) -> Detections:
    height, width = image.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    inside = (boxes - np.tile(corner, 2)) / np.tile(scale, 2)
    return Detections(np.clip(inside, 0, limits).astype(np.float32), scores)


def letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, Array, Array]:
    """The image shrunk or enlarged into the middle of a grey picture (height, width, 3).

    Returns it with the scales (2,), picture pixels an image pixel along x and y, and its corner
    (2,), x and y.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    x, y = (size[1] - inner[0]) // 2, (size[0] - inner[1]) // 2
    picture = np.full((*size, 3), PAD, np.uint8)
    picture[y : y + inner[1], x : x + inner[0]] = cv2.resize(
        image, inner, interpolation=cv2.INTER_LINEAR
    )
    scales = np.array([inner[0] / width, inner[1] / height], np.float32)
    return picture, scales, np.array([x, y], np.float32)


class _Export:
    """An ONNX export on one CPU thread, without the package."""

    def __init__(self, path: Path, least: float, how: How) -> None:
        self._session: Any = onnx_session(path)
        self._least = least
        entry = self._session.get_inputs()[0]
        if len(entry.shape) != 4:
            raise UsageError(f"{path} is no export of a detector: its input is {entry.shape}")
        batch, _, height, width = entry.shape
        self._input: str = entry.name
        self._fixed = batch if isinstance(batch, int) else None
        """How many pictures it takes, no fewer; None where any number will do."""
        self._batch: int = self._fixed or how.batch
        if isinstance(height, int) and isinstance(width, int):
            self.size: tuple[int, int] = (height, width)
        else:
            self.size = self._told_size(path)

    def _told_size(self, path: Path) -> tuple[int, int]:
        """The size of training, which an export of any size carries beside it."""
        told = self._session.get_modelmeta().custom_metadata_map.get("imgsz")
        if told is None:
            raise UsageError(f"{path} is of no fixed size, and does not tell which one it is for")
        height, width = json.loads(told)
        return height, width

    def __call__(self, pictures: Sequence[Image]) -> list[tuple[Array, Array]]:
        found = []
        for start in range(0, len(pictures), self._batch):
            raw = self._raw(pictures[start : start + self._batch])
            found += [decode(one, self.size, self._least) for one in raw]
        return found

    def _raw(self, pictures: Sequence[Image]) -> Array:
        missing = (self._fixed or 0) - len(pictures)
        filled = [*pictures, *[pictures[-1]] * max(0, missing)]
        tensor = np.ascontiguousarray(stacked(filled).transpose(0, 3, 1, 2), np.float32)
        raw: Array = self._session.run(None, {self._input: tensor / np.float32(255)})[0]
        return raw[: len(pictures)]


def decode(raw: Array, size: tuple[int, int], least: float) -> tuple[Array, Array]:
    """Person boxes (n, 4), xyxy in input pixels, and scores (n,), best first, of one raw output.

    That is (4 + classes, n) with centres and sizes, or (n, 6) from a head that needs no
    suppression. A box that is of another class rather than a person is left out. Quantised exports
    give boxes as fractions of the input, which no real box list in pixels is small enough to be
    taken for.
    """
    if raw.shape[1] == END_TO_END_COLUMNS:
        chosen = (raw[:, 5] == PERSON) & (raw[:, 4] > least)
        return raw[chosen, :4], raw[chosen, 4]
    centres, halves, classes = raw[:2].T, raw[2:4].T / 2, raw[4:]
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    if boxes.max(initial=0) <= 2:
        boxes = boxes * np.array([size[1], size[0], size[1], size[0]], np.float32)
    scores = classes[PERSON]
    chosen = (scores > least) & (classes.argmax(axis=0) == PERSON)
    boxes, scores = boxes[chosen], scores[chosen]
    kept = suppressed(boxes, scores, OVERLAP)[:MOST]
    return boxes[kept], scores[kept]


class _Checkpoint:
    """A checkpoint's network, loaded by the package and run without it, on any device."""

    def __init__(self, path: Path, least: float, how: How) -> None:
        _isolate()
        from ultralytics import YOLO
        from ultralytics.utils.checks import check_imgsz

        made = YOLO(str(path), task="detect")
        if made.task != "detect":
            raise UsageError(f"{path} is made to {made.task}, not to detect")
        network: Any = made.model
        size = made.overrides.get("imgsz", 640)
        stride = max(int(network.stride.max()), 32)
        self.size = tuple(check_imgsz(size, stride=stride, min_dim=2))
        head = network.model[-1]
        if getattr(head, "one2one_cv2", None) is not None:
            # YOLO26 has both kinds of head; the package takes the other one unless it is told.
            head.end2end = True
        network = network.fuse(verbose=False)
        _keep_exact(head)
        self._least = least
        self._engine = Engine(network, how)

    def __call__(self, pictures: Sequence[Image]) -> list[tuple[Array, Array]]:
        rows = self._engine.in_batches(pictures, self._step)
        return [(boxes[scores > 0], scores[scores > 0]) for boxes, scores in rows]

    def _step(self, pictures: Sequence[Image]) -> tuple[torch.Tensor, ...]:
        pixels = self._engine.upload(stacked(pictures))
        given = self._engine(normalised(pixels, [0] * 3, [255] * 3))
        raw = given[0] if isinstance(given, (tuple, list)) else given
        return chosen_people(raw.float(), self._least)


def _keep_exact(head: Any) -> None:
    """Have a detection head reckon in fp32: bf16 would place a box to within four pixels of 640."""
    import torch

    forward = head.forward

    def exact(features: list[torch.Tensor]) -> Any:
        with torch.autocast(features[0].device.type, enabled=False):
            return forward([feature.float() for feature in features])

    head.forward = exact


def chosen_people(raw: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`decode` for batches on a device: boxes (n, 300, 4) and scores (n, 300), 0 for no box."""
    import torch

    if raw.shape[2] == END_TO_END_COLUMNS:
        scores = torch.where(raw[..., 5] == PERSON, raw[..., 4], torch.zeros_like(raw[..., 4]))
        return raw[..., :4], torch.where(scores > least, scores, torch.zeros_like(scores))
    from torchvision.ops import batched_nms

    centres, halves = raw[:, :2].mT, raw[:, 2:4].mT / 2
    boxes = torch.cat([centres - halves, centres + halves], dim=2)
    best, classes = raw[:, 4:].max(dim=1)
    image, row = torch.nonzero((best > least) & (classes == PERSON), as_tuple=True)
    boxes, scores = boxes[image, row], best[image, row]
    kept = batched_nms(boxes, scores, image, OVERLAP)
    return _in_rows(boxes[kept], scores[kept], image[kept], len(raw))


def _in_rows(
    boxes: torch.Tensor, scores: torch.Tensor, image: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (m, 4) of any images, best first, as `MOST` rows for each of `count` images."""
    import torch

    order = torch.sort(image, stable=True).indices
    image = image[order]
    rank = torch.arange(len(image), device=image.device) - torch.searchsorted(image, image)
    fits = rank < MOST
    image, rank, order = image[fits], rank[fits], order[fits]
    out = boxes.new_zeros((count, MOST, 5))
    out[image, rank, :4] = boxes[order]
    out[image, rank, 4] = scores[order]
    return out[..., :4], out[..., 4]


def _isolate() -> None:
    """Keep the package from sending statistics, looking for updates, installing anything, and
    changing other packages.

    It reads its switches once, when it is first imported, so they are set before; where somebody
    imported it earlier, what it made of them is set instead.
    """
    from humanverse.models.store import cache_folder

    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_folder() / "ultralytics"))
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    from PIL import Image
    from ultralytics.utils import checks, events, patches

    events.events.enabled = False
    checks.AUTOINSTALL = False
    # It has Pillow look for a package wherever bytes are no image, for all in this process.
    Image.open = patches._image_open
