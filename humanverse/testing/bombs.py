"""Small files that mean much work: of pixels, frames, scans, text, or packed bodies.

Each is honest in form; sizes follow the most pixels that a recipe takes.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from PIL import Image

from humanverse.testing.tarpits import Tarpits

GARBAGE = 0xAB


@dataclass(frozen=True, slots=True)
class Bomb:
    """Bytes, the headers that they come with, and what may become of them (None: a picture)."""

    name: str
    data: bytes = field(repr=False)
    fates: frozenset[str | None]
    headers: dict[str, str] = field(default_factory=dict)


def bombs(max_pixels: int, unpacked: int = 1 << 30) -> Iterator[Bomb]:
    """One of each kind, made when it is its turn. Packed bodies come to `unpacked` bytes."""
    for name, kept, data in _pixels(max_pixels):
        fates = frozenset({None, "poison"} if kept else {"too_many_pixels"})
        yield Bomb(name, data, fates)
    for name, data in _lies(max_pixels):
        yield Bomb(name, data, frozenset({"too_many_pixels", "broken_image", "not_image"}))
    for name, data in (*_frames(), *_texts(unpacked)):
        yield Bomb(name, data, frozenset({None, "broken_image"}))
    for name, data in _long_reads(max_pixels):
        yield Bomb(name, data, frozenset({"broken_image", None}))
    for encoding, data in _packed(unpacked):
        yield Bomb(f"{encoding} body", data, frozenset({"encoded"}), {"Content-Encoding": encoding})
        transfer = {"Transfer-Encoding": f"{encoding}, chunked"}
        # Its frames are ours to read, its packing is not: to a reader of pictures it is none.
        fates = frozenset({"encoded", "not_image", "http_error", "connection"})
        yield Bomb(f"{encoding} transfer", data, fates, transfer)


def answer(bomb: Bomb) -> bytes:
    """What a server says when it is asked for one."""
    body, length = bomb.data, f"Content-Length: {len(bomb.data)}"
    if "Transfer-Encoding" in bomb.headers:
        body, length = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), "X-Packed: yes"
    lines = [f"{name}: {value}" for name, value in bomb.headers.items()]
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: image/jpeg", length, *lines])
    return head.encode() + b"\r\n\r\n" + body


def segment(marker: int, body: bytes) -> bytes:
    """One of a JPEG's segments."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """Marker and bytes of each segment of a JPEG, a scan with its data, as far as there are any."""
    out, place = [], 2
    while place + 4 <= len(data) and data[place : place + 2] != b"\xff\xd9":
        marker, end = data[place + 1], place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == 0xDA:
            found = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, end)
            end = found.start() if found else len(data)
        out.append((marker, data[place:end]))
        place = end
    return out


def empty_scans(width: int, height: int, number: int) -> bytes:
    """A progressive JPEG of many scans without data; each means a pass over all the blocks."""
    flat = encoded(Image.new("RGB", (64, 64), "teal"), "JPEG", progressive=True)
    out = [flat[:2]]
    for marker, body in segments(flat):
        size = struct.pack(">HH", height, width)
        out.append(body[:5] + size + body[9:] if marker == 0xC2 else body)
        if marker == 0xDA:
            out += [segment(0xDA, bytes((1, 1, 0, 1, 5, 2)))] * number
            break
    return b"".join([*out, flat[-2:]])


def png(width: int, height: int, colour: int = 2, bits: int = 8, **chunks: bytes) -> bytes:
    """A black PNG; the chunks go before its data."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + math.ceil(width * channels * bits / 8))
    many = row * 64
    data = [packer.compress(many) for _ in range(height // 64)]
    data += [packer.compress(row * (height % 64)), packer.flush()]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    extra = b"".join(chunk(kind.encode(), body) for kind, body in chunks.items())
    end = chunk(b"IDAT", b"".join(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + end


def chunk(kind: bytes, body: bytes) -> bytes:
    """One of a PNG's chunks."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(width: int, height: int, entries: dict[int, tuple[int, ...]], data: bytes) -> bytes:
    """A little-endian RGB TIFF of given entries; `data` stands at 8."""
    tags = {256: (width,), 257: (height,), 258: (8, 8, 8), 259: (1,), 262: (2,), 277: (3,)}
    tags |= entries
    values, place = bytearray(data), 8 + len(data)
    directory = struct.pack("<H", len(tags))
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack("<I", place)
        if len(numbers) > 1:
            values += packed
            place += len(packed)
        directory += struct.pack("<HHI", tag, 4, len(numbers)) + where
    return b"II*\0" + struct.pack("<I", place) + bytes(values) + directory + bytes(4)


def rle_bmp(width: int, height: int, run: int) -> bytes:
    """A packed BMP whose runs are so long."""
    rows = bytes((run, 7)) * (width // run) + (bytes((width % run, 7)) if width % run else b"")
    body = (rows + b"\0\0") * height + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    palette = b"".join(bytes((n, n, n, 0)) for n in range(256))
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + palette + body


def _pixels(max_pixels: int) -> Iterator[tuple[str, bool, bytes]]:
    """Files just within the bound and just beyond."""
    side = math.isqrt(max_pixels)
    for name, kept, height in (("most", True, side), ("one row beyond", False, side + 1)):
        size = side, height
        for colour, bits in ((2, 8), (6, 8), (6, 16), (0, 16), (0, 1)):
            yield f"png {colour} {bits}, {name}", kept, png(*size, colour, bits)
        image = Image.new("RGB", size)
        for kind, options in (
            ("GIF", {}),
            ("WEBP", {"quality": 1, "method": 0}),
            ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
            ("AVIF", {"quality": 1, "speed": 10}),
            ("TIFF", {"compression": "tiff_deflate"}),
            ("JPEG", {}),
            ("JPEG", {"subsampling": 0}),
            ("JPEG", {"progressive": True, "subsampling": 0}),
        ):
            told = " ".join((kind.lower(), *options))
            yield f"{told}, {name}", kept, encoded(image, kind, **options)
        yield f"jpeg cmyk, {name}", kept, encoded(Image.new("CMYK", size), "JPEG")
        yield f"bmp packed, {name}", kept, rle_bmp(*size, run=250)


def _lies(max_pixels: int) -> Iterator[tuple[str, bytes]]:
    """Headers of giants, with next to nothing behind them."""
    small = Image.new("RGB", (256, 256), "teal")
    jpeg, gif = encoded(small, "JPEG"), encoded(small, "GIF")
    frame = jpeg.index(b"\xff\xc0")
    yield "jpeg giant", jpeg[: frame + 5] + b"\xff\xff\xff\xff" + jpeg[frame + 9 :]
    yield "gif giant", gif[:6] + b"\xff\xff\xff\xff" + gif[10:]
    bmp = encoded(small, "BMP")
    yield "bmp giant", bmp[:18] + struct.pack("<ii", 2**30, 2**30) + bmp[26:]
    yield "tiff giant", tiff(2**30, 2**30, {273: (8,), 278: (2**30,), 279: (64,)}, bytes(64))
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    yield "png giant", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\xff\xff\xff" * 2
    webp = encoded(small, "WEBP")
    body = b"WEBP" + canvas + webp[12:]
    yield "webp giant", b"RIFF" + struct.pack("<I", len(body)) + body
    avif = encoded(small, "AVIF", speed=10)
    place = avif.index(b"ispe") + 8
    yield "avif giant", avif[:place] + struct.pack(">II", 60_000, 60_000) + avif[place + 8 :]
    side = math.isqrt(max_pixels)
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    yield (
        "png hollow",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9))),
    )


def _frames() -> Iterator[tuple[str, bytes]]:
    """Animations of thousands of frames."""
    small = Image.new("RGB", (256, 256), "teal")
    gif = encoded(small, "GIF")
    at = gif.index(b"\x2c\0\0\0\0")
    one = b"\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    yield "gif frames", gif[:-1] + one * 200_000 + b";"
    yield "gif frames of size", gif[:-1] + gif[at:-1] * 2_000 + b";"
    pixels = zlib.compress(bytes(4))
    frames, number = [], 0
    for _ in range(20_000):
        control = struct.pack(">IIIIIHHBB", number, 1, 1, 0, 0, 1, 100, 0, 0)
        data = struct.pack(">I", number + 1) + pixels
        frames += [chunk(b"fcTL", control), chunk(b"fdAT", data)]
        number += 2
    whole = png(256, 256, acTL=struct.pack(">II", 20_000, 0))
    yield "png frames", whole[:-12] + b"".join(frames) + whole[-12:]
    still = encoded(Image.new("RGB", (256, 256)), "WEBP", lossless=True)[12:]
    count = 20_000
    head = struct.pack("<3s3s3sH", b"\0\0\0", b"\0\0\0", b"\xff\0\0", 0)[:9] + b"\xff\0\0"
    frame = head + b"\x64\0\0\0" + still
    riff = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0\xff\0\0\xff\0\0"
    riff += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    riff += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * count
    yield "webp frames", b"RIFF" + struct.pack("<I", len(riff)) + riff


def _texts(unpacked: int) -> Iterator[tuple[str, bytes]]:
    """Notes and profiles that unpack to much."""
    packed = zlib.compress(bytes(unpacked // 8), 9)
    yield "png text", png(256, 256, zTXt=b"Comment\0\0" + packed)
    yield "png international text", png(256, 256, iTXt=b"Comment\0\1\0\0\0" + packed)
    yield "png profile", png(256, 256, iCCP=b"profile\0\0" + packed)
    note = chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(1_000_000), 9))
    whole = png(256, 256)
    yield "png texts", whole[:33] + note * 10_000 + whole[33:]
    small = Image.new("RGB", (256, 256), "teal")
    jpeg = encoded(small, "JPEG")
    entry = struct.pack(">HHII", 0x010F, 2, 2**31 - 1, 8)
    loop = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + entry * 5000
    yield "jpeg note", jpeg[:2] + segment(0xE1, loop) + jpeg[2:]
    yield "jpeg notes", jpeg[:2] + segment(0xE1, loop) * 250 + jpeg[2:]
    profile = b"ICC_PROFILE\0\1\xff" + bytes(65_000)
    yield "jpeg profile", jpeg[:2] + segment(0xE2, profile) * 255 + jpeg[2:]
    yield "webp profile", encoded(small, "WEBP", icc_profile=bytes(16 << 20))


def _long_reads(max_pixels: int) -> Iterator[tuple[str, bytes]]:
    """Files that are small for the time that they take."""
    side = math.isqrt(max_pixels)
    yield "jpeg scans", empty_scans(side, side, 1000)
    yield "jpeg some scans", empty_scans(side, side, 30)
    strips = side // 2
    cut: dict[str, dict[int, tuple[int, ...]]] = {
        "tiff strips": {273: (8,) * strips, 278: (2,), 279: (side * 6,) * strips},
        "tiff one strip": {273: (8,), 278: (side,), 279: (2**31 - 1,)},
    }
    for name, tags in cut.items():
        yield name, tiff(side, side, tags, bytes(side * 6))
    across = 1_440
    tiles = {322: (1,), 323: (1,), 324: (8,) * across**2, 325: (3,) * across**2}
    yield "tiff tiles", tiff(across, across, tiles, bytes(8))
    width = 4000
    yield "bmp runs of one", rle_bmp(width, max(256, min(2400, max_pixels // width)), run=1)
    thumbs = encoded(Image.new("RGB", (256, 256), "teal"), "JPEG")
    yield "jpeg fill", thumbs[:2] + b"\xff" * (18 << 20) + thumbs[2:]


def _packed(size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies of a few KiB that unpack to so many bytes."""
    block = bytes([GARBAGE]) * (1 << 24)
    for name, wbits in (("gzip", 31), ("deflate", 15)):
        packer = zlib.compressobj(9, wbits=wbits)
        parts = [packer.compress(block) for _ in range(size >> 24)]
        yield name, b"".join([*parts, packer.flush()])
    yield "br", pa.compress(block, codec="brotli", asbytes=True)
    yield "zstd", pa.compress(block, codec="zstd", asbytes=True) * (size >> 24)
    yield "gzip, gzip", gzip.compress(gzip.compress(block * 16, 9), 9)


def _main() -> None:
    """Serve all of them at a port that is told, until standard input ends."""
    made = list(bombs(int(sys.argv[1])))
    answers = {f"/{n}": answer(bomb) for n, bomb in enumerate(made)}
    with Tarpits(["127.0.0.1"], b"", answers=answers) as served:
        told = [[bomb.name, sorted(fate or "" for fate in bomb.fates)] for bomb in made]
        print(json.dumps({"port": served.port, "bombs": told}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main()
