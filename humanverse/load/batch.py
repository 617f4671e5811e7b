"""Samples as a batch: arrays side by side, as NumPy's or as torch's."""

from __future__ import annotations

import threading
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.load.decode import NO_ROOM
from humanverse.load.samples import Room
from humanverse.load.view import Sample

Batch = dict[str, Any]
Tensors = Literal["numpy", "torch"]
PICTURES = ("image", "normals", "pose_map")
"""Columns whose last axis is one of channels."""


class Gathered:
    """A batch that is being filled, by several threads, row by row.

    Arrays of one shape go into one array as they come, so that a sample's own memory is free for
    the next one: new memory costs the system as much as copying. All else stands in lists.
    """

    def __init__(self, rows: int) -> None:
        self._names: list[tuple[str, ...]] = [()] * rows
        self._arrays: dict[str, NDArray[Any]] = {}
        self._others: list[Sample] = [{} for _ in range(rows)]
        self._lock = threading.Lock()

    def room(self, row: int) -> dict[str, NDArray[Any]]:
        """Where a row's arrays may be written at once, by column."""
        return {name: array[row] for name, array in self._arrays.items()}

    def put(self, row: int, sample: Sample, room: Room = NO_ROOM) -> None:
        """Set a row, once. What a sample holds of the row's `room` stands there already."""
        self._names[row] = tuple(sample)
        for name, value in sample.items():
            array = self._array(name, value) if isinstance(value, np.ndarray) else None
            if array is None:
                self._others[row][name] = value
            elif value is not room.get(name):
                array[row] = value

    def batch(self) -> Batch:
        """All rows: an array of a column whose values are arrays of one shape, of others a list.

        A column that only some samples have is null for the others. People differ in number, so
        `poses` is a list, unless every sample shows as many.
        """
        return {name: self._column(name) for name in dict.fromkeys(chain(*self._names))}

    def _array(self, name: str, value: NDArray[Any]) -> NDArray[Any] | None:
        """Where a value of this shape goes; the first one decides it."""
        with self._lock:
            if name not in self._arrays:
                self._arrays[name] = np.empty((len(self._names), *value.shape), value.dtype)
        array = self._arrays[name]
        fits = array.shape[1:] == value.shape and array.dtype == value.dtype
        return array if fits else None

    def _column(self, name: str) -> Any:
        array = self._arrays.get(name)
        held = [
            name in names and name not in other
            for names, other in zip(self._names, self._others, strict=True)
        ]
        if array is not None and all(held):
            return array
        return [
            array[row] if here and array is not None else self._others[row].get(name)
            for row, here in enumerate(held)
        ]


def as_torch(batch: Batch, pin: bool) -> Batch:
    """The same with tensors for arrays, and channels before rows: (n, 3, H, W).

    Pictures keep the order in memory that they have, which is torch's `channels_last`. Pinned ones
    can be sent to a GPU beside other work.

    Raises:
        UsageError: there is no torch.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError("tensors='torch' needs torch: pip install 'humanverse[train]'") from error

    def tensor(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [tensor(name, inner) for inner in value]
        if not isinstance(value, np.ndarray):
            return value
        made = torch.from_numpy(value)
        made = made.pin_memory() if pin else made
        return made.movedim(-1, -3) if name in PICTURES else made

    return {name: tensor(name, value) for name, value in batch.items()}
