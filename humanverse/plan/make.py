"""The plan: one pass over tables that gives every row a key, drops duplicates and cuts units.

Rows are scattered into partitions by key prefix; each partition is small enough to be sorted in
memory. Sorting by a hash shuffles hosts and sources by itself. A unit is one row group of a
partition's file, and its name is (generation, number). Rows that are not planned are written down
too, with their reason. More tables later make another generation, less what is known.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from humanverse import schema
from humanverse.errors import DataError, UsageError
from humanverse.keys import key_of, normalised_url
from humanverse.layers.sealed import sealed
from humanverse.layers.store import Store
from humanverse.plan.inputs import Table, brought, identified, linked, refuse_own_root, tables
from humanverse.plan.remote import Remote
from humanverse.plan.settings import Plan
from humanverse.plan.units import PLANNED, UNITS_PER_FILE, UNPLANNED, manifests, put
from humanverse.sources.images import holds_images

PARTITIONS = ((500_000, 0), (8_000_000, 1), (128_000_000, 2))
"""Rows up to which so many hex digits of the key make the partitions; beyond, three."""


def make_plan(
    store: Store, inputs: Sequence[Path | Remote], settings: Plan
) -> dict[str, Any] | None:
    """Plan what of `inputs` is not planned yet; None if that is nothing.

    Raises:
        UsageError: an input is missing, empty, or no table of images.
    """
    generations = manifests(store)
    known = {name for manifest in generations for name in manifest["inputs"]}
    found = identified(inputs)
    refuse_own_root(store, found.values())
    bounds = dataclasses.asdict(settings)
    for manifest in generations:
        again = found.keys() & set(manifest["inputs"])
        if again and manifest.get("settings", bounds) != bounds:
            raise UsageError(
                f"{min(again).rpartition('@')[0]} was planned with other plan settings: "
                "use those, or another --out"
            )
    new = {name: path for name, path in found.items() if name not in known}
    if not new:
        return None
    with tempfile.TemporaryDirectory(prefix="humanverse-plan-") as folder:
        scratch = Path(folder)
        fresh = brought(new, scratch)
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": folder}) as db:
            try:
                found_tables = tables(db, fresh, settings, scratch)
                total = sum(_count(db, table) for table in found_tables)
                if total == 0:
                    raise UsageError(f"{', '.join(map(str, inputs))}: no rows to plan")
                digits = next((digits for rows, digits in PARTITIONS if total <= rows), 3)
                for number, table in enumerate(found_tables):
                    _scatter(db, table, settings, digits, scratch / f"scattered-{number}")
            except duckdb.Error as error:
                _raise_if_outside(error, folder)
                reason = str(error).splitlines()[0]
                raise UsageError(f"{', '.join(fresh)} cannot be read: {reason}") from error
            store.prepare()  # only now is it known that there is something to write
            manifest = _cut(db, store, scratch, settings, generations)
    manifest |= {"schema": "humanverse.plan.v1", "inputs": sorted(fresh), "rows": total}
    manifest["online"] = any(_by_url(path) for path in new.values())
    manifest["settings"] = bounds
    planned = sum(part["rows"] for part in manifest["parts"])
    if planned + manifest["unplanned"] != total:
        raise DataError(
            f"the plan accounts for {planned} + {manifest['unplanned']} of {total} rows"
        )
    text = sealed(manifest)
    name = f"plan/{len(generations):02d}.json"
    if not store.create(name, text):
        raise DataError("another plan was made meanwhile: run the command again")
    return manifest


def asks_web(store: Store, inputs: Iterable[Path | Remote]) -> bool:
    """Whether rows planned, or to be planned, name their images by URL."""
    planned = any(manifest.get("online", True) for manifest in manifests(store))
    return planned or any(_by_url(path) for path in inputs)


def _by_url(path: Path | Remote) -> bool:
    """Whether an input names its images by URL; of one that is not there this is not said."""
    return isinstance(path, Remote) or (path.exists() and not holds_images(path))


def _raise_if_outside(error: duckdb.Error, folder: str) -> None:
    """Tell a disk that takes no more from a table that cannot be read."""
    told = re.search(r'Could not write.*"errno":"(\d+)"', str(error), re.DOTALL)
    if told:
        number = int(told[1])
        raise OSError(number, os.strerror(number), folder) from error


def _count(db: duckdb.DuckDBPyConnection, table: Table) -> int:
    row = db.execute(f"SELECT count(*) FROM {table.sql}").fetchone()
    return int(row[0]) if row else 0


def _scatter(
    db: duckdb.DuckDBPyConnection, table: Table, settings: Plan, digits: int, target: Path
) -> None:
    """Give every row its key and its reason, and write it to its partition."""
    typed = []
    for column, kind in _SQL_TYPES.items():
        if column in table.columns:
            cast = f"TRY_CAST({table.columns[column]} AS {kind})"
            # Where a table has gaps, pandas writes NaN, which compares as greater than anything.
            cast = f"nullif({cast}, 'nan'::FLOAT)" if kind == "FLOAT" else cast
            typed.append(f"{cast} AS {column}")
        else:
            typed.append(f"CAST(NULL AS {kind}) AS {column}")
    name = table.name.replace("'", "''")
    file = f"'{name}'" if name else "file"
    identity = "'row:' || source || ':' || file || ':' || row"
    sha256 = "sha256" if "sha256" in table.columns else "NULL"
    db.execute("SET preserve_insertion_order = false")
    db.execute(f"""
      COPY (
        WITH typed AS (
          SELECT {", ".join(typed)}, {file} AS file, {table.row} AS row,
                 {table.columns.get("url", "NULL")}::VARCHAR AS raw, {sha256} AS sha
          FROM {table.sql}),
        addressed AS (SELECT *, {normalised_url("raw")} AS url FROM typed),
        keyed AS (
          SELECT * EXCLUDE (raw), {key_of(f"coalesce(url, 'sha256:' || sha, {identity})")} AS key,
                 {_reason(settings)} AS reason
          FROM addressed)
        SELECT key, source, file, row, {", ".join(c for c in schema.PLAN if c not in _FIRST)},
               reason, left(key, {digits}) AS partition
        FROM keyed
      ) TO '{target}' (FORMAT parquet, PARTITION_BY (partition), COMPRESSION zstd)
    """)


def _reason(settings: Plan) -> str:
    """SQL: why a row is not planned, NULL if it is. What a table does not say, bars nothing."""
    rules = [
        # Sources of images at hand whose row came without its image.
        ("location IS NULL AND source IN ('img2dataset', 'coco')", "'not_at_hand'"),
        ("location IS NULL AND source = 'parquet' AND url IS NULL", "'not_at_hand'"),
        ("location IS NULL AND url IS NULL", "'bad_url'"),
    ]
    if settings.max_punsafe is not None:
        rules.append((f"punsafe > {settings.max_punsafe} OR upper(nsfw) = 'NSFW'", "'hint_unsafe'"))
    if settings.max_pwatermark is not None:
        rules.append((f"pwatermark > {settings.max_pwatermark}", "'hint_watermark'"))
    if settings.min_aesthetic is not None:
        rules.append((f"aesthetic_hint < {settings.min_aesthetic}", "'hint_aesthetic'"))
    if settings.min_side is not None:
        rules.append((f"least(width_hint, height_hint) < {settings.min_side}", "'hint_small'"))
    if settings.min_faces is not None:
        rules.append((f"num_faces < {settings.min_faces}", "'hint_faces'"))
    cases = " ".join(f"WHEN {condition} THEN {reason}" for condition, reason in rules)
    return f"CASE {cases} ELSE NULL END"


def _cut(
    db: duckdb.DuckDBPyConnection,
    store: Store,
    scratch: Path,
    settings: Plan,
    generations: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Sort each partition, drop duplicates, and write it with one row group a unit."""
    number = len(generations)
    names = sorted({p.name for p in scratch.glob("scattered-*/partition=*")})
    earlier = [f"plan/{part['file']}" for m in generations for part in m["parts"]]
    if gone := [name for name in earlier if not store.exists(name)]:
        raise DataError(f"{store.place(gone[0])} is missing: restore it from a copy")
    paths = [store.fetched(name, scratch) for name in earlier]
    known = [linked(path, scratch, f"known-{n}") for n, path in enumerate(paths)]
    parts: list[dict[str, Any]] = []
    unplanned = 0
    for name in names:
        files = ", ".join(f"'{p}'" for p in sorted(scratch.glob(f"scattered-*/{name}/*.parquet")))
        table = _deduplicated(db, files, _known_sql(known, name))
        planned = table.filter(pc.is_null(table["reason"])).drop_columns("reason")
        others = table.filter(pc.is_valid(table["reason"]))
        most = settings.unit_rows * UNITS_PER_FILE
        for start in range(0, max(planned.num_rows, 1), most):
            base = f"{number:02d}.{len(parts):04d}"
            rows = planned.slice(start, most)
            file, sha256 = put(store, base, rows.cast(PLANNED), settings.unit_rows)
            parts.append({"file": file, "rows": rows.num_rows, "sha256": sha256})
            if start == 0:  # what is not planned is told beside the first
                other, other_sha256 = put(store, f"{base}.unplanned", others.cast(UNPLANNED))
                parts[-1] |= {"unplanned": other, "unplanned_sha256": other_sha256}
        unplanned += others.num_rows
    return {"parts": parts, "unplanned": unplanned, "unit_rows": settings.unit_rows}


def _deduplicated(db: duckdb.DuckDBPyConnection, files: str, known: str) -> pa.Table:
    """A partition sorted by key; of rows with one key the first by (source, file, row) is kept."""
    return db.sql(f"""
      SELECT * EXCLUDE (reason, place),
             CASE WHEN reason IS NULL AND (place > 1 OR {known}) THEN 'duplicate' ELSE reason END
               AS reason
      FROM (SELECT *, row_number() OVER (
                        PARTITION BY key, reason IS NULL ORDER BY source, file, row) AS place
            FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true))
      ORDER BY key, source, file, row
    """).to_arrow_table()


def _known_sql(known: Sequence[Path], partition: str) -> str:
    """SQL: whether a row's key stands in a file of an earlier generation."""
    # Where one partition holds all, the engine gives it a name that is no prefix.
    match = re.fullmatch(r"partition=([0-9a-f]*)", partition)
    prefix = match[1] if match else ""
    if not known:
        return "false"
    listed = ", ".join(f"'{file}'" for file in known)
    return f"key IN (SELECT key FROM read_parquet([{listed}]) WHERE starts_with(key, '{prefix}'))"


_FIRST = ("key", "source", "file", "row")
_ARROW_TO_SQL = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
}
_SQL_TYPES = {
    name: _ARROW_TO_SQL[column.type]
    for name, column in schema.PLAN.items()
    if name not in ("key", "file", "row", "url")
}
