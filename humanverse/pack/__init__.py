"""Shards, their index and the dataset's card, out of committed layers."""

from humanverse.pack.settings import Pack

__all__ = ["Pack"]
