"""Collect: URLs, or places of images at hand, to upright pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humanverse.collect.stage import Collect

__all__ = ["Collect"]


def __getattr__(name: str) -> Any:
    # Late, because decoders are many and need a small part of what the stage needs.
    if name == "Collect":
        from humanverse.collect.stage import Collect

        return Collect
    raise AttributeError(name)
