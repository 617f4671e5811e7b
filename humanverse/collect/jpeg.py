"""JPEG files as the segments they are made of: what the header says, the file without metadata.

A plain JPEG (8 bits, Huffman-coded, YCbCr or gray) can be read by the fast decoder, at any eighth
of its size, and may be stored as it came but for its metadata. The rest is for the slow reader.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from PIL import Image

SOI, EOI, FILLING = b"\xff\xd8", b"\xff\xd9", b"\xff\xff"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
"""Says that three components are YCbCr; without a thumbnail."""
FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, Huffman-coded; the other eleven are rare or lossless."""
PROGRESSIVE = 0xC2
HUFFMAN = 0xC4
TABLES = frozenset({0xDB, HUFFMAN, 0xDD})
"""Quantisation, Huffman, restart interval: with frame and scans all that a decoder needs."""
SCAN, APP0, ADOBE, EXIF, ICC = 0xDA, 0xE0, 0xEE, 0xE1, 0xE2
RGB = b"RGB"
"""Names of components which readers take for their colours, where nothing else says what they are.
"""
MOST_SCANS = 32
"""A progressive file has about ten. Each costs every later reader a pass over all pixels."""
MOST_SEGMENTS = 10_000
"""A profile of 16 MB takes 255. Readers take them one by one, in Python."""
MOST_FILL = 1 << 19
"""Bytes 0xFF in a row, all in all: any number may stand before a marker."""
MOST_BYTES_PER_PIXEL = 4
"""Noise at the best quality takes three; a file can be padded without end."""

_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""In a scan's data 0xFF is followed by 0, or by a restart marker; anything else ends it."""
_FILL = re.compile(rb"\xff+")
_SEGMENT = re.compile(rb"\xff[\xc4\xdb\xdd\xe0-\xef\xfe]")


@dataclass(frozen=True, slots=True)
class Plain:
    """An ordinary JPEG: its size as stored, and its bytes without metadata."""

    width: int
    height: int
    components: int
    orientation: int
    """EXIF's 1 to 8; 1 is upright."""
    profile: bytes
    """ICC profile of its colours; empty for sRGB."""
    stripped: bytes


class _NotPlain(Exception):
    """A file for the slow reader."""


def plain(data: bytes) -> Plain | None:
    """What the segments of a plain JPEG say; None for any other bytes, also for a cut-off file."""
    if not data.startswith(SOI):
        return None
    found = _Found()
    try:
        for marker, body in islice(_segments(data), MOST_SEGMENTS):
            found.take(marker, body)
        return found.plain()
    except (struct.error, IndexError, _NotPlain):
        return None


def takes_long(data: bytes) -> bool:
    """Whether reading a JPEG, or what holds one, may take long for its size: scans that may be
    empty, segments that say nothing, filling.

    In compressed bytes of other kinds, such as a film behind the picture, a scan's mark stands by
    chance every 64 KiB.
    """
    if data.count(bytes((0xFF, SCAN))) > MOST_SCANS + (len(data) >> 15):
        return True
    if data.count(FILLING) > MOST_FILL // 2:
        return True
    return sum(1 for _ in _SEGMENT.finditer(data)) > MOST_SEGMENTS


@dataclass(slots=True)
class _Found:
    """What the segments have said so far.

    Readers know a picture's colours and its upright side from what comes before the first scan.
    """

    kept: list[bytes] = field(default_factory=lambda: [SOI, JFIF])
    frame: int = 0
    size: tuple[int, int] = (0, 0)
    components: bytes = b""
    named: bool = False
    """Whether something says that the components are YCbCr."""
    orientation: int | None = None
    profile: list[bytes] = field(default_factory=list)
    tables: set[int] = field(default_factory=set)
    drawn: set[int] = field(default_factory=set)
    settings: int = 0
    """Segments of tables."""
    scans: int = 0

    def take(self, marker: int, body: bytes) -> None:
        self.settings += marker in TABLES
        if marker == SCAN:
            self._scan(body)
        elif marker in FRAMES:
            self._frame(marker, body)
        elif marker == HUFFMAN:
            self.tables.update(_huffman_tables(body))
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:  # application segments, comments
            if not self.scans:
                self._metadata(marker, body)
            return
        elif marker not in TABLES:
            raise _NotPlain
        self.kept.append(body)

    def plain(self) -> Plain:
        """All of it, once the end has come."""
        whole = self.components and self.drawn == set(self.components)
        if not whole or self.scans > MOST_SCANS or self.settings > 8 * MOST_SCANS:
            raise _NotPlain
        if self.components == RGB and not self.named:
            raise _NotPlain
        # One profile may be cut into several segments, which tell their order.
        profile = b"".join(body[18:] for body in sorted(self.profile))
        profile = b"" if _is_srgb(profile) else profile
        if profile and len(self.components) == 1:
            raise _NotPlain
        stripped = b"".join([*self.kept, EOI])
        if len(stripped) > MOST_BYTES_PER_PIXEL * self.size[0] * self.size[1] + (1 << 14):
            raise _NotPlain
        return Plain(*self.size, len(self.components), self.orientation or 1, profile, stripped)

    def _frame(self, marker: int, body: bytes) -> None:
        bits, height, width, count = struct.unpack_from(">BHHB", body, 4)
        components = body[10 : 10 + 3 * count : 3]
        if self.frame or bits != 8 or count not in (1, 3) or not width * height:
            raise _NotPlain
        if len(set(components)) != count:
            raise _NotPlain
        self.frame, self.size, self.components = marker, (width, height), components

    def _scan(self, body: bytes) -> None:
        """Note what a scan draws; the tables that it needs have to be there.

        Some readers put tables of their own in the place of missing ones, others do not.
        """
        count = body[4]
        start, end, bits = body[5 + 2 * count : 8 + 2 * count]
        begins = start == 0 and (bits >> 4 == 0 or self.frame != PROGRESSIVE)
        for component, tables in zip(body[5 : 5 + 2 * count : 2], body[6::2], strict=False):
            needed = {tables >> 4} if begins else set()
            needed |= {0x10 | tables & 15} if end else set()
            if component not in self.components or not needed <= self.tables:
                raise _NotPlain
            if begins:
                self.drawn.add(component)
        self.scans += 1

    def _metadata(self, marker: int, body: bytes) -> None:
        if marker == APP0 and body[4:9] == b"JFIF\0" and len(body) >= 18:
            self.named = True
        elif marker == ADOBE and body[4:9] == b"Adobe":
            if body[15] != 1:
                raise _NotPlain  # its components are not YCbCr
            self.named = True
        elif marker == EXIF and body[4:10] == b"Exif\0\0" and self.orientation is None:
            self.orientation = _orientation(body[4:])
        elif marker == ICC and body[4:16] == b"ICC_PROFILE\0":
            self.profile.append(body)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment, a scan with its data; nothing after the end's marker.

    Raises:
        IndexError: the file ends early, or something else stands where a marker should.
    """
    place = 2
    while (marker := data[place + 1]) != EOI[1] or data[place] != 0xFF:
        if data[place] != 0xFF:
            raise IndexError("no marker")
        if marker == 0xFF:  # a fill byte
            fill = _FILL.match(data, place)
            place = fill.end() - 1 if fill else place
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == SCAN:
            found = _SCAN_END.search(data, end)
            if found is None or found[0] == FILLING:
                raise IndexError("no end, or filling, which readers take for data or for a marker")
            end = found.start()
        if end > len(data):
            raise IndexError("no end")
        yield marker, data[place:end]
        place = end


def _huffman_tables(body: bytes) -> Iterator[int]:
    """Class and number, as one byte, of each table in a segment."""
    place = 4
    while place < len(body):
        yield body[place]
        place += 17 + sum(body[place + 1 : place + 17])


def _orientation(exif: bytes) -> int:
    try:
        notes = Image.Exif()
        notes.load(exif)
        value = int(notes.get(0x0112, 1))
    except Exception:  # noqa: BLE001 - metadata that cannot be read in whatever way says nothing
        return 1
    return value if 1 <= value <= 8 else 1


def _is_srgb(profile: bytes) -> bool:
    """By its name, in either encoding. The profiles of other spaces do not carry it."""
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
