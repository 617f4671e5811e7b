"""Lists of what must not be taken: known-bad hashes, and what its owners asked to be left out.

A list is a text file, one entry a line, `kind value`:

    url https://example.org/me.jpg
    host example.org                  and all hosts under it
    sha256 | sha1 | md5 <hex>         of the bytes as served
    phash <16 hex>                    of the picture, and of pictures that look the same
    key <32 hex>                      as ledgers and samples tell it

Empty lines, and what follows a `#` that begins a word, are passed over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from yarl import URL

from humanverse.errors import UsageError
from humanverse.keys import normalise_all, text_key, url_key

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32, "key": 32, "phash": 16}
HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")
PLAIN = re.compile(r"https?://([a-z0-9._-]+)(?=[:/])")
"""A URL whose host is spelled as it is asked; the others have to be parsed."""
ALIKE = 4
"""Bits in which two perceptual hashes may differ: resized or encoded anew, a picture's differs by
less than one in the mean, and one pair of different pictures in a million by so few."""


class Blocklist:
    """What the lists name. Empty without files."""

    def __init__(self, files: Iterable[str | Path] = (), entries: Iterable[str] = ()) -> None:
        """Read the lists, and entries that stand in none.

        Raises:
            UsageError: a file is missing, or a line is none of the above; it names the line.
        """
        self._named: dict[str, set[str]] = {kind: set() for kind in (*DIGITS, "host")}
        for kind, value in _entries((line, line) for line in entries):
            self._named[kind].add(value)
        for file in files:
            for kind, value in _entries(_lines(Path(file))):
                self._named[kind].add(value)
        phashes = [int(value, 16) for value in self._named["phash"]]
        self._phashes = np.asarray(phashes, np.uint64)

    @property
    def named(self) -> Mapping[str, frozenset[str]]:
        """What is named, by kind; URLs by the key that is made of them."""
        return {kind: frozenset(values) for kind, values in self._named.items()}

    def entries(self) -> list[str]:
        """The same as lines of a list, sorted, each once."""
        return sorted(f"{kind} {value}" for kind, values in self._named.items() for value in values)

    def has_row(self, key: str, url: str | None) -> bool:
        """Whether a planned row is named, by its key or the host of its URL."""
        if self.has_key(key):
            return True
        return bool(self._named["host"]) and url is not None and self.has_host(host_of(url))

    def has_key(self, key: str) -> bool:
        """Whether the row's key, or the URL that it was made of, is named."""
        return key in self._named["key"]

    def has_url(self, url: str) -> bool:
        """Whether a URL that a redirect leads to is named."""
        return bool(self._named["key"]) and (url_key(url) or "") in self._named["key"]

    def has_host(self, host: str) -> bool:
        """Whether the host, or a domain that it lies under, is named."""
        return bool(self._named["host"]) and self.naming_host(host) is not None

    def naming_host(self, host: str) -> str | None:
        """The entry that names a host, or a domain that it lies under."""
        parts = host.lower().rstrip(".").split(".")
        names = (".".join(parts[n:]) for n in range(len(parts)))
        return next((name for name in names if name in self._named["host"]), None)

    def has_bytes(self, data: bytes, sha256: str) -> bool:
        """Whether a hash of the bytes is named; the sha256 is known already."""
        if sha256 in self._named["sha256"]:
            return True
        others = (name for name in ("sha1", "md5") if self._named[name])
        # No security hangs on these two: lists are published in them.
        return any(
            hashlib.new(name, data, usedforsecurity=False).hexdigest() in self._named[name]
            for name in others
        )

    def has_picture(self, phash: str) -> bool:
        """Whether a picture that looks the same is named."""
        if not self._phashes.size:
            return False
        apart = np.bitwise_count(self._phashes ^ np.uint64(int(phash, 16)))
        return bool((apart <= ALIKE).any())


def host_of(url: str) -> str:
    """The host of a normalised URL as it is asked, in ASCII; empty where it has none."""
    match = PLAIN.match(url)
    if match:
        return match[1]
    try:
        return URL(url).raw_host or ""
    except ValueError:
        return ""


def _lines(file: Path) -> Iterable[tuple[str, str]]:
    """The lines of a list, each with its place."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: the list cannot be read: {error}") from error
    return ((line, f"{file}:{number}") for number, line in enumerate(lines, 1))


def _entries(lines: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Kind and value of each line that has them; a line that is wrong is named by its place."""
    entries = [
        (words, place)
        for line, place in lines
        if (words := re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split())
    ]
    # All URLs at once: a list may hold hundreds of thousands.
    urls = [words[1] for words, _ in entries if len(words) == 2 and words[0] == "url"]
    normal = dict(zip(urls, normalise_all(urls), strict=True))
    for words, place in entries:
        yield _entry(words, place, normal)


def _entry(words: Sequence[str], place: str, normal: Mapping[str, str | None]) -> tuple[str, str]:
    if len(words) == 2:
        kind, value = words
        if kind == "url" and (url := normal[value]):
            return "key", text_key(url)
        if kind == "host" and (host := _host(value)):
            return "host", host
        if re.fullmatch(rf"[0-9a-fA-F]{{{DIGITS.get(kind, 0)}}}", value):
            return kind, value.lower()
    raise UsageError(
        f"{place}: {' '.join(words)!r} is no entry: wanted url, host, sha256, sha1, md5, phash or "
        "key, and its value"
    )


def _host(value: str) -> str | None:
    """A host as it is asked, in ASCII, with neither port nor wildcard; None if it is none."""
    try:
        host = URL.build(scheme="http", host=value.strip(".")).raw_host or ""
    except ValueError:
        return None
    return host if HOST.fullmatch(host) else None
