"""What concerns the whole dataset: near-duplicates, splits, and pictures of benchmarks in it."""

from humanverse.select.settings import Select

__all__ = ["Select"]
