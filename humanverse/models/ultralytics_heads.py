"""What the heads of YOLO networks give, as people: on arrays, and in batches on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.models.yolox import suppressed

if TYPE_CHECKING:
    import torch

PERSON: Final = 0
"""Class id: COCO's first class, or the only one of a person detector. Its name varies."""
OVERLAP: Final = 0.7
"""IoU above which the weaker of two boxes is dropped; the package's own default."""
MOST: Final = 300
"""Most boxes of an image; the package's own default."""
END_TO_END_COLUMNS: Final = 6
"""x0, y0, x1, y1, score, class: a head that needs no suppression gives these."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Instances:
    """The people in one picture of a network's size, best first."""

    boxes: Array
    """(n, 4), xyxy in pixels."""
    scores: Array
    """(n,)."""
    coefficients: Array
    """(n, k): a mask's logits are its coefficients times the prototypes; k is 0 where a network
    only detects."""
    prototypes: Array | None = None
    """(k, h, w), where they were asked for."""


def decode_instances(
    raw: Array, size: tuple[int, int], least: float, extra: int
) -> tuple[Array, Array, Array]:
    """Person boxes (n, 4), xyxy in input pixels, scores (n,), best first, and coefficients.

    These are (n, extra). One raw output is (4 + classes + extra, n) with centres and sizes, or
    (n, 6 + extra) from a head that needs no suppression. A box that is of another class rather
    than a person is left out. Quantised exports give boxes as fractions of the input, which no real
    box list in pixels is small enough to be taken for.
    """
    if raw.shape[1] == END_TO_END_COLUMNS + extra:
        chosen = (raw[:, 5] == PERSON) & (raw[:, 4] > least)
        return raw[chosen, :4], raw[chosen, 4], raw[chosen, END_TO_END_COLUMNS:]
    centres, halves, classes = raw[:2].T, raw[2:4].T / 2, raw[4 : len(raw) - extra]
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    if boxes.max(initial=0) <= 2:
        boxes = boxes * np.array([size[1], size[0], size[1], size[0]], np.float32)
    scores = classes[PERSON]
    chosen = (scores > least) & (classes.argmax(axis=0) == PERSON)
    boxes, scores = boxes[chosen], scores[chosen]
    kept = suppressed(boxes, scores, OVERLAP)[:MOST]
    return boxes[kept], scores[kept], raw[len(raw) - extra :, chosen].T[kept]


def chosen_instances(
    raw: torch.Tensor, least: float, extra: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`decode_instances` for batches on a device: 300 rows each, of score 0 where there is none."""
    import torch

    if raw.shape[2] == END_TO_END_COLUMNS + extra:
        scores = torch.where(raw[..., 5] == PERSON, raw[..., 4], torch.zeros_like(raw[..., 4]))
        scores = torch.where(scores > least, scores, torch.zeros_like(scores))
        return raw[..., :4], scores, raw[..., END_TO_END_COLUMNS:]
    from torchvision.ops import batched_nms

    centres, halves = raw[:, :2].mT, raw[:, 2:4].mT / 2
    boxes = torch.cat([centres - halves, centres + halves], dim=2)
    end = raw.shape[1] - extra
    best, classes = raw[:, 4:end].max(dim=1)
    image, row = torch.nonzero((best > least) & (classes == PERSON), as_tuple=True)
    boxes, scores, rest = boxes[image, row], best[image, row], raw[:, end:].mT[image, row]
    kept = batched_nms(boxes, scores, image, OVERLAP)
    table = _in_rows(torch.cat([boxes, scores[:, None], rest], dim=1)[kept], image[kept], len(raw))
    return table[..., :4], table[..., 4], table[..., 5:]


def _in_rows(values: torch.Tensor, image: torch.Tensor, count: int) -> torch.Tensor:
    """Rows (m, k) of any images, best first, as `MOST` rows for each of `count` images."""
    import torch

    order = torch.sort(image, stable=True).indices
    image = image[order]
    rank = torch.arange(len(image), device=image.device) - torch.searchsorted(image, image)
    fits = rank < MOST
    out = values.new_zeros((count, MOST, values.shape[1]))
    out[image[fits], rank[fits]] = values[order[fits]]
    return out
