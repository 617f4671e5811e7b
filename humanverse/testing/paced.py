"""Stages that take a time that is known, by sleeping or by computing, and hosts that differ.

What they say is `testing.stages`'; how long they take, and which hosts answer, follows from hashes,
so it is the same in every run.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from math import exp, log1p, sqrt
from statistics import NormalDist
from typing import Any, ClassVar

import pyarrow as pa

from humanverse.stage import BaseStage, Resources, operational
from humanverse.testing.stages import HashCopies, HashLabels


def part(text: str) -> float:
    """A number in [0, 1) that looks random but follows from a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13


def pace(seconds: float, spread: float, text: str) -> float:
    """Seconds that vary by a text: log-normal, of this mean and spread (a standard deviation over
    the mean).
    """
    sigma = sqrt(log1p(spread * spread))
    normal = NormalDist().inv_cdf(min(max(part(f"pace {text}"), 1e-9), 1 - 1e-9))
    return seconds * exp(sigma * normal - sigma * sigma / 2)


def take(seconds: float, *, busy: bool) -> None:
    """Let a time pass: of this thread's own CPU time if busy, else asleep."""
    if not busy:
        time.sleep(seconds)
        return
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(2000))


@dataclass
class PacedCollect(HashCopies):
    """Pictures by hash, from hosts that differ: some dead, some down while one unit is fetched, and
    each with its own share of pictures that are still there.
    """

    resources: ClassVar[Resources] = Resources(cpus=1, network=True)
    reasons: ClassVar[tuple[str, ...]] = ("http_gone", "dns")
    batch_rows: ClassVar[int] = 1_000_000  # a unit is one call

    seconds: float = operational(0.0)
    """A unit, on average."""
    spread: float = operational(0.0)
    busy: bool = operational(False)
    dead: float = 0.0
    """Share of hosts that never answer."""
    down: float = 0.0
    """Share of the others that do not answer while a unit is fetched."""
    there: tuple[float, float] = (1.0, 1.0)
    """A host's share of pictures that are there, evenly between these."""
    size: int = 0
    """Bytes that every picture is made to take, at least."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The pictures of a unit."""
        first = batch["key"][0].as_py() if batch.num_rows else ""
        take(pace(self.seconds, self.spread, first), busy=self.busy)
        answer, urls = super().__call__(batch), batch["url"].to_pylist()
        reasons = [self.ends(url, first) for url in urls]
        if not any(reasons) and not self.size:
            return answer
        kinds, columns = answer.schema, answer.to_pydict()
        told = zip(columns["reason"], reasons, strict=True)
        columns["reason"] = [old or new for old, new in told]
        if self.size:
            columns["image"] = [image and self._padded(image) for image in columns["image"]]
        return pa.table(columns, kinds)

    def ends(self, url: str, first: str) -> str | None:
        """Why a URL gives nothing in a unit whose first key is told; None if it gives a picture."""
        host = url.split("/")[2]
        if part(f"dead {host}") < self.dead or part(f"down {host} {first}") < self.down:
            return "dns"
        low, high = self.there
        share = low + (high - low) * part(f"there {host}")
        return None if part(f"gone {url}") < share else "http_gone"

    def _padded(self, image: bytes) -> bytes:
        """With noise behind its end, which decoders do not read."""
        return image + os.urandom(max(0, self.size - len(image)))


@dataclass
class PacedAlone(PacedCollect):
    """The same with one unit in hand at a time, as a stage that computes has."""

    resources: ClassVar[Resources] = Resources()


@dataclass
class PacedDetect(BaseStage):
    """A pool that looks at every picture and says nothing of it."""

    name: ClassVar[str] = "look"
    reads: ClassVar[tuple[str, ...]] = ("phash",)
    writes: ClassVar[pa.Schema] = pa.schema([("looked", pa.bool_())])
    batch_rows: ClassVar[int] = 1_000_000

    seconds: float = operational(0.0)
    spread: float = operational(0.0)
    busy: bool = operational(False)
    by_row: bool = operational(False)
    """Whether the seconds are a row's, else a unit's."""
    cpus: float = operational(0.5)

    @property
    def resources(self) -> Resources:  # type: ignore[override]  # here a setting decides
        """Others than its neighbours', so it has workers of its own."""
        return Resources(cpus=self.cpus)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Nothing new of each picture, after a while."""
        _wait(self, batch)
        looked = pa.array([True] * batch.num_rows, pa.bool_())
        return pa.table({"key": batch["key"], "looked": looked})


@dataclass
class PacedLabels(HashLabels):
    """Labels by hash, after a while."""

    batch_rows: ClassVar[int] = 1_000_000

    seconds: float = operational(0.0)
    spread: float = operational(0.0)
    busy: bool = operational(False)
    by_row: bool = operational(False)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """All labels of each picture."""
        _wait(self, batch)
        return super().__call__(batch)


def _wait(stage: Any, batch: pa.Table) -> None:
    if batch.num_rows:
        rows = batch.num_rows if stage.by_row else 1
        spent = pace(stage.seconds, stage.spread, f"{stage.name} {batch['key'][0].as_py()}")
        take(spent * rows, busy=stage.busy)
