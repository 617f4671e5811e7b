"""A source maps the columns of a published table to ours. Any table with a URL column is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from humanverse.errors import UsageError

READERS = {
    ".parquet": "read_parquet('{}', file_row_number=true)",
    ".csv": "read_csv('{}', all_varchar=true)",
    ".tsv": "read_csv('{}', delim='\t', all_varchar=true)",
    ".jsonl": "read_json('{}', format='newline_delimited')",
    ".ndjson": "read_json('{}', format='newline_delimited')",
    ".json": "read_json('{}')",
}


@dataclass(frozen=True, slots=True)
class Source:
    """How to recognise a table and where its columns lie. Names compare without case."""

    name: str
    columns: Mapping[str, Sequence[str]]
    """Our column to the names it may have there, first match taken."""
    signature: frozenset[str] = field(default_factory=frozenset)
    """Columns that together tell this table from others."""
    withdrawn: str = ""
    """Why the table must not be used without an explicit word; empty for most."""

    def find(self, found: Sequence[str]) -> dict[str, str]:
        """Our column to the table's own name of it, for those that are there."""
        by_lower = {name.lower(): name for name in found}
        matches = {}
        for ours, candidates in self.columns.items():
            match = next((by_lower[c] for c in candidates if c in by_lower), None)
            if match is not None:
                matches[ours] = match
        return matches


TABLE = Source(
    "table",
    {
        "url": ("url", "image_url", "img_url", "image_link", "src", "link"),
        "caption": ("caption", "text", "alt_text", "alt", "description", "title"),
        "width_hint": ("width", "original_width"),
        "height_hint": ("height", "original_height"),
        "similarity": ("similarity",),
        "punsafe": ("punsafe",),
        "pwatermark": ("pwatermark",),
        "aesthetic_hint": ("aesthetic",),
        "num_faces": ("num_faces",),
        "nsfw": ("nsfw",),
        "license": ("license",),
        "phash_hint": ("image_phash",),
        "md5_hint": ("md5",),
    },
)


def relation(path: Path) -> str:
    """SQL that reads a table file of a plain name; rows of Parquet carry `file_row_number`."""
    return READERS[Path(path.name.removesuffix(".gz")).suffix].format(path)


def columns_of(db: duckdb.DuckDBPyConnection, link: Path, path: Path) -> list[str]:
    """Names of the columns of a table that lies at `path`, reached by a plain name."""
    try:
        rows = db.execute(f"DESCRIBE SELECT * FROM {relation(link)}").fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} cannot be read as a table: {reason}") from error
    return [row[0] for row in rows if row[0] != "file_row_number"]


def recognise(path: Path, found: Sequence[str], known: Sequence[Source], wanted: str) -> Source:
    """The source that fits a table: the one asked for by name, or the first whose signature does.

    Raises:
        UsageError: none fits; it lists the columns found and those wanted.
    """
    lower = {name.lower() for name in found}
    if wanted != "auto":
        chosen = {source.name: source for source in known}.get(wanted)
        if chosen is None:
            names = ", ".join(source.name for source in known)
            raise UsageError(f"no source {wanted!r}: choose auto or one of {names}")
        if "url" not in chosen.find(found):
            raise UsageError(_no_url(path, found, chosen))
        return chosen
    for source in known:
        if source.signature and source.signature <= lower:
            return source
    if "url" not in TABLE.find(found):
        raise UsageError(_no_url(path, found, TABLE))
    return TABLE


def _no_url(path: Path, found: Sequence[str], source: Source) -> str:
    wanted = " or ".join(source.columns["url"])
    return (
        f"{path} has no URL column: found {', '.join(found) or 'no columns'}; "
        f"wanted {wanted} (or rename yours)"
    )
