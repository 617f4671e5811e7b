"""Settings of the packing."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Pack:
    """How units become shards."""

    name: ClassVar[str] = "pack"
    units_per_shard: int = 10

    def __post_init__(self) -> None:
        if self.units_per_shard < 1:
            raise ValueError("a shard holds at least one unit")
