"""Settings of the selection."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from humanverse.errors import UsageError
from humanverse.stage import Stage, operational

EMBEDDING = "embedding"
"""The column by which near-duplicates are looked for with `by=embedding`."""
MOST_BITS = 8


@dataclass(frozen=True)
class Select:
    """What becomes of near-duplicates, how samples are split, which pictures must not be there."""

    name: ClassVar[str] = "select"
    enabled: bool = True
    near_duplicates: Literal["keep", "drop"] = "drop"
    by: Literal["phash", "embedding"] = "phash"
    max_distance: int = 4
    """Bits of 64 in which the perceptual hashes of near-duplicates may differ."""
    min_cosine: float = 0.97
    """Of the embeddings of near-duplicates, with `by=embedding`."""
    splits: tuple[str, ...] = ("train=0.98", "validation=0.01", "test=0.01")
    """Names with their shares, which add up to 1."""
    benchmarks: tuple[Path, ...] = operational(())
    """Pictures that must not be in the dataset: folders, tars, Parquet with bytes or with `phash`.
    What they hold, not where it lies, decides."""
    max_benchmark_distance: int = 6
    """Bits in which a picture's hash may differ from that of one of theirs."""

    def __post_init__(self) -> None:
        for name in ("max_distance", "max_benchmark_distance"):
            if not 0 <= getattr(self, name) <= MOST_BITS:
                raise ValueError(f"{name} is 0 to {MOST_BITS} bits of 64")
        if not 0.5 <= self.min_cosine <= 1:
            raise ValueError("min_cosine is 0.5 to 1")
        shares = self.shares()
        if len(shares) < len(self.splits) or not math.isclose(sum(shares.values()), 1):
            raise ValueError("splits have names of their own and shares that add up to 1")

    def shares(self) -> dict[str, float]:
        """The splits: name to share, in order."""
        found = [re.fullmatch(r"([a-z][a-z0-9_-]*)=(0?\.\d+|1(?:\.0*)?)", s) for s in self.splits]
        shares = {match[1]: float(match[2]) for match in found if match}
        if not all(found) or not shares or not all(shares.values()):
            raise ValueError("splits are written as train=0.9,test=0.1")
        return shares

    def check(self, stages: Sequence[Stage]) -> None:
        """Refuse what cannot work, before anything is written.

        Raises:
            UsageError: no stage gives the column that it needs, or a benchmark is not there.
        """
        if not self.enabled:
            return
        given = {name for stage in stages for name in stage.writes.names}
        if self.by == "embedding" and EMBEDDING not in given:
            raise UsageError(
                f"select.by=embedding needs a stage that writes the column {EMBEDDING}: "
                "add one to the recipe, or look by phash"
            )
        if self.by == "phash" and "phash" not in given:
            raise UsageError(
                "select.by=phash needs a stage that writes the column phash, as Collect does"
            )
        if missing := [str(path) for path in self.benchmarks if not path.exists()]:
            raise UsageError(f"select.benchmarks: there is no {missing[0]}")
