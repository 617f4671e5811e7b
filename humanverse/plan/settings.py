"""Settings of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

MOST_ROWS = 1_000_000
"""Of a unit: all of it is in memory at a time."""


@dataclass(frozen=True)
class Plan:
    """Settings of the plan. Of the bounds on what a table claims only the one on NSFW is on."""

    name: ClassVar[str] = "plan"
    source: str = "auto"
    unit_rows: int = 1000
    allow_withdrawn: bool = False
    max_punsafe: float | None = 0.5
    max_pwatermark: float | None = None
    min_aesthetic: float | None = None
    min_side: int | None = None
    min_faces: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.unit_rows <= MOST_ROWS:
            raise ValueError(f"a unit has at least one row and at most {MOST_ROWS:,}")
