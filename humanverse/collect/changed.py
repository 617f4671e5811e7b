"""Whether what a URL serves today is another picture than the table saw (split-view poisoning).

Whoever buys a lapsed domain can serve what he likes to those who trust the table. Hosts also resize
and encode anew, so only a gross mismatch counts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from humanverse.collect.picture import Picture

APART = 20
"""Bits of 64 beyond which two perceptual hashes tell different pictures (benchmarks/changed.py)."""
STRETCHED = 1.1
"""Ratio of two shapes (width to height) beyond which one is not the other, resized."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the table says of the picture, where it says anything."""

    phash: str | None = None
    md5: str | None = None
    width: int | None = None
    height: int | None = None


def changed(seen: Seen, data: bytes, picture: Picture) -> bool:
    """Whether the table saw another picture. Without a hash in the table there is no telling."""
    if seen.md5 and seen.md5.lower() == hashlib.md5(data, usedforsecurity=False).hexdigest():
        return False
    if seen.phash and (bits := _bits(seen.phash)) is not None:
        return (bits ^ int(picture.phash, 16)).bit_count() > APART
    return bool(seen.md5) and _reshaped(seen, picture)


def _bits(phash: str) -> int | None:
    return int(phash, 16) if re.fullmatch(r"[0-9a-fA-F]{16}", phash) else None


def _reshaped(seen: Seen, picture: Picture) -> bool:
    """Whether neither width by height nor, as some tables have them, height by width fits."""
    if not seen.width or not seen.height:
        return False
    shape = picture.original_width / picture.original_height
    claimed = seen.width / seen.height
    return all(max(shape / c, c / shape) > STRETCHED for c in (claimed, 1 / claimed))
