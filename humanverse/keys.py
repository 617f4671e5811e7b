"""The key of a row: 128 bits of a hash of its normalised URL, or of its bytes.

It is defined once, in SQL, because plans compute it for billions of rows; Python asks the same
expression. It never changes, whatever the plan: splits, takedowns, joins and order follow from it.
"""

from __future__ import annotations

import functools
import hashlib
import threading

import duckdb


def normalised_url(url: str) -> str:
    """SQL: the URL with scheme and host in lower case, no default port, no fragment; else NULL.

    Path and query stay as they are: servers may tell them apart.
    """
    trimmed = f"trim({url}, ' \t\r\n')"
    no_fragment = f"regexp_replace({trimmed}, '#.*$', '', 's')"
    parts = (
        f"regexp_extract({no_fragment}, "
        r"'^(?i)(https?)://(?:[^/?@\\]*@)?([^/?@:\\\s]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?((?:[/?].*)?)$',"
        " ['scheme', 'host', 'port', 'rest'], 's')"
    )
    return f"""(
      SELECT CASE WHEN p.host IS NULL OR p.host = '' THEN NULL ELSE
        lower(p.scheme) || '://' || lower(p.host)
        || CASE WHEN p.port = '' OR (lower(p.scheme) = 'http' AND p.port = '80')
                  OR (lower(p.scheme) = 'https' AND p.port = '443')
                THEN '' ELSE ':' || p.port END
        || CASE WHEN p.rest = '' THEN '/' WHEN p.rest[1] = '?' THEN '/' || p.rest ELSE p.rest END
      END FROM (SELECT {parts} AS p))"""


def key_of(text: str) -> str:
    """SQL: the key of a text."""
    return f"left(sha256({text}), 32)"


def normalise(url: str) -> str | None:
    """The normalised URL, or None where it is no http(s) URL."""
    with _lock:
        row = _query().execute(f"SELECT {normalised_url('$1')}", [url]).fetchone()
    return row[0] if row else None


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


_lock = threading.Lock()


@functools.cache
def _query() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1})
