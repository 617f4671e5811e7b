"""The people of a dataset one by one: a sample is a person, with what is around them cut to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError, UsageError
from humanverse.load.samples import Choose, Samples
from humanverse.load.view import Sample, Size, View

if TYPE_CHECKING:
    from humanverse.load.dataset import Dataset


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

    def look(self, number: int, choose: Choose | None = None) -> Sample:
        """A person, or a view of what is around them: see `Samples.look`."""
        picture, person = self._place(number)
        box = self._boxes[number]

        def crop(shape: Size) -> View:
            around = surroundings(box.tolist(), shape, self.margin, self.aspect)
            return _within(around, choose(around.size)) if choose else around

        sample = self.dataset.look(picture, crop)
        for name in ("poses", "boxes"):
            if name in sample:
                sample[name] = sample[name][person : person + 1]
        own = sample["view"].boxes(box[None])[0]
        return sample | {"key": f"{sample['key']}/{person}", "person": person, "box": own}

    def __reduce__(self) -> tuple[Any, ...]:
        """For workers that are spawned: they count for themselves."""
        return _people, (self.dataset, self.margin, self.aspect)

    def fingerprint(self) -> str:
        """Of the dataset, and of how crops are made."""
        how = f"{self.margin}:{self.aspect}"
        return f"People:{len(self)}:{how}:{self.dataset.fingerprint()}"

    @cached_property
    def _boxes(self) -> NDArray[np.float32]:
        """Everybody's, (people, 4), xyxy in pixels of their pictures."""
        told = self.dataset.to_table(["person_boxes"])["person_boxes"].combine_chunks()
        boxes = told.flatten().flatten().to_numpy().reshape(-1, 4)
        if len(boxes) != len(self):
            raise DataError(
                f"the index of {self.dataset.root} counts {len(self)} people and has "
                f"{len(boxes)} boxes: run `humanverse verify`"
            )
        return np.asarray(boxes, np.float32)

    def _place(self, number: int) -> tuple[int, int]:
        """The number of the picture, and the person's in it."""
        picture = int(np.searchsorted(self._ends, number, "right"))
        before = int(self._ends[picture - 1]) if picture else 0
        return picture, number - before


def _people(dataset: Dataset, margin: float, aspect: float | None) -> People:
    return People(dataset, margin=margin, aspect=aspect)


def surroundings(
    box: Sequence[float], shape: Size, margin: float = 0.1, aspect: float | None = None
) -> View:
    """What is around a box, in whole pixels and inside of a picture.

    Args:
        box: xyxy in pixels.
        shape: height and width of the picture.
        margin: what each side is moved outwards, as a share of the box's width or height.
        aspect: width by height to which it is made wider or taller, and moved inwards where it
            would leave the picture. Where the picture is too small for that, it is not reached.
    """
    left, top, right, bottom = box
    across, down = (right - left) * margin, (bottom - top) * margin
    left, top, right, bottom = left - across, top - down, right + across, bottom + down
    if aspect is None:
        (x, width), (y, height) = _cut(left, right, shape[1]), _cut(top, bottom, shape[0])
    else:
        wide = max(right - left, (bottom - top) * aspect)
        x, width = _moved((left + right) / 2, wide, shape[1])
        y, height = _moved((top + bottom) / 2, wide / aspect, shape[0])
    return View(x, y, width, height, (height, width), of=shape)


def _cut(start: float, end: float, whole: int) -> tuple[int, int]:
    """Of `whole` pixels those that a range touches, at least one: the first, and how many."""
    first = min(max(0, math.floor(start)), whole - 1)
    return first, max(1, min(whole, math.ceil(end)) - first)


def _moved(middle: float, size: float, whole: int) -> tuple[int, int]:
    """Of `whole` pixels so many, as far as there are, around a place: the first, and how many."""
    count = max(1, min(whole, math.ceil(size)))
    return min(max(0, round(middle - count / 2)), whole - count), count


def _within(outer: View, inner: View) -> View:
    """A view of what another one shows, unscaled, as one view of the picture."""
    return replace(inner, left=outer.left + inner.left, top=outer.top + inner.top, of=outer.of)
