"""Does `changed` cry wolf: pictures that hosts resized or encoded anew, against the table's hash.

    python benchmarks/changed.py --photos DIR --json changed.json

The table's hash is `imagehash.phash`, written out below, of the photograph as the table saw it;
ours is of what `collect` makes of the bytes that come today. A false alarm is a picture that was
only treated as hosts do and yet counts as changed; at most 1 % may be. DIR is the folder of the
real material or of its photographs; without it pictures that lie in installed packages are taken.
Each hash has 32 bits set, so two are always an even number of bits apart.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import figure, labelled_photos, show_share, wilson, write
from PIL import Image, ImageCms, ImageDraw, ImageFilter, ImageOps
from scipy.fft import dct

from humanverse.collect.changed import APART, Seen, changed
from humanverse.collect.picture import Bounds, Picture, normalise
from humanverse.testing.photos import variations

SETS = ("coco128", "coco_mini")
BOUNDS = Bounds(max_side=1024, min_side=1, max_pixels=64_000_000, quality=95)
"""Collect's own, but for the least side, which would refuse thumbnails before they are judged."""
GOAL = 0.01
CAUGHT = 0.99
THRESHOLDS = range(8, 29)
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Original:
    """A photograph as the table saw it."""

    name: str
    image: Image.Image
    data: bytes

    @property
    def motif(self) -> str:
        """Equal for pictures that show the same and must not count as unrelated."""
        return self.name.partition("-")[0]


@dataclass(frozen=True)
class Case:
    """One picture as it comes today."""

    kind: str
    phash: str
    """Of the original, by the table."""
    seen: Original
    data: bytes
    picture: Picture

    @property
    def apart(self) -> int:
        return (int(self.phash, 16) ^ int(self.picture.phash, 16)).bit_count()

    def alarm(self, by: str) -> bool:
        """The rule's verdict where the table has the perceptual hash, or md5 and size."""
        seen = Seen(self.phash) if by == "phash" else seen_by_md5(self.seen)
        return changed(seen, self.data, self.picture)


def seen_by_md5(photo: Original) -> Seen:
    return Seen(None, hashlib.md5(photo.data).hexdigest(), *photo.image.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photos = list(originals(options.photos))
    cases = [case for photo in photos for case in cases_of(photo)]
    today = [case for case in cases if case.kind == "as it was"]
    pairs = unrelated(today)
    figures = [*alarms(cases), *caught(pairs, today)]
    curve(cases, pairs)
    write(figures, options.json)


def originals(given: Path | None) -> Iterator[Original]:
    """The real photographs where they are, else variations of those in packages."""
    real = Path(os.environ.get("HUMANVERSE_REAL", HERE.parent.parent / "shared" / "real"))
    folder = given or real
    folder = folder if (folder / "index.jsonl").is_file() else folder / "photos"
    if (folder / "index.jsonl").is_file():
        rows = [row for name in SETS for row in labelled_photos(folder)[name]]
        print(f"{len(rows)} photographs of {folder}")
        for row in rows:
            data = (folder / row["file"]).read_bytes()
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            yield Original(Path(row["file"]).stem, image, data)
        return
    if given is not None:
        raise SystemExit(f"{given} holds no index.jsonl")
    print("no real photographs: pictures of installed packages")
    yield from package_photos(60)


def package_photos(number: int) -> Iterator[Original]:
    for photo in variations(0, number):
        image = Image.fromarray(photo.pixels)
        yield Original(photo.name, image, jpeg(image, 92))


def imagehash_phash(image: Image.Image) -> str:
    """`imagehash.phash` with its defaults, as it is published: no profile, no orientation."""
    gray = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    pixels = np.asarray(gray, np.float64)
    low = dct(dct(pixels, axis=0), axis=1)[:8, :8]
    return np.packbits(low > np.median(low)).tobytes().hex()


def cases_of(photo: Original) -> Iterator[Case]:
    phash = imagehash_phash(photo.image)
    for kind, versions in TREATMENTS.items():
        for data in versions(photo):
            yield Case(kind, phash, photo, data, normalise(data, BOUNDS))
    # A table may also have seen a file in another colour space, which its hash does not look into.
    wide = in_wide_gamut(photo.image)
    tagged = encoded(wide, "JPEG", quality=92, icc_profile=WIDE)
    phash, seen = imagehash_phash(wide), Original(photo.name, wide, tagged)
    for data in (tagged, jpeg(photo.image), jpeg(wide)):
        yield Case(
            "wide gamut: kept, converted, stripped", phash, seen, data, normalise(data, BOUNDS)
        )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    return encoded(image, "JPEG", quality=quality)


def to_side(image: Image.Image, side: int, kind: Image.Resampling) -> Image.Image:
    scale = side / max(image.size)
    return image.resize([max(1, round(s * scale)) for s in image.size], kind)


def resized(photo: Original) -> list[bytes]:
    """A thumbnail's sizes with each of the usual interpolations, one after the other."""
    kinds = [Image.Resampling[n] for n in ("LANCZOS", "BILINEAR", "BICUBIC", "BOX", "NEAREST")]
    sides = [64, 96, 128, 150, 200, 236, 300, 400, 512, 800, 2 * max(photo.image.size)]
    return [
        jpeg(to_side(photo.image, side, kinds[n % (len(kinds) - 1)]))
        for n, side in enumerate(sides)
    ] + [jpeg(to_side(photo.image, 240, kinds[-1]))]


def sharpened(photo: Original) -> list[bytes]:
    small = [to_side(photo.image, side, Image.Resampling.BICUBIC) for side in (128, 236, 400)]
    masks = [ImageFilter.UnsharpMask(1, 80, 0), ImageFilter.UnsharpMask(2, 150, 2)]
    return [jpeg(image.filter(mask)) for image in small for mask in masks]


def marked(photo: Original) -> list[bytes]:
    """A logo in a corner, and a name in large letters across the middle."""
    width, height = photo.image.size
    logo = photo.image.copy()
    ImageDraw.Draw(logo).ellipse(
        (width * 0.82, height * 0.84, width * 0.97, height * 0.96), "white", "black"
    )
    sheet = Image.new("RGBA", photo.image.size, (255, 255, 255, 0))
    draw = ImageDraw.Draw(sheet)
    draw.text(
        (width / 2, height / 2), "© example", (255, 255, 255, 110), anchor="mm", font_size=width / 7
    )
    across = Image.alpha_composite(photo.image.convert("RGBA"), sheet).convert("RGB")
    return [jpeg(logo), jpeg(across)]


def cropped(percent: int) -> Callable[[Original], list[bytes]]:
    def crop(photo: Original) -> list[bytes]:
        """That much less of each side: off one edge, or off all."""
        width, height = photo.image.size
        x, y = width * percent // 100, height * percent // 100
        whole = (x // 2, y // 2, width - (x - x // 2), height - (y - y // 2))
        return [jpeg(photo.image.crop(box)) for box in (whole, (x, y, width, height))]

    return crop


def letterboxed(photo: Original) -> list[bytes]:
    side = (max(photo.image.size),) * 2
    return [jpeg(ImageOps.pad(photo.image, side, color=colour)) for colour in ("black", "white")]


def tagged_srgb(photo: Original) -> list[bytes]:
    return [encoded(photo.image, "JPEG", quality=92, icc_profile=SRGB.tobytes())]


def other_formats(photo: Original) -> list[bytes]:
    webp = [encoded(photo.image, "WEBP", quality=quality) for quality in (30, 60, 80, 95)]
    return [*webp, encoded(photo.image, "PNG", compress_level=1), encoded(photo.image, "GIF")]


def subsampled(photo: Original) -> list[bytes]:
    return [encoded(photo.image, "JPEG", quality=80, subsampling=n) for n in (0, 1, 2)]


def wide_profile() -> bytes:
    """A profile with Adobe RGB's primaries and a gamma of 2.2, of the ICC's version 2.1."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(n * 65536)) for n in numbers)

    points = {
        b"wtpt": (0.9505, 1.0, 1.0891),
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(79)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none"}
    tags |= {name: b"XYZ " + bytes(4) + fixed(*xyz) for name, xyz in points.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = b"lcms" + bytes.fromhex("02100000") + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    head = head.ljust(64, b"\0") + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    size = struct.pack(">I", start + len(body))
    return (size + head).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
WIDE = wide_profile()


def in_wide_gamut(image: Image.Image) -> Image.Image:
    target = ImageCms.ImageCmsProfile(io.BytesIO(WIDE))
    return ImageCms.profileToProfile(image, SRGB, target)


NO_GOAL = ("crop 1 %", "crop 2 %", "crop 3 %", "crop 5 %", "letterbox to a square")
"""What makes another picture of it, more or less: told, but no false alarms."""

TREATMENTS: dict[str, Callable[[Original], list[bytes]]] = {
    "as it was": lambda photo: [photo.data],
    "resized, 64 to twice": resized,
    "sharpened after resizing": sharpened,
    "JPEG quality 20 to 95": lambda p: [jpeg(p.image, q) for q in (20, 30, 40, 55, 70, 85, 95)],
    "chroma 4:4:4, 4:2:2, 4:2:0": subsampled,
    "WebP, PNG, GIF": other_formats,
    "sRGB profile added": tagged_srgb,
    "logo or watermark": marked,
    "gray": lambda photo: [jpeg(photo.image.convert("L"))],
    **{f"crop {percent} %": cropped(percent) for percent in (1, 2, 3, 5)},
    "letterbox to a square": letterboxed,
}
"""What hosts do, by name: a photograph to the files that come of it."""


def unrelated(today: list[Case]) -> np.ndarray:
    """Bits between each photograph's hash by the table and what comes for every other motif."""
    theirs = np.array([int(case.phash, 16) for case in today], np.uint64)
    ours = np.array([int(case.picture.phash, 16) for case in today], np.uint64)
    motifs = np.array([case.seen.motif for case in today])
    return np.bitwise_count(theirs[:, None] ^ ours)[motifs[:, None] != motifs]


def alarms(cases: list[Case]) -> list[dict]:
    """False alarms of each treatment, and of all that have a goal together."""
    figures = []
    for by, title in (("phash", "table has a phash"), ("md5", "table has md5 and size")):
        print(f"\nfalse alarms, {title}, threshold {APART}:")
        counted = [case for case in cases if case.kind not in NO_GOAL]
        for kind in dict.fromkeys(case.kind for case in cases):
            ours = [case for case in cases if case.kind == kind]
            show_alarms(kind + (" (no goal)" if kind in NO_GOAL else ""), ours, by)
        share = show_alarms("all with a goal", counted, by)
        figures.append(figure(f"false alarms, {title}", share, "share", GOAL, better="lower"))
    return figures


def show_alarms(kind: str, cases: list[Case], by: str) -> float:
    wrong = sum(case.alarm(by) for case in cases)
    low, high = wilson(wrong, len(cases))
    apart = sorted(case.apart for case in cases)
    bits = f"  bits: median {apart[len(apart) // 2]}, most {apart[-1]}" if by == "phash" else ""
    share = f"{wrong / len(cases):.4f}  95 % [{low:.4f}, {high:.4f}]  {wrong}/{len(cases)}"
    print(f"  {kind:<38} {share}{bits}")
    return wrong / len(cases)


def caught(pairs: np.ndarray, today: list[Case]) -> list[dict]:
    """Other pictures that are told from the one that the table saw."""
    print(f"\nunrelated pictures, threshold {APART} (pairs share pictures: intervals are narrow):")
    by_hash = show_share("by phash", int((pairs > APART).sum()), len(pairs))
    by_shape = [
        changed(seen_by_md5(one.seen), other.data, other.picture)
        for one in today
        for other in today
        if one.seen.motif != other.seen.motif
    ]
    by_md5 = show_share("md5, size", sum(by_shape), len(by_shape))
    return [
        figure("unrelated pictures caught, by phash", by_hash, "share", CAUGHT),
        figure("unrelated pictures caught, by md5 and size", by_md5, "share"),
    ]


def curve(cases: list[Case], pairs: np.ndarray) -> None:
    """Both errors at every threshold, so that the choice can be seen."""
    apart = {True: [], False: []}
    for case in cases:
        apart[case.kind in NO_GOAL].append(case.apart)
    with_goal, without = np.array(apart[False]), np.array(apart[True])
    print("\nthreshold  false alarms  of crops and letterboxes  unrelated passed over")
    for bits in THRESHOLDS:
        shares = [(with_goal > bits).mean(), (without > bits).mean(), (pairs <= bits).mean()]
        mark = "  <- APART" if bits == APART else ""
        print(f"{bits:9}  {shares[0]:12.5f}  {shares[1]:24.5f}  {shares[2]:21.5f}{mark}")


if __name__ == "__main__":
    main()
