"""Load: samples out of shards, at random, members read only where they are asked for."""

from humanverse.load.dataset import Dataset, open
from humanverse.load.mixture import concat, mix

__all__ = ["Dataset", "concat", "mix", "open"]
