"""What can be read sample by sample, and therefore in batches, whatever it is made of."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.load.view import Sample, Size, View

if TYPE_CHECKING:
    from humanverse.load.loader import Loader

Choose = Callable[[Size], View]
"""Says, of a picture of some height and width, what is to be seen of it."""


Room = Mapping[str, NDArray[Any]]
"""Arrays, by column, that its value may be written to."""


class Samples(ABC):
    """Samples by number, each a dict with a `key`. Reading is safe from several threads."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def key(self, number: int) -> str:
        """The key of a sample, without reading it; no other one here has the same."""

    @abstractmethod
    def look(self, number: int, choose: Choose | None = None, out: Room | None = None) -> Sample:
        """A sample as it is or, where it holds a picture or map, as a view of it.

        A view comes cheaper this way than out of a sample: pictures are decoded no larger than it
        needs them. `number` is 0 or more. What `out` has room for is written there, if it is of
        that shape and type, and what the sample then holds is the room itself.

        Raises:
            DataError: it cannot be read.
        """

    def fingerprint(self) -> str:
        """Differs between sources whose samples differ, in number or order."""
        return f"{type(self).__name__}:{len(self)}"

    def sizes(self) -> NDArray[np.integer[Any]]:
        """Height and width of each sample's picture, (n, 2), without reading them.

        Raises:
            UsageError: nobody knows them.
        """
        raise UsageError(f"a {type(self).__name__} does not know its pictures' sizes beforehand")

    def at_epoch(self, seed: int, epoch: int) -> Samples:  # noqa: ARG002 - others draw by them
        """What an epoch is made of, if it is not always the same; of the same length each time."""
        return self

    def __getitem__(self, which: int) -> Sample:
        """A sample by its number, negative ones from the end."""
        return self.look(self._inside(which))

    def __getitems__(self, numbers: Sequence[int]) -> list[Sample]:
        """Several samples, as torch's `DataLoader` asks for them."""
        return [self[number] for number in numbers]

    def __iter__(self) -> Iterator[Sample]:
        return (self.look(number) for number in range(len(self)))

    def loader(self, batch_size: int, *, epoch: int = 0, **reading: Any) -> Loader:
        """Batches for training: see `humanverse.load.loader.Reading` for what can be said.

        >>> for batch in dataset.loader(256, image_size=512, crop="random"):  # doctest: +SKIP
        ...     batch["image"].shape
        (256, 512, 512, 3)

        Raises:
            UsageError: batches of this size cannot be, or a name is unknown.
        """
        from humanverse.load.loader import Loader, Reading

        known = Reading.__dataclass_fields__.keys() - {"batch_size"}
        if unknown := reading.keys() - known:
            names = ", ".join(sorted(known))
            raise UsageError(f"a loader has no {', '.join(sorted(unknown))}: choose of {names}")
        return Loader(self, Reading(batch_size, **reading), epoch)

    def _inside(self, which: int) -> int:
        which = operator.index(which)
        number = which + len(self) if which < 0 else which
        if not 0 <= number < len(self):
            raise IndexError(f"sample {which} of {len(self)}")
        return number
