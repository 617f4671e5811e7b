"""The plan: one pass over tables that gives every row a key, drops duplicates and cuts units.

Rows are scattered into partitions by key prefix; each partition is small enough to be sorted in
memory. Sorting by a hash shuffles hosts and sources by itself. A unit is one row group of a
partition's file, and its name is (generation, number). Rows that are not planned are written down
too, with their reason. More tables later make another generation, less what is known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse import schema
from humanverse.errors import DataError, UsageError
from humanverse.keys import key_of, normalised_url
from humanverse.layers.store import Store, write_parquet
from humanverse.sources import SOURCES
from humanverse.sources.images import AT_HAND, holds_images
from humanverse.sources.images import tables as images_at_hand
from humanverse.sources.table import READERS, columns_of, recognise, relation

PARTITIONS = ((500_000, 0), (8_000_000, 1), (128_000_000, 2))
"""Rows up to which so many hex digits of the key make the partitions; beyond, three."""

PLANNED = schema.schema_of(schema.PLAN)
UNPLANNED = PLANNED.append(pa.field("reason", pa.string()))


@dataclass(frozen=True)
class Plan:
    """Settings of the plan. Of the bounds on what a table claims only the one on NSFW is on."""

    name: ClassVar[str] = "plan"
    source: str = "auto"
    unit_rows: int = 1000
    allow_withdrawn: bool = False
    max_punsafe: float | None = 0.5
    max_pwatermark: float | None = None
    min_aesthetic: float | None = None
    min_side: int | None = None
    min_faces: int | None = None

    def __post_init__(self) -> None:
        if self.unit_rows < 1:
            raise ValueError("a unit has at least one row")


@dataclass(frozen=True, slots=True)
class Unit:
    """Some thousand planned rows: what is worked on, fails and is committed together."""

    name: str
    file: str
    group: int
    rows: int


def make_plan(store: Store, inputs: Sequence[Path], settings: Plan) -> dict[str, Any] | None:
    """Plan what of `inputs` is not planned yet; None if that is nothing.

    Raises:
        UsageError: an input is missing, empty, or no table of images.
    """
    generations = manifests(store)
    known = {name for manifest in generations for name in manifest["inputs"]}
    found = _identified(inputs)
    _refuse_own_root(store, found.values())
    bounds = dataclasses.asdict(settings)
    for manifest in generations:
        again = found.keys() & set(manifest["inputs"])
        if again and manifest.get("settings", bounds) != bounds:
            raise UsageError(
                f"{min(again).rpartition('@')[0]} was planned with other plan settings: "
                "use those, or another --out"
            )
    fresh = {name: path for name, path in found.items() if name not in known}
    if not fresh:
        return None
    with tempfile.TemporaryDirectory(prefix="humanverse-plan-") as folder:
        scratch = Path(folder)
        with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": folder}) as db:
            try:
                tables = _tables(db, fresh, settings, scratch)
                total = sum(_count(db, table) for table in tables)
                if total == 0:
                    raise UsageError(f"{', '.join(map(str, inputs))}: no rows to plan")
                digits = next((digits for rows, digits in PARTITIONS if total <= rows), 3)
                for number, table in enumerate(tables):
                    _scatter(db, table, settings, digits, scratch / f"scattered-{number}")
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise UsageError(f"{', '.join(fresh)} cannot be read: {reason}") from error
            store.prepare()  # only now is it known that there is something to write
            manifest = _cut(db, store, scratch, settings, generations)
    manifest |= {"schema": "humanverse.plan.v1", "inputs": sorted(fresh), "rows": total}
    manifest["online"] = any(not holds_images(path) for path in fresh.values())
    manifest["settings"] = bounds
    planned = sum(part["rows"] for part in manifest["parts"])
    if planned + manifest["unplanned"] != total:
        raise DataError(
            f"the plan accounts for {planned} + {manifest['unplanned']} of {total} rows"
        )
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    name = f"plan/{len(generations):02d}.json"
    if not store.create(name, text) and store.read(name) != text:
        raise DataError("another plan was made meanwhile: run the command again")
    return manifest


def manifests(store: Store) -> list[dict[str, Any]]:
    """The plan's generations, oldest first."""
    names = sorted(n for n in store.names("plan") if n.endswith(".json"))
    return [json.loads(store.read(f"plan/{name}")) for name in names]


def asks_web(store: Store, inputs: Iterable[Path]) -> bool:
    """Whether rows planned, or to be planned, name their images by URL."""
    planned = any(manifest.get("online", True) for manifest in manifests(store))
    return planned or any(not holds_images(path) for path in inputs if path.exists())


def units(store: Store) -> list[Unit]:
    """All units of all generations, in order."""
    return [unit for number, m in enumerate(manifests(store)) for unit in _units_of(number, m)]


def read_unit(store: Store, unit: Unit) -> pa.Table:
    """The rows of a unit, sorted by key."""
    with store.open(f"plan/{unit.file}") as f:
        return pq.ParquetFile(f).read_row_group(unit.group)


def read_unplanned(store: Store) -> Iterator[tuple[int, pa.Table]]:
    """Rows that no unit holds, with `reason`, by generation."""
    for number, manifest in enumerate(manifests(store)):
        for part in manifest["parts"]:
            with store.open(f"plan/{part['unplanned']}") as f:
                yield number, pq.read_table(f)


def _units_of(generation: int, manifest: dict[str, Any]) -> Iterator[Unit]:
    size, number = manifest["unit_rows"], 0
    for part in manifest["parts"]:
        for group, start in enumerate(range(0, part["rows"], size)):
            rows = min(size, part["rows"] - start)
            yield Unit(f"{generation:02d}-{number:07d}", part["file"], group, rows)
            number += 1


def _identified(inputs: Sequence[Path]) -> dict[str, Path]:
    """Inputs by a name that is the same on any machine: base name and a hash of content."""
    named = {}
    for path in inputs:
        if not path.exists():
            raise UsageError(f"no such input: {path}")
        tables = sorted(p for p in path.iterdir() if _is_table(p)) if path.is_dir() else []
        for file in tables or [path]:
            named[f"{file.resolve().name}@{_digest(file)}"] = file
    return named


def _refuse_own_root(store: Store, paths: Iterable[Path]) -> None:
    """A root inside an input folder would be read as input by the next run."""
    root = store.root.resolve()
    for path in paths:
        if path.is_dir() and root.is_relative_to(path.resolve()):
            raise UsageError(f"{store.root} lies in the input {path}: choose an --out elsewhere")


def _is_table(path: Path) -> bool:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix in READERS and suffix != ".json" and not path.with_suffix(".tar").exists()


def _digest(path: Path) -> str:
    """Of a file's size and first MiB, or of a folder's listing: enough to tell inputs apart."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        listing = "\n".join(f"{p.relative_to(path)} {p.stat().st_size}" for p in files)
        return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:12]
    with path.open("rb") as f:
        head = f.read(1 << 20)
    return hashlib.sha256(head + str(path.stat().st_size).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Table:
    """One input as the query engine sees it."""

    sql: str
    name: str
    columns: dict[str, str]
    """Our column to SQL."""
    row: str
    """SQL of the row number."""


def _tables(
    db: duckdb.DuckDBPyConnection, inputs: dict[str, Path], settings: Plan, scratch: Path
) -> list[_Table]:
    bases = [path.resolve().name for path in inputs.values()]
    out = []
    for number, (identified, path) in enumerate(inputs.items()):
        name = path.resolve().name if bases.count(path.resolve().name) == 1 else identified
        if holds_images(path):
            out.append(_images_table(path, scratch / f"at-hand-{number}.parquet"))
        else:
            link = _linked(path, scratch, f"input-{number}")
            out.append(_url_table(db, link, path, name, settings))
    return out


def _linked(path: Path, scratch: Path, name: str) -> Path:
    """A file under a plain name: quotes and wildcards in its own cannot reach the query."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    ending = "".join(s for s in suffixes if s in READERS or s == ".gz")
    link = scratch / f"{name}{ending}"
    link.symlink_to(path.resolve())
    return link


def _images_table(path: Path, target: Path) -> _Table:
    with pq.ParquetWriter(target, AT_HAND) as writer:
        for table in images_at_hand(path):
            writer.write_table(table)
    columns = {name: name for name in AT_HAND.names if name not in ("file", "row")}
    return _Table(relation(target), "", columns, "row")


def _url_table(
    db: duckdb.DuckDBPyConnection, link: Path, path: Path, name: str, settings: Plan
) -> _Table:
    if not link.suffix:
        raise UsageError(f"{path}: a table is one of {', '.join(READERS)}")
    found = columns_of(db, link, path)
    source = recognise(path, found, SOURCES, settings.source)
    if source.withdrawn and not settings.allow_withdrawn:
        raise UsageError(f"{path}: {source.withdrawn}")
    if link.suffix != ".parquet":
        # Only Parquet tells row numbers, so other tables take this detour, in their own order.
        target = link.with_name(f"{link.name}.parquet")
        db.execute("SET preserve_insertion_order = true")
        db.execute(f"COPY (SELECT * FROM {relation(link)}) TO '{target}' (FORMAT parquet)")
        link = target
    quoted = {ours: theirs.replace('"', '""') for ours, theirs in source.find(found).items()}
    columns = {ours: f'"{theirs}"' for ours, theirs in quoted.items()}
    columns["source"] = f"'{source.name}'"
    return _Table(relation(link), name, columns, "file_row_number")


def _count(db: duckdb.DuckDBPyConnection, table: _Table) -> int:
    row = db.execute(f"SELECT count(*) FROM {table.sql}").fetchone()
    return int(row[0]) if row else 0


def _scatter(
    db: duckdb.DuckDBPyConnection, table: _Table, settings: Plan, digits: int, target: Path
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
        ("location IS NULL AND source = 'img2dataset'", "'not_at_hand'"),
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
    earlier = [store.local(f"plan/{part['file']}") for m in generations for part in m["parts"]]
    known = [_linked(file, scratch, f"known-{n}") for n, file in enumerate(earlier)]
    parts, unplanned = [], 0
    for index, name in enumerate(names):
        files = ", ".join(f"'{p}'" for p in sorted(scratch.glob(f"scattered-*/{name}/*.parquet")))
        table = _deduplicated(db, files, _known_sql(known, name))
        planned = table.filter(pc.is_null(table["reason"])).drop_columns("reason")
        others = table.filter(pc.is_valid(table["reason"]))
        base = f"{number:02d}.{index:04d}"
        file, sha256 = _put(store, base, planned.cast(PLANNED), settings.unit_rows)
        other, other_sha256 = _put(store, f"{base}.unplanned", others.cast(UNPLANNED))
        part = {"file": file, "rows": planned.num_rows, "sha256": sha256}
        parts.append(part | {"unplanned": other, "unplanned_sha256": other_sha256})
        unplanned += others.num_rows
    return {"parts": parts, "unplanned": unplanned, "unit_rows": settings.unit_rows}


def _put(
    store: Store, base: str, table: pa.Table, row_group_size: int | None = None
) -> tuple[str, str]:
    """Write a file of the plan under a name of its content: name and sha256.

    Two plans that are made at once cannot write over each other's rows.
    """
    with store.attempt("plan") as attempt:
        write_parquet(attempt.file, table, row_group_size)
        digest = attempt.sha256()
        name = f"{base}.{digest[:12]}.parquet"
        attempt.publish(name)
    return name, digest


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
