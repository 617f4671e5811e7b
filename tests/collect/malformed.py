"""Files that are no longer, or were never quite, the pictures that they were made from."""

import io
import struct
import zlib
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageCms

from humanverse.testing.bombs import chunk, empty_scans, segment, segments

SIZE = 240, 208
AT_AN_EIGHTH = 400, 384
"""Large enough that a JPEG of it is looked at by an eighth."""
JPEG_TABLES = {0xDB, 0xC4, 0xDD}


def scene(size=SIZE, seed=0):
    """Smooth colours with edges: what a decoder gets wrong shows in its mean."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    cv2.circle(pixels, (size[0] // 3, size[1] // 3), 40, (250, 30, 40), -1)
    return Image.fromarray(pixels)


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned_note(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@cache
def seeds():
    """Name and bytes of honest files, of every format and most of their forms."""
    image, large = scene(), scene(AT_AN_EIGHTH)
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    frames = [scene(seed=n) for n in range(1, 4)]
    animated = {"save_all": True, "append_images": frames}
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return {
        "jpeg": encoded(large, quality=90),
        "jpeg-444": encoded(large, quality=100, subsampling=0),
        "jpeg-progressive": encoded(large, quality=85, progressive=True),
        "jpeg-restarts": encoded(large, quality=85, restart_marker_blocks=3),
        "jpeg-gray": encoded(image.convert("L")),
        "jpeg-cmyk": encoded(image.convert("CMYK")),
        "jpeg-turned": encoded(image, exif=turned_note(6)),
        "jpeg-profile": encoded(image, icc_profile=icc, comment=b"a comment"),
        "jpeg-large": encoded(scene((900, 420)), quality=80),
        "jpeg-rgb": encoded(image, keep_rgb=True),
        "mpo": encoded(image, "MPO", **animated),
        "png": encoded(image, "PNG"),
        "png-palette": encoded(image.convert("P"), "PNG"),
        "png-clear": encoded(clear, "PNG", exif=turned_note(3)),
        "png-16": encoded(Image.fromarray(np.full((208, 240), 30_000, np.uint16)), "PNG"),
        "png-interlaced": interlaced(),
        "apng": encoded(image, "PNG", **animated),
        "gif": encoded(image, "GIF"),
        "gif-animated": encoded(image, "GIF", **animated),
        "webp": encoded(image, "WEBP", quality=80),
        "webp-lossless": encoded(clear, "WEBP", lossless=True),
        "webp-animated": encoded(image, "WEBP", **animated),
        "avif": encoded(image, "AVIF", speed=10),
        "avif-animated": encoded(image, "AVIF", speed=10, **animated),
        "bmp": encoded(image, "BMP"),
        "bmp-palette": encoded(image.convert("P"), "BMP"),
        "tiff": encoded(image, "TIFF"),
        "tiff-lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff-deflate": encoded(clear, "TIFF", compression="tiff_deflate"),
    }


def files(number, seed=0):
    """So many malformed files: each hand-made one, then mutants of honest and hand-made ones."""
    random = np.random.default_rng(seed)
    honest = seeds()
    made = [*hand_made(honest)]
    yield from made[:number]
    pool = [*honest.items(), *made]
    for index in range(number - len(made)):
        name, data = pool[index % len(pool)]
        other = pool[int(random.integers(len(pool)))][1]
        how = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        yield f"{name} {how.__name__} {index}", how(data, other, random)


def flipped(data, _, random):
    out = bytearray(data)
    for _ in range(int(random.integers(1, 9))):
        out[int(random.integers(len(out)))] ^= 1 << int(random.integers(8))
    return bytes(out)


def overwritten_head(data, _, random):
    out = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        place = int(random.integers(min(len(out), 700)))
        out[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))
    return bytes(out)


def truncated(data, _, random):
    return data[: int(random.integers(len(data)))]


def spliced(data, other, random):
    a, b = int(random.integers(len(data))), int(random.integers(len(other)))
    return data[:a] + other[b:]


def repeated(data, _, random):
    a, b = sorted(int(n) for n in random.integers(0, len(data), 2))
    return data[:b] + data[a:b] * int(random.integers(1, 4)) + data[b:]


def dropped(data, _, random):
    a = int(random.integers(len(data)))
    return data[:a] + data[a + int(random.integers(1, 64)) :]


def zeroed(data, _, random):
    a = int(random.integers(len(data)))
    size = int(random.integers(1, 256))
    return (data[:a] + bytes(size) + data[a + size :])[: len(data)]


def lengthened(data, _, random):
    """A number somewhere, in either order of bytes, becomes a huge one."""
    a = int(random.integers(min(len(data), 2000)))
    number = struct.pack(random.choice(["<I", ">I"]), int(random.choice([2**31 - 1, 2**32 - 1, 0])))
    return data[:a] + number + data[a + 4 :]


def shuffled(data, _, random):
    """The segments of a JPEG or the chunks of a PNG in another order, some twice."""
    if data.startswith(b"\xff\xd8"):
        parts = segments(data)
        order = random.integers(0, len(parts), len(parts) + 2) if parts else ()
        return b"\xff\xd8" + b"".join(parts[n][1] for n in order) + b"\xff\xd9"
    parts = data[:8], *(data[n : n + 64] for n in range(8, len(data), 64))
    order = 1 + random.permutation(len(parts) - 1)
    return parts[0] + b"".join(parts[n] for n in order)


MUTATIONS = (
    *(flipped, flipped, overwritten_head, overwritten_head, truncated, spliced, repeated),
    *(dropped, zeroed, lengthened, shuffled),
)


def hand_made(honest):
    """Files that lie in one way each."""
    yield from odd_jpegs(honest)
    yield from odd_pngs(honest)
    yield from odd_others(honest)


def odd_jpegs(honest):  # noqa: PLR0915 - a list, a line for each
    plain, full = honest["jpeg"], honest["jpeg-444"]
    parts = segments(plain)
    frame = next(n for n, (marker, _) in enumerate(parts) if marker in (0xC0, 0xC2))
    scan = next(n for n, (marker, _) in enumerate(parts) if marker == 0xDA)

    def built(parts, head=b"\xff\xd8", tail=b"\xff\xd9"):
        return head + b"".join(body for _, body in parts) + tail

    def with_frame(change, source=parts):
        body = bytearray(source[frame][1])
        change(body)
        return built([*source[:frame], (0xC0, bytes(body)), *source[frame + 1 :]])

    def with_extra(*extra, at=1):
        return built([*parts[:at], *((0, e) for e in extra), *parts[at:]])

    bare = [part for part in parts if part[0] != 0xE0]
    adobe = {n: segment(0xEE, b"Adobe\0d\0\0\0\0" + bytes([n])) for n in range(4)}
    jfif, picture, tables = parts[0][1], parts[scan][1], [p for p in parts if p[0] in JPEG_TABLES]

    for name, size in {
        "no height": (0, 240),
        "no width": (208, 0),
        "taller": (2080, 240),
        "wider": (208, 2400),
        "narrower": (208, 64),
        "huge": (65535, 65535),
        "as large as may be": (3000, 3000),
    }.items():
        yield f"header {name}", with_frame(lambda b, s=size: struct.pack_into(">HH", b, 5, *s))
    for bits in (1, 2, 12, 16):
        yield f"{bits} bits", with_frame(lambda b, n=bits: b.__setitem__(4, n))
    for count in (0, 2, 4, 255):
        yield f"{count} components", with_frame(lambda b, n=count: b.__setitem__(9, n))
    for factors in (0x00, 0x11, 0x12, 0x14, 0x21, 0x22, 0x24, 0x31, 0x41, 0x42, 0x44, 0x55):
        yield f"sampled {factors:02x}", with_frame(lambda b, n=factors: b.__setitem__(11, n))
        yield f"chroma {factors:02x}", with_frame(lambda b, n=factors: b.__setitem__(14, n))
    for marker in (0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA, 0xCB, 0xF7):
        yield f"frame {marker:02x}", with_frame(lambda b, n=marker: b.__setitem__(1, n))
    yield "same components", with_frame(lambda b: b.__setitem__(13, b[10]))
    yield "two frames", with_extra(parts[frame][1], at=frame)
    yield "frame after scan", built([*parts[:frame], *parts[frame + 1 :], parts[frame]])

    for name, odd in (("rgb", b"RGB"), ("bgr", b"BGR"), ("zero", b"\0\1\2"), ("same", b"\1\1\1")):
        for heading in ("bare", "jfif", "adobe0", "adobe1", "adobe2", "both0", "late"):
            yield f"named {name} {heading}", named(full, odd, heading, adobe, jfif)
    yield "adobe before jfif", built([(0, adobe[0]), *parts])
    yield "adobe after jfif", with_extra(adobe[0])
    yield "adobe without jfif", built([(0, adobe[0]), *bare])
    yield "two adobes", built([(0, adobe[1]), (0, adobe[0]), *bare])
    yield "short adobe", built([(0, segment(0xEE, b"Adobe\0d")), *bare])
    yield "adobe between frame and scan", with_extra(adobe[0], at=scan)
    yield "adobe after scan", with_extra(adobe[0], at=scan + 1)
    yield "short jfif", built([(0, segment(0xE0, b"JFIF\0")), *bare])
    yield (
        "cmyk without adobe",
        b"".join(
            [b"\xff\xd8", *(b for m, b in segments(honest["jpeg-cmyk"]) if m != 0xEE), b"\xff\xd9"]
        ),
    )
    for transform in (1, 2, 3):
        yield (
            f"cmyk {transform}",
            honest["jpeg-cmyk"].replace(
                b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0" + bytes([transform])
            ),
        )

    notes = {n: segment(0xE1, turned_note(n)) for n in (1, 3, 6, 8)}
    yield "two notes", with_extra(notes[6], notes[3])
    yield "other two notes", with_extra(notes[1], notes[6])
    yield "note after scan", with_extra(notes[6], at=scan + 1)
    yield "note after frame", with_extra(notes[6], at=frame + 1)
    yield "note of nothing", with_extra(segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    yield "note in circles", with_extra(segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\x08"))
    yield "note of 9", with_extra(segment(0xE1, turned_note(9)))
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    yield "turned by xmp", with_extra(segment(0xE1, xmp))
    yield "xmp against note", with_extra(segment(0xE1, xmp), notes[3])
    for name, body in {
        "empty profile": b"ICC_PROFILE\0\1\1",
        "cut profile": b"ICC_PROFILE\0\1\3" + bytes(200),
        "noise for a profile": b"ICC_PROFILE\0\1\1" + np.random.default_rng(1).bytes(3000),
        "short profile": b"ICC_PROFILE\0",
    }.items():
        yield name, with_extra(segment(0xE2, body))
    yield "huge comment", with_extra(*[segment(0xFE, bytes(65533))] * 40)
    yield "comment between scans", progressive_with(honest, segment(0xFE, b"hello"))
    yield "note between scans", progressive_with(honest, notes[6])

    yield "no end", plain[:-2]
    yield "two starts", b"\xff\xd8" + plain
    yield "start within", with_extra(b"\xff\xd8", at=2)
    yield "one after the other", plain + honest["jpeg-gray"]
    yield "zip behind", plain + b"PK\3\4" + bytes(3000) + b"PK\5\6" + bytes(18)
    yield "page behind", plain + b"<html><script>alert(1)</script>"
    yield "page within", with_extra(segment(0xFE, b"<script>alert(1)</script>"))
    yield "fill bytes", built([(m, b"\xff" * 500 + b) for m, b in parts])
    yield "noise between", built([(m, b + b"\1\2\3") for m, b in parts])
    yield "film behind", plain + np.random.default_rng(2).bytes(300_000)
    yield "dnl", with_extra(segment(0xDC, struct.pack(">H", 208)), at=scan + 1)
    yield "arithmetic tables", with_extra(segment(0xCC, b"\0\0"))
    yield "hierarchical", with_extra(segment(0xDE, parts[frame][1][4:]))
    yield "restarts promised", with_extra(segment(0xDD, b"\0\1"))
    yield "restarts unannounced", plain_restarts(honest, drop_interval=True)
    yield "restarts in disorder", plain_restarts(honest, drop_interval=False)
    yield "no tables", built([p for p in parts if p[0] != 0xC4])
    yield "no quantisation", built([p for p in parts if p[0] != 0xDB])
    yield "tables twice", built([*tables, *parts])
    yield "tables after", built([p for p in parts if p[0] not in JPEG_TABLES] + tables)
    yield "tables without end", built([*[tables[0]] * 4000, *parts])
    yield "bogus codes", with_extra(segment(0xC4, bytes([0x00]) + b"\xff" * 16 + bytes(4080)))
    yield "empty codes", with_extra(segment(0xC4, bytes(17)), at=scan)
    yield "zero quantisation", with_extra(segment(0xDB, bytes(65)), at=scan)
    yield "wide quantisation", with_extra(segment(0xDB, b"\x10" + b"\xff" * 128), at=scan)
    for length in (0, 1, 2, 65535):
        yield f"segment of {length}", with_extra(b"\xff\xe5" + struct.pack(">H", length) + b"abc")
    yield "no picture", built(parts[:scan])
    yield "empty picture", built([*parts[:scan], (0xDA, picture[:14])])
    yield "half a picture", built([*parts[:scan], (0xDA, picture[: len(picture) // 2])])
    yield "hidden bytes", built([*parts[:scan], (0xDA, picture + bytes(5000))])
    yield "picture twice", built([*parts, parts[scan]])
    yield "many pictures", built([*parts, *[parts[scan]] * 60])
    yield "scan of everything", with_extra(segment(0xDA, bytes(60)), at=scan)

    for kept in ((0,), (0, 1), (1, 2), (0, 1, 2), (0, 0, 1, 2), (2, 1, 0)):
        yield f"components drawn apart {kept}", apart(full, kept)
    steps = segments(honest["jpeg-progressive"])
    scans = [n for n, (marker, _) in enumerate(steps) if marker == 0xDA]
    for count in range(1, len(scans)):
        yield f"{count} steps", built(steps[: scans[count]])
    yield "steps backwards", built([*steps[: scans[0]], *steps[: scans[0] - 1 : -1]])
    yield "steps without end", built([*steps, *steps[scans[-1] :] * 1000])
    yield "empty steps without end", empty_scans(*AT_AN_EIGHTH, 1000)
    first = [p for n, p in enumerate(steps) if n != scans[0]]
    yield "no first step", built(first)


def named(data, names, heading, adobe, jfif):
    """Another name for each component, and one of the things that say what they are."""
    parts = []
    for marker, whole in segments(data):
        part = bytearray(whole)
        if marker == 0xC0:
            part[10], part[13], part[16] = names
        elif marker == 0xDA:
            part[5], part[7], part[9] = names
        if marker != 0xE0:
            parts.append(bytes(part))
    before = {
        "bare": [],
        "jfif": [jfif],
        "adobe0": [adobe[0]],
        "adobe1": [adobe[1]],
        "adobe2": [adobe[2]],
        "both0": [jfif, adobe[0]],
        "late": [],
    }[heading]
    after = [jfif, adobe[1]] if heading == "late" else []
    return b"".join([b"\xff\xd8", *before, *parts, *after, b"\xff\xd9"])


def apart(data, order):
    """A file of one scan for each of some components, which share the first one's bits."""
    out = [b"\xff\xd8"]
    image = scene(AT_AN_EIGHTH).convert("YCbCr")
    singles = [encoded(channel, quality=90) for channel in image.split()]
    for marker, body in segments(data):
        if marker in (0xE0, 0xC0):
            out.append(body)
    tables = [body for marker, body in segments(singles[0]) if marker == 0xDB]
    frame = bytearray(out[-1])
    frame[12] = frame[15] = frame[18] = 0
    out[-1] = bytes(frame)
    out += tables
    for number in order:
        parts = segments(singles[number])
        out += [body for marker, body in parts if marker == 0xC4]
        scan = bytearray(next(body for marker, body in parts if marker == 0xDA))
        scan[5], scan[6] = frame[10 + 3 * number], 0
        out.append(bytes(scan))
    return b"".join([*out, b"\xff\xd9"])


def progressive_with(honest, extra):
    out = [b"\xff\xd8"]
    for marker, body in segments(honest["jpeg-progressive"]):
        out += [body, extra] if marker == 0xDA else [body]
    return b"".join([*out, b"\xff\xd9"])


def plain_restarts(honest, drop_interval):
    data = honest["jpeg-restarts"]
    if drop_interval:
        return b"".join([b"\xff\xd8", *(b for m, b in segments(data) if m != 0xDD), b"\xff\xd9"])
    return data.replace(b"\xff\xd3", b"\xff\xd5")


def odd_pngs(honest):
    whole = honest["png"]
    chunks = png_chunks(whole)
    head = struct.Struct(">IIBBBBB")

    def built(*chunks):
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)

    def with_head(width=SIZE[0], height=SIZE[1], bits=8, colour=2, *rest):
        body = head.pack(width, height, bits, colour, *(*rest, 0, 0, 0)[:3])
        return built((b"IHDR", body), *chunks[1:])

    yield "png wrong sums", whole.replace(whole[29:33], b"abcd")
    for name, changed in {
        "huge": (2**31 - 1, 2**31 - 1),
        "beyond": (2**32 - 1, 5000),
        "nothing": (0, 0),
        "wider": (2400, 208),
        "taller": (240, 2080),
        "16 bits": (240, 208, 16),
        "3 bits": (240, 208, 3),
        "no palette": (240, 208, 8, 3),
        "gray": (240, 208, 8, 0),
        "odd colours": (240, 208, 8, 5),
        "odd packing": (240, 208, 8, 2, 1),
        "odd filter": (240, 208, 8, 2, 0, 1),
        "odd interlacing": (240, 208, 8, 2, 0, 0, 7),
        "interlaced in name": (240, 208, 8, 2, 0, 0, 1),
    }.items():
        yield f"png {name}", with_head(*changed)
    text = zlib.compress(bytes(30 << 20), 9)
    for kind, body in {
        b"zTXt": b"Comment\0\0" + text,
        b"iTXt": b"Comment\0\1\0\0\0" + text,
        b"iCCP": b"profile\0\0" + text,
        b"eXIf": bytes(50_000),
        b"tRNS": bytes(600),
        b"gAMA": b"\0",
        b"pHYs": bytes(3),
        b"PLTE": bytes(5),
        b"IHDR": chunks[0][1],
        b"acTL": struct.pack(">II", 2**31 - 1, 0),
        b"fcTL": bytes(26),
        b"ABCD": bytes(10),
    }.items():
        yield f"png with {kind.decode()}", built(chunks[0], (kind, body), *chunks[1:])
        yield f"png with late {kind.decode()}", built(*chunks[:-1], (kind, body), chunks[-1])
    yield (
        "png of many texts",
        built(chunks[0], *[(b"zTXt", b"C\0\0" + zlib.compress(bytes(900_000)))] * 80, *chunks[1:]),
    )
    yield "png without data", built(chunks[0], chunks[-1])
    yield "png without end", built(*chunks[:-1])
    yield "png page behind", whole + b"<html>"
    yield "png and jpeg", whole + honest["jpeg"]
    yield "png length", whole[:33] + b"\xff\xff\xff\xff" + whole[37:]


def odd_others(honest):
    gif = honest["gif"]
    for name, size in {"huge": (65535, 65535), "small": (1, 1), "nothing": (0, 0)}.items():
        yield f"gif screen {name}", gif[:6] + struct.pack("<HH", *size) + gif[10:]
    at = gif.index(b"\x2c\0\0\0\0")
    for name, box in {
        "beyond": (60_000, 60_000, 240, 208),
        "huge": (0, 0, 65535, 65535),
        "nothing": (0, 0, 0, 0),
        "apart": (200, 200, 100, 100),
    }.items():
        yield f"gif frame {name}", gif[: at + 1] + struct.pack("<4H", *box) + gif[at + 9 :]
    yield "gif without end", gif[:-1]
    yield "gif of many frames", gif[:-1] + gif[at:-1] * 50 + b";"
    yield "gif code size", gif[: at + 10] + b"\x0d" + gif[at + 11 :]

    bmp = honest["bmp"]
    for name, place, number in (
        *(("offset", 10, 2**31), ("header", 14, 12), ("width", 18, 2**31 - 1)),
        *(("upside down", 22, -208), ("most negative", 22, -(2**31)), ("bits", 28, 1)),
        *(("packing", 30, 1), ("fields", 30, 3), ("colours", 46, 2**31 - 1)),
    ):
        body = bytearray(bmp)
        struct.pack_into("<I", body, place, number % 2**32)
        yield f"bmp {name}", bytes(body)

    tiff = honest["tiff"]
    for tag in (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 339):
        for number in (0, 1, 7, 50_000, 2**31 - 1):
            yield f"tiff {tag} is {number}", tiff_with(tiff, tag, number)
    yield "tiff in circles", tiff[:4] + struct.pack("<I", 4) + tiff[8:]
    yield "tiff nowhere", tiff[:4] + struct.pack("<I", 2**31) + tiff[8:]
    for name in ("webp", "webp-lossless", "webp-animated"):
        data = honest[name]
        for place in (4, 16, 24, 26, 28):
            yield f"{name} at {place}", data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :]
    for box in (b"ispe", b"pixi", b"iloc", b"mdat", b"av1C", b"ipma", b"meta", b"colr", b"irot"):
        data = honest["avif"]
        place = data.find(box)
        if place > 0:
            yield f"avif {box.decode()} gone", data.replace(box, b"free")
            yield (
                f"avif {box.decode()} huge",
                (data[: place - 4] + b"\x7f\xff\xff\xff" + data[place:]),
            )
            yield (
                f"avif {box.decode()} lies",
                (data[: place + 8] + b"\0\0\xff\xff" * 2 + data[place + 16 :]),
            )


def png_chunks(data):
    out, place = [], 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        out.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return out


def interlaced():
    """An RGB file in Adam7's seven passes."""
    pixels = np.asarray(scene())
    rows = b""
    for x, y, dx, dy in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for row in pixels[y::dy, x::dx]:
            rows += b"\0" + row.tobytes()
    head = struct.pack(">IIBBBBB", *SIZE, 8, 2, 0, 0, 1)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff_with(data, tag, number):
    """A little-endian TIFF with another value for one tag of its first directory."""
    out = bytearray(data)
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    for n in range(count):
        entry = place + 2 + 12 * n
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", out, entry + 2, 4, 1, number)
    return bytes(out)
