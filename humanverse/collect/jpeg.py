"""JPEG files as the segments they are made of: what the header says, the file without metadata.

A plain JPEG (8 bits, Huffman-coded, YCbCr or gray) can be read by the fast decoder, at any eighth
of its size, and may be stored as it came but for its metadata. The rest is for the slow reader.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
"""Says that three components are YCbCr; without a thumbnail."""
FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, Huffman-coded; the other eleven are rare or lossless."""
TABLES = frozenset({0xDB, 0xC4, 0xDD})
"""Quantisation, Huffman, restart interval: with frame and scans all that a decoder needs."""
SCAN, ADOBE, EXIF, ICC = 0xDA, 0xEE, 0xE1, 0xE2
MOST_SCANS = 32
"""A progressive file has about ten. Each costs every later reader a pass over all pixels."""

_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In a scan's data 0xFF is followed by 0, or by a restart marker; anything else ends it."""


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


def plain(data: bytes) -> Plain | None:
    """What the segments of a plain JPEG say; None for any other bytes, also for a cut-off file."""
    try:
        return _plain(data)
    except (struct.error, IndexError):
        return None


def _plain(data: bytes) -> Plain | None:
    kept, size, orientation, scans = [SOI, JFIF], None, 1, 0
    profile = b""
    for marker, body in _segments(data):
        if marker == SCAN:
            scans += 1
        elif marker in FRAMES:
            bits, height, width, components = struct.unpack_from(">BHHB", body, 4)
            if size is not None or bits != 8 or components not in (1, 3) or not width * height:
                return None
            size = width, height, components
        elif marker == EXIF and body[4:10] == b"Exif\0\0":
            orientation = _orientation(body[4:])
        elif marker == ICC and body[4:16] == b"ICC_PROFILE\0":
            profile += body[18:]
        elif marker == ADOBE and body[4:9] == b"Adobe" and body[15] != 1:
            return None  # its components are not YCbCr
        elif marker not in TABLES and not _is_metadata(marker):
            return None
        if marker == SCAN or marker in FRAMES or marker in TABLES:
            kept.append(body)
    if size is None or not 1 <= scans <= MOST_SCANS:
        return None
    profile = b"" if _is_srgb(profile) else profile
    return Plain(*size, orientation, profile, b"".join([*kept, EOI]))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment, a scan with its data; nothing after the end's marker.

    Raises:
        IndexError: the file ends early, or something else stands where a marker should.
    """
    if data[:2] != SOI:
        raise IndexError("no start")
    place = 2
    while (marker := data[place + 1]) != EOI[1] or data[place] != 0xFF:
        if data[place] != 0xFF:
            raise IndexError("no marker")
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == SCAN:
            found = _SCAN_END.search(data, end)
            if found is None:
                raise IndexError("no end")
            end = found.start()
        if end > len(data):
            raise IndexError("no end")
        yield marker, data[place:end]
        place = end


def _is_metadata(marker: int) -> bool:
    """Application segments and comments."""
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


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
