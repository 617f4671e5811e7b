"""The key of a row: 128 bits of a hash of its normalised URL, or of its bytes.

It is defined once, in SQL, because plans compute it for billions of rows; Python asks the same
expression. It never changes, whatever the plan: splits, takedowns, joins and order follow from it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from collections.abc import Sequence

import duckdb
import pyarrow as pa

NORMAL = r"^https?://[a-z0-9.-]+/[^#\s]*$"
"""What most URLs look like already; the rest takes five times as long."""

PARTS = (
    r"^(?i)(https?)://(?:[^/?@\\]*@)?([^/?@:\\\s]+|\[[0-9a-fA-F:.]+\])"
    r"(?::([0-9]{1,5}))?((?:[/?].*)?)$"
)
"""Scheme, host, port, and the rest of a URL without its fragment; credentials are left out."""


def normalised_url(url: str) -> str:
    """SQL: the URL with scheme and host in lower case, no default port, no fragment; else NULL.

    Path and query stay as they are: servers may tell them apart.
    """
    bare = f"split_part(trim({url}, ' \t\r\n'), '#', 1)"
    parts = f"regexp_extract({bare}, '{PARTS}', ['scheme', 'host', 'port', 'rest'], 's')"
    port = """CASE WHEN p.port = '' OR (lower(p.scheme) = 'http' AND p.port = '80')
                     OR (lower(p.scheme) = 'https' AND p.port = '443')
                   THEN '' ELSE ':' || p.port END"""
    rest = "if(starts_with(p.rest, '/'), p.rest, '/' || p.rest)"
    whole = f"lower(p.scheme) || '://' || lower(p.host) || {port} || {rest}"
    # The one-element list binds `p`, where a subquery would become a join.
    slow = f"list_transform([{parts}], lambda p: if(p.host = '', NULL, {whole}))[1]"
    return f"CASE WHEN regexp_matches({url}, '{NORMAL}') THEN {url} ELSE {slow} END"


def key_of(text: str) -> str:
    """SQL: the key of a text."""
    return f"left(sha256({text}), 32)"


def normalise(url: str) -> str | None:
    """The normalised URL, or None where it is no http(s) URL."""
    return normalise_all([url])[0]


def normalise_all(urls: Sequence[str]) -> list[str | None]:
    """The same for many URLs, in one query: each of its own takes milliseconds."""
    normal: list[str | None] = [url if _NORMAL.fullmatch(url) else None for url in urls]
    if others := [url for url, found in zip(urls, normal, strict=True) if found is None]:
        with _lock:
            table = _query().from_arrow(pa.table({"url": pa.array(others, pa.string())}))
            answers = iter(table.project(normalised_url("url")).fetchall())
        normal = [found or next(answers)[0] for found in normal]
    return normal


def url_key(url: str) -> str | None:
    """The key of a URL, or None where it is no http(s) URL."""
    normal = normalise(url)
    return text_key(normal) if normal else None


def text_key(text: str) -> str:
    """The key of a normalised text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def bytes_key(data: bytes) -> str:
    """The key of an image that has no URL."""
    return text_key("sha256:" + hashlib.sha256(data).hexdigest())


_NORMAL = re.compile(NORMAL, re.ASCII)
_lock = threading.Lock()


@functools.cache
def _query() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1})
