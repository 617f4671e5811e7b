"""Settings of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


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
        if self.unit_rows < 1:
            raise ValueError("a unit has at least one row")
