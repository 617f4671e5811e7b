"""A stage that some rows kill, as a library in C may be killed by what it is given."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from humanverse.stage import BaseStage


def hang() -> None:
    """Loop for ever."""
    while True:
        pass


def eat() -> None:
    """Be killed as the kernel does it when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    """Touch memory that is not there."""
    os.kill(os.getpid(), signal.SIGSEGV)


def fail() -> None:
    """Raise what no stage should."""
    raise RuntimeError("a row that a library cannot bear")


KINDS: dict[str, Callable[[], None]] = {
    "crash": crash,
    "abort": os.abort,
    "hang": hang,
    "eat": eat,
    "fail": fail,
}
"""What a URL that ends in one of these words does to the process."""


@dataclass
class Deadly(BaseStage):
    """The length of each URL, unless it is deadly."""

    name: ClassVar[str] = "deadly"
    reads: ClassVar[tuple[str, ...]] = ("url",)
    writes: ClassVar[pa.Schema] = pa.schema([("letters", pa.int32())])
    fragile: ClassVar[bool] = True
    deadline: ClassVar[float] = 2.5

    def __call__(self, batch: pa.Table) -> pa.Table:
        """How many letters each URL has."""
        urls = batch["url"].to_pylist()
        for url in urls:
            if kill := KINDS.get(url.rpartition("/")[2]):
                kill()
        letters = pa.array([len(url) for url in urls], pa.int32())
        return pa.table([batch["key"], letters], names=["key", "letters"])
