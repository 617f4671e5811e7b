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
    title: str = ""
    """These are for the card alone: what the dataset is called, if not as the recipe is,"""
    creator: str = ""
    """who made it,"""
    contact: str = ""
    """where owners of pictures ask for removal,"""
    licence: str = ""
    """under which licence labels and list are given on: a URL, or a name of SPDX's,"""
    url: str = ""
    """where it can be had,"""
    date: str = ""
    """since when, as 2026-11-30,"""
    cite: str = ""
    """and how to cite it (BibTeX)."""

    def __post_init__(self) -> None:
        if self.units_per_shard < 1:
            raise ValueError("a shard holds at least one unit")
