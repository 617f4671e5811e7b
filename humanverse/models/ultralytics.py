"""YOLO networks as ultralytics makes them: exports run here, checkpoints' networks in batches.

The ultralytics package, an optional extra that only `.pt` files need, and the models made with
it are under AGPL-3.0, unless you hold another licence of theirs: that binds what you build on
them, a service too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.base import Detections, Image
from humanverse.models.onnx import onnx_session
from humanverse.models.torched import Engine, How, normalised, stacked
from humanverse.models.ultralytics_heads import Instances, chosen_instances, decode_instances

if TYPE_CHECKING:
    import torch

    from humanverse.models.torched import Found

PAD: Final = 114

Array = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width."""


class Network(Protocol):
    """A YOLO network, whoever runs it."""

    def shape_of(self, image: Image) -> Size:
        """Height and width of the picture that it is to be given of an image."""
        ...

    def __call__(self, pictures: Sequence[Image]) -> list[Instances]:
        """The people in each picture of such a size."""
        ...


class UltralyticsDetector:
    """Finds people with an ultralytics YOLO detector, `.onnx` or `.pt`: YOLO11, YOLO26 and kin.

    A checkpoint sees an image in the least rectangle that holds it, as the package shows it one;
    images whose rectangles are alike share batches. An export sees what it was made for. Under
    AGPL-3.0: see above.
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
        self._network = load_network(Path(path), trusted, least, how or How())

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One result an image; an image without people gives empty arrays."""
        boxed = [letterbox(image, self._network.shape_of(image)) for image in images]
        found = self._network([picture for picture, _, _ in boxed])
        return [
            Detections(unboxed(image, people.boxes, scale, corner), people.scores)
            for image, people, (_, scale, corner) in zip(images, found, boxed, strict=True)
        ]


def load_network(path: Path, trusted: bool, least: float, how: How, masks: bool = False) -> Network:
    """The network of a file, one with prototypes of `masks` if they are asked for.

    Raises:
        UsageError: as `check`, or the network is made for something else.
    """
    check(path, trusted, how)
    kind = _Export if path.suffix == ".onnx" else _Checkpoint
    return kind(path, least, how, masks)


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


def unboxed(image: Image, boxes: Array, scale: Array, corner: Array) -> Array:
    """Boxes (n, 4) of a letterboxed picture in pixels of the image."""
    height, width = image.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    inside = (boxes - np.tile(corner, 2)) / np.tile(scale, 2)
    return np.clip(inside, 0, limits).astype(np.float32)


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

    def __init__(self, path: Path, least: float, how: How, masks: bool) -> None:
        self._session: Any = onnx_session(path)
        self._least, self._masks = least, masks
        if masks and not any(len(given.shape) == 4 for given in self._session.get_outputs()):
            raise UsageError(f"{path} gives no masks: export a model for segmentation")
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

    def shape_of(self, image: Image) -> Size:  # noqa: ARG002  # of all it is the same
        return self.size

    def __call__(self, pictures: Sequence[Image]) -> list[Instances]:
        found = []
        for start in range(0, len(pictures), self._batch):
            given = self._raw(pictures[start : start + self._batch])
            prototypes = next((one for one in given if one.ndim == 4), None)
            for row, raw in enumerate(next(one for one in given if one.ndim == 3)):
                base = None if prototypes is None else prototypes[row]
                people = decode_instances(
                    raw, self.size, self._least, 0 if base is None else len(base)
                )
                found.append(Instances(*people, base if self._masks else None))
        return found

    def _raw(self, pictures: Sequence[Image]) -> list[Array]:
        missing = (self._fixed or 0) - len(pictures)
        filled = [*pictures, *[pictures[-1]] * max(0, missing)]
        tensor = np.ascontiguousarray(stacked(filled).transpose(0, 3, 1, 2), np.float32)
        given = self._session.run(None, {self._input: tensor / np.float32(255)})
        return [one[: len(pictures)] for one in given]


class _Checkpoint:
    """A checkpoint's network, loaded by the package and run without it, on any device."""

    def __init__(self, path: Path, least: float, how: How, masks: bool) -> None:
        _isolate()
        from ultralytics import YOLO
        from ultralytics.utils.checks import check_imgsz

        made = YOLO(str(path), task="detect")
        wanted = ("segment",) if masks else ("detect", "segment")
        if made.task not in wanted:
            raise UsageError(f"{path} is made to {made.task}, not to {wanted[0]}")
        network: Any = made.model
        size = made.overrides.get("imgsz", 640)
        stride = max(int(network.stride.max()), 32)
        self._size: Size = tuple(check_imgsz(size, stride=stride, min_dim=2))
        self._stride = stride
        head = network.model[-1]
        if getattr(head, "one2one_cv2", None) is not None:
            # YOLO26 has both kinds of head; the package takes the other one unless it is told.
            head.end2end = True
        network = network.fuse(verbose=False)
        _keep_exact(head)
        self._least, self._masks = least, masks
        self._engine = Engine(network, how)

    def shape_of(self, image: Image) -> Size:
        sides = np.array(image.shape[:2])
        inner = np.maximum(np.rint(sides * min(self._size / sides)), 1)
        height, width = (np.ceil(inner / self._stride) * self._stride).astype(int).tolist()
        return height, width

    def __call__(self, pictures: Sequence[Image]) -> list[Instances]:
        order = sorted(range(len(pictures)), key=lambda place: pictures[place].shape)
        rows = self._engine.in_batches([pictures[place] for place in order], self._step)
        found = dict(zip(order, rows, strict=True))
        return [
            Instances(*(one[people[1] > 0] for one in people[:3]), *people[3:])
            for people in (found[place] for place in range(len(pictures)))
        ]

    def _step(self, pictures: Sequence[Image]) -> Found:
        groups = groupby(pictures, key=lambda picture: picture.shape)
        parts = [self._of_one_shape(list(group)) for _, group in groups]
        if len(parts) == 1:
            return parts[0]
        return tuple(
            [row for part in column for row in part] for column in zip(*parts, strict=True)
        )

    def _of_one_shape(self, pictures: Sequence[Image]) -> tuple[torch.Tensor, ...]:
        pixels = self._engine.upload(stacked(pictures))
        given = self._engine(normalised(pixels, [0] * 3, [255] * 3))
        raw = given[0] if isinstance(given, (tuple, list)) else given
        if not isinstance(raw, (tuple, list)):
            return chosen_instances(raw.float(), self._least, 0)
        raw, prototypes = raw
        people = chosen_instances(raw.float(), self._least, prototypes.shape[1])
        return (*people, prototypes.float()) if self._masks else people


def _keep_exact(head: Any) -> None:
    """Have a detection head reckon in fp32: bf16 would place a box to within four pixels of 640."""
    import torch

    forward = head.forward

    def exact(features: list[torch.Tensor]) -> Any:
        with torch.autocast(features[0].device.type, enabled=False):
            return forward([feature.float() for feature in features])

    head.forward = exact


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
