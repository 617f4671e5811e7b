"""Collect: URLs, or places of images at hand, to upright pictures."""

from humanverse.collect.stage import Collect

__all__ = ["Collect"]
