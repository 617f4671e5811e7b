"""The stage that brings squares: the middle of each picture, all of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace

from humanverse.collect.picture import Bounds
from humanverse.collect.stage import RANGES, Collect


@dataclass
class CollectSquare(Collect):
    """As `Collect`, but stores the largest square amid each picture, shrunk to `side`.

    What is cut follows from the size of the upright picture. `max_side` has no say.
    """

    side: int = 512
    """Of the square, pixels."""
    enlarge: bool = False
    """Make squares that are smaller than that larger; else they stay as small as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        least, most = RANGES["max_side"]
        if not least <= self.side <= most:
            raise ValueError(f"side is {least} to {most}")

    def bounds(self) -> Bounds:
        """What is taken, and what is stored of it."""
        whole = replace(self, max_side=self.side)
        return replace(Collect.bounds(whole), square=self.side, enlarge=self.enlarge)
