"""Very large tables, made thinner before they are planned: a part of the keys, with all their rows.

A key is a hash of the URL, so a part of the keys that begin alike is drawn at random from all URLs,
and duplicates of a URL come along or stay away together. Rows drawn one by one would leave most
duplicates without their other copy, and a plan of them would hold too many rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from humanverse.errors import UsageError
from humanverse.keys import key_of, normalised_url
from humanverse.plan.inputs import brought, identified, linked
from humanverse.plan.remote import Remote
from humanverse.plan.settings import Plan
from humanverse.sources import SOURCES
from humanverse.sources.images import holds_images
from humanverse.sources.table import columns_of, recognise, relation

WANTED = 500_000
"""Rows that are left at least: tables of less than 16 times as many are planned as they are."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """What is planned in place of the inputs."""

    inputs: list[Path]
    rows: int
    """Of the whole inputs; 0 where they were not counted, since all are planned."""
    part: float
    """Of the keys that is left: 1, or 1 over a power of 16."""


def thinned(inputs: Sequence[Path | Remote], plan: Plan, seed: int, scratch: Path) -> Thinned:
    """The inputs, or tables of a part of their keys where they hold very many rows.

    What lies elsewhere is brought to `scratch` first.

    Raises:
        UsageError: an input is missing or no table of images.
    """
    found = identified(inputs)
    tables = list(brought(found, scratch).values())
    local = [path for path in inputs if isinstance(path, Path)]
    whole = local if len(local) == len(inputs) else tables
    if any(holds_images(path) for path in tables):
        return Thinned(whole, 0, 1.0)
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(scratch)}) as db:
        try:
            links = [linked(path, scratch, f"whole-{n}") for n, path in enumerate(tables)]
            if nameless := [p for p, link in zip(tables, links, strict=True) if not link.suffix]:
                raise UsageError(f"{nameless[0]}: a table is Parquet, CSV, TSV or JSON Lines")
            rows = sum(_count(db, link) for link in links)
            digits = 0
            while rows / 16 ** (digits + 1) >= WANTED:
                digits += 1
            if digits == 0:
                return Thinned(whole, 0, 1.0)
            drawn = random.Random(seed)  # noqa: S311 - a draw that can be repeated
            prefix = "".join(drawn.choice("0123456789abcdef") for _ in range(digits))
            pairs = zip(links, tables, strict=True)
            left = [_left(db, link, path, plan, prefix) for link, path in pairs]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{', '.join(map(str, inputs))} cannot be read: {reason}") from error
    return Thinned(left, rows, 1 / 16**digits)


def _count(db: duckdb.DuckDBPyConnection, link: Path) -> int:
    if link.suffix == ".parquet":
        return int(pq.read_metadata(link).num_rows)
    row = db.execute(f"SELECT count(*) FROM {relation(link)}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _left(db: duckdb.DuckDBPyConnection, link: Path, path: Path, plan: Plan, prefix: str) -> Path:
    """The rows of a table whose keys begin so, as a table of the same name."""
    found = columns_of(db, link, path)
    source = recognise(path, found, SOURCES, plan.source)
    named = source.find(found)["url"].replace('"', '""')
    # What has no URL has no key: it is drawn by all that its row says.
    text = f"coalesce({normalised_url('raw')}, 'none:' || hash(whole))"
    target = link.with_name(f"{link.name}-part") / f"{path.name.split('.')[0]}.parquet"
    target.parent.mkdir()
    place = str(target).replace("'", "''")
    rows = "EXCLUDE (file_row_number)" if link.suffix == ".parquet" else ""
    db.execute(
        f"COPY (SELECT * EXCLUDE (raw) FROM (SELECT * {rows}, "  # noqa: S608
        f'CAST("{named}" AS VARCHAR) AS raw FROM {relation(link)}) AS whole '
        f"WHERE starts_with({key_of(text)}, '{prefix}')) TO '{place}' (FORMAT parquet)"
    )
    return target
