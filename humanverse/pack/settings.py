"""Settings of the packing."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Caption = Literal["web", "generated"]


@dataclass(frozen=True)
class Pack:
    """How units become shards."""

    name: ClassVar[str] = "pack"
    units_per_shard: int = 10
    caption: Caption = "web"
    """Whose words stand in `{key}.txt`; both are in `{key}.json`. Where nobody generated any, the
    web's do."""

    def __post_init__(self) -> None:
        if self.units_per_shard < 1:
            raise ValueError("a shard holds at least one unit")
