"""The people of a dataset one by one: a sample is a person, with what is around them cut to it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError, UsageError
from humanverse.load.samples import Choose, Room, Samples
from humanverse.load.view import Sample, Size, View

if TYPE_CHECKING:
    from humanverse.load.dataset import Dataset

AT_ONCE: Final = 1 << 18
"""People whose sizes are reckoned together: what it takes does not grow with their number."""


class People(Samples):
    """Every person of every sample: see `Dataset.people`.

    In memory are 8 bytes for each sample of the dataset and, once one is read, 16 for each person.
    """

    def __init__(
        self, dataset: Dataset, *, margin: float = 0.1, aspect: float | None = None
    ) -> None:
        """Count them, by the index alone.

        Raises:
            UsageError: no crop has such a margin or aspect.
        """
        if not 0 <= margin < math.inf:
            raise UsageError(f"margin={margin}: 0 or more, as a share of a person's box")
        if aspect is not None and not 0 < aspect < math.inf:
            raise UsageError(f"aspect={aspect}: width by height of a crop, more than 0")
        self.dataset, self.margin, self.aspect = dataset, margin, aspect
        counts = dataset.to_table(["person_count"])["person_count"].fill_null(0)
        self._ends = np.cumsum(counts.to_numpy(), dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def key(self, number: int) -> str:
        """`KEY/PERSON`: the key of the picture, and the person's number there, from 0."""
        picture, person = self._place(number)
        return f"{self.dataset.key(picture)}/{person}"

    def look(self, number: int, choose: Choose | None = None, out: Room | None = None) -> Sample:
        """A person, or a view of what is around them: see `Samples.look`."""
        picture, person = self._place(number)
        box = self._boxes[number]

        def crop(shape: Size) -> View:
            places = surroundings(box[None], np.array([shape]), self.margin, self.aspect)
            left, top, width, height = places[0].tolist()
            around = View(left, top, width, height, (height, width), of=shape)
            return _within(around, choose(around.size)) if choose else around

        sample = self.dataset.look(picture, crop, out)
        for name in ("poses", "boxes", "mask_areas"):
            if name in sample:
                sample[name] = sample[name][person : person + 1]
        own = sample["view"].boxes(box[None])[0]
        return sample | {"key": f"{sample['key']}/{person}", "person": person, "box": own}

    def __reduce__(self) -> tuple[Any, ...]:
        """For workers that are spawned: they count for themselves."""
        return _people, (self.dataset, self.margin, self.aspect)

    def sizes(self) -> NDArray[np.integer[Any]]:
        """Height and width of what is around each person, (n, 2)."""
        pictures, out = self.dataset.sizes(), np.empty((len(self), 2), np.int32)
        for start in range(0, len(self), AT_ONCE):
            people = np.arange(start, min(start + AT_ONCE, len(self)))
            shapes = pictures[np.searchsorted(self._ends, people, "right")]
            places = surroundings(self._boxes[people], shapes, self.margin, self.aspect)
            out[people] = places[:, :1:-1]
        return out

    def fingerprint(self) -> str:
        """Of the dataset, and of how crops are made."""
        how = f"{self.margin}:{self.aspect}"
        return f"People:{len(self)}:{how}:{self.dataset.fingerprint()}"

    @cached_property
    def _boxes(self) -> NDArray[np.float32]:
        """Everybody's, (people, 4), xyxy in pixels of their pictures."""
        told = self.dataset.to_table(["person_boxes"])["person_boxes"]
        parts = [chunk.flatten().flatten().to_numpy().reshape(-1, 4) for chunk in told.chunks]
        boxes = np.concatenate([np.empty((0, 4), np.float32), *parts])
        if len(boxes) != len(self):
            raise DataError(
                f"the index of {self.dataset.root} counts {len(self)} people and has "
                f"{len(boxes)} boxes: run `humanverse verify`"
            )
        return boxes

    def _place(self, number: int) -> tuple[int, int]:
        """The number of the picture, and the person's in it."""
        picture = int(np.searchsorted(self._ends, number, "right"))
        before = int(self._ends[picture - 1]) if picture else 0
        return picture, number - before


def _people(dataset: Dataset, margin: float, aspect: float | None) -> People:
    return People(dataset, margin=margin, aspect=aspect)


def surroundings(
    boxes: NDArray[np.floating],
    shapes: NDArray[np.integer[Any]],
    margin: float = 0.1,
    aspect: float | None = None,
) -> NDArray[np.int64]:
    """What is around boxes, inside of their pictures: (n, 4) left, top, width and height.

    Args:
        boxes: (n, 4), xyxy in pixels.
        shapes: (n, 2), heights and widths of the pictures.
        margin: what each side is moved outwards, as a share of the box's width or height.
        aspect: width by height to which they are made wider or taller, and moved inwards where they
            would leave the picture. Where the picture is too small for that, it is not reached.
    """
    whole = shapes[:, ::-1].astype(np.int64)  # (n, 2): width, height
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    spare = (high - low) * margin
    low, high = low - spare, high + spare
    if aspect is None:
        first = np.clip(np.floor(low), 0, whole - 1)
        count = np.maximum(1, np.minimum(whole, np.ceil(high)) - first)
    else:
        wide = np.maximum((high - low)[:, 0], (high - low)[:, 1] * aspect)
        count = np.clip(np.ceil(np.stack([wide, wide / aspect], axis=1)), 1, whole)
        first = np.clip(np.rint((low + high - count) / 2), 0, whole - count)
    return np.concatenate([first, count], axis=1).astype(np.int64)


def _within(outer: View, inner: View) -> View:
    """A view of what another one shows, unscaled, as one view of the picture."""
    return replace(inner, left=outer.left + inner.left, top=outer.top + inner.top, of=outer.of)
