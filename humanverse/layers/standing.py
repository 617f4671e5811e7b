"""How far a root is and how fast it goes, from plan and commits alone.

Nothing of the run itself is asked, so it can be told beside any run, from any machine that reaches
the root.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from humanverse import plan
from humanverse.layers.commit import FOLDER as RECEIPTS
from humanverse.layers.commit import Commit
from humanverse.layers.ledger import Funnel, funnel
from humanverse.layers.rolled import read_rows
from humanverse.layers.store import Store
from humanverse.pack.listing import read_shards

WINDOW = 600.0
"""Seconds before the last commit over which the rate is told."""
QUIET = 120.0
"""Seconds without a commit, or five times what one takes, after which nobody seems to work."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Of the commits of late."""

    stage: str
    """The last stage that the newest commit holds: what is being worked towards."""
    units_a_second: float
    since: float
    """Seconds since the last one."""
    running: bool
    """Whether the next one may be expected."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A root at one moment."""

    funnel: Funnel
    bytes: dict[str, int]
    """On disk, by layer, with `shards` last; files since replaced included."""
    free: int | None
    """Bytes left on the disk of a folder."""
    pace: Pace | None
    """None before two commits were made."""

    unit_rows: float
    """Rows of a unit, mean."""

    @property
    def rows_a_second(self) -> float:
        """Planned rows of the units committed of late."""
        return self.pace.units_a_second * self.unit_rows if self.pace else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until every unit is through the stage worked towards; None if nobody works, or none is
        left.
        """
        pace = self.pace
        left = self.funnel.units - self.funnel.through[pace.stage] if pace else 0
        if pace is None or not left or not pace.running or not pace.units_a_second:
            return None
        return left / pace.units_a_second


def standing(store: Store, now: float | None = None) -> Standing:
    """How a root stands.

    Args:
        store: the root.
        now: seconds since 1970; the clock's if None.

    Raises:
        UsageError: the folder is no root.
    """
    counts = funnel(store)
    units = plan.units(store)
    folder = store.folder
    free = None if folder is None else shutil.disk_usage(folder).free
    rows = float(units.sizes().mean()) if len(units) else 0.0
    pace = _pace(store, list(counts.through), time.time() if now is None else now)
    return Standing(counts, _sizes(store), free, pace, rows)


def watched(store: Store, every: float) -> Iterator[Standing]:
    """How it stands, every so many seconds, until every unit is through every stage."""
    while True:
        told = standing(store)
        yield told
        if told.funnel.committed == told.funnel.units:
            return
        time.sleep(every)


def _pace(store: Store, stages: list[str], now: float) -> Pace | None:
    dated = [(date, name) for name, date in store.dated(RECEIPTS) if name.endswith(".json")]
    if len(dated) < 2:
        return None
    newest = Commit.from_json(store.read(f"{RECEIPTS}/{max(dated)[1]}"))
    reached = [stage for stage in stages if stage in newest.layers]
    return pace_of(sorted(date for date, _ in dated), now, reached[-1]) if reached else None


def pace_of(dates: list[float], now: float, stage: str) -> Pace:
    """What the times of commits, ascending, two at least, say of the next ones."""
    late = [date for date in dates if date > dates[-1] - WINDOW]
    span = late[-1] - late[0]
    rate = (len(late) - 1) / span if span > 0 else 0.0
    since = max(now - dates[-1], 0.0)
    return Pace(stage, rate, since, since < max(QUIET, 5 / rate if rate else 0.0))


def _sizes(store: Store) -> dict[str, int]:
    rows = read_rows(store, ("unit", "number", "layer", "parquet_bytes", "tar_bytes"))
    rows = rows.filter(pc.is_valid(rows["layer"]))
    both = pc.add(pc.fill_null(rows["parquet_bytes"], 0), pc.fill_null(rows["tar_bytes"], 0))
    sums = rows.append_column("bytes", both).group_by("layer").aggregate([("bytes", "sum")])
    sizes = {row["layer"]: row["bytes_sum"] for row in sums.to_pylist()}
    shards = read_shards(store)
    return sizes | ({"shards": sum(shard.tar_bytes for shard in shards)} if shards else {})
