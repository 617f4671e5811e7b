"""Load: samples out of shards, at random, members read only where they are asked for."""

from humanverse.load.dataset import Dataset, open

__all__ = ["Dataset", "open"]
