"""The tables of a plan: which inputs are new, and how the query engine reads each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.plan.remote import HEAD, Remote, digest
from humanverse.plan.settings import Plan
from humanverse.sources import SOURCES
from humanverse.sources.images import AT_HAND, holds_images
from humanverse.sources.images import tables as images_at_hand
from humanverse.sources.table import READERS, columns_of, recognise, relation


def identified(inputs: Sequence[Path | Remote]) -> dict[str, Path | Remote]:
    """Inputs by a name that is the same on any machine: base name and a hash of content."""
    named: dict[str, Path | Remote] = {}
    for path in inputs:
        if isinstance(path, Remote):
            found = [table for table in path.expanded() if _is_table(Path(table.name))]
            if not found:
                raise UsageError(f"{path}: no table there, which is one of {', '.join(READERS)}")
            named |= {f"{table.name}@{table.digest()}": table for table in found}
            continue
        if not path.exists():
            raise UsageError(f"no such input: {path}")
        if not _is_text(path.resolve().name):
            raise UsageError(f"{path!r}: its name is no UTF-8: give it another")
        tables = sorted(p for p in path.iterdir() if _is_table(p)) if path.is_dir() else []
        for file in tables or [path]:
            named[f"{file.resolve().name}@{_digest(file)}"] = file
    return named


def brought(inputs: dict[str, Path | Remote], scratch: Path) -> dict[str, Path]:
    """The same, with copies in `scratch` of what lies elsewhere.

    Raises:
        UsageError: such a table holds pictures, which are read where they lie later on.
    """
    out = {}
    for number, (name, path) in enumerate(inputs.items()):
        if isinstance(path, Path):
            out[name] = path
            continue
        out[name] = path.fetched(scratch / f"fetched-{number}")
        if holds_images(out[name]):
            raise UsageError(f"{path} holds pictures: such inputs must be local files")
    return out


def _is_text(name: str) -> bool:
    """Whether a file's name can stand in a table."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_own_root(store: Store, paths: Iterable[Path | Remote]) -> None:
    """A root inside an input folder would be read as input by the next run."""
    if store.folder is None:
        return
    root = store.folder.resolve()
    for path in paths:
        if isinstance(path, Path) and path.is_dir() and root.is_relative_to(path.resolve()):
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
        head = f.read(HEAD)
    return digest(head, path.stat().st_size)


@dataclass(frozen=True, slots=True)
class Table:
    """One input as the query engine sees it."""

    sql: str
    name: str
    columns: dict[str, str]
    """Our column to SQL."""
    row: str
    """SQL of the row number."""


def tables(
    db: duckdb.DuckDBPyConnection, inputs: dict[str, Path], settings: Plan, scratch: Path
) -> list[Table]:
    """The inputs as the query engine reads them. Lists of images at hand are written to scratch."""
    bases = [path.resolve().name for path in inputs.values()]
    out = []
    for number, (identified, path) in enumerate(inputs.items()):
        name = path.resolve().name if bases.count(path.resolve().name) == 1 else identified
        if holds_images(path):
            out.append(_images_table(path, scratch / f"at-hand-{number}.parquet"))
        else:
            link = linked(path, scratch, f"input-{number}")
            out.append(_url_table(db, link, path, name, settings))
    return out


def linked(path: Path, scratch: Path, name: str) -> Path:
    """A file under a plain name: quotes and wildcards in its own cannot reach the query."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    ending = "".join(s for s in suffixes if s in READERS or s == ".gz")
    link = scratch / f"{name}{ending}"
    link.symlink_to(path.resolve())
    return link


def _images_table(path: Path, target: Path) -> Table:
    with pq.ParquetWriter(target, AT_HAND) as writer:
        for table in images_at_hand(path):
            writer.write_table(table)
    columns = {name: name for name in AT_HAND.names if name not in ("file", "row")}
    return Table(relation(target), "", columns, "row")


def _url_table(
    db: duckdb.DuckDBPyConnection, link: Path, path: Path, name: str, settings: Plan
) -> Table:
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
        texts = _texts(db, link)
        db.execute(f"COPY (SELECT *{texts} FROM {relation(link)}) TO '{target}' (FORMAT parquet)")
        link = target
    quoted = {ours: theirs.replace('"', '""') for ours, theirs in source.find(found).items()}
    columns = {ours: f'"{theirs}"' for ours, theirs in quoted.items()}
    columns["source"] = f"'{source.name}'"
    return Table(relation(link), name, columns, "file_row_number")


def _texts(db: duckdb.DuckDBPyConnection, link: Path) -> str:
    """SQL: columns of JSON Lines in which one value is no text, read as text, without quotes."""
    rows = db.execute(f"DESCRIBE SELECT * FROM {relation(link)}").fetchall()
    mixed = [row[0].replace('"', '""') for row in rows if row[1] == "JSON"]
    texts = ", ".join(f'"{name}" ->> \'$\' AS "{name}"' for name in mixed)
    return f" REPLACE ({texts})" if mixed else ""
