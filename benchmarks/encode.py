"""What encoding a picture's depth and normals costs, and how large the files are.

    python benchmarks/encode.py --photos DIR --json FILE

Maps of 512 x 512: true ones of rendered scenes and, where DIR holds photographs, what the lite
network says of them. Ours stands beside the writer before it, OpenCV's PNG at level 1, and beside
other settings of PNG; where the package `imagecodecs` is installed, also beside other formats.
Ways take turns, five rounds; the median of a round's CPU time on one core is told. Files are read
back and compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from common import figure, write

from humanverse.codec import (
    CODES,
    decode_depth,
    decode_normals,
    depth_codes,
    encode_depth,
    encode_normals,
    normal_codes,
)
from humanverse.models.lite import LiteGeometry
from humanverse.testing.scenes import render

SIDE, ROUNDS, GOAL = 512, 5, 5.0
OURS, FORMER = "ours", "PNG by OpenCV, level 1 (before)"


@dataclass(frozen=True)
class Maps:
    depth: np.ndarray
    normals: np.ndarray


Way = Callable[[Maps], tuple[bytes, bytes]]


def scenes(count: int) -> list[Maps]:
    """True maps of rendered scenes."""
    made = [render(seed, SIDE, SIDE, people=2) for seed in range(count)]
    return [Maps(scene.depth, scene.normals) for scene in made]


def photos(folder: Path, count: int) -> list[Maps]:
    """What the lite network says of photographs."""
    files = sorted((folder / "coco_mini").glob("*.jpg"))[:count]
    pictures = [cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files]
    network = LiteGeometry()
    return [Maps(*network.infer(cv2.resize(p, (SIDE, SIDE)))) for p in pictures]


def ours(maps: Maps) -> tuple[bytes, bytes]:
    return encode_depth(maps.depth)[0], encode_normals(maps.normals)


def former_codes(maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Codes as the writer before worked them out."""
    low, high = float(maps.depth.min()), float(maps.depth.max())
    scale = (high - low) / CODES
    codes = np.clip(np.rint((maps.depth.astype(np.float64) - low) / scale), 0, CODES)
    colours = np.clip(np.rint((maps.normals + 1) * 127.5), 0, 255).astype(np.uint8)
    return codes.astype(np.uint16), colours


def codes_of(maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    return depth_codes(maps.depth)[0], normal_codes(maps.normals)


def by_opencv(*flags: int, codes_by: Callable = codes_of) -> Way:
    """PNG by OpenCV with settings of its own."""

    def way(maps: Maps) -> tuple[bytes, bytes]:
        codes, colours = codes_by(maps)
        files = (cv2.imencode(".png", pixels, flags)[1] for pixels in (codes, colours[..., ::-1]))
        depth, normals = (file.tobytes() for file in files)
        return depth, normals

    return way


def by_imagecodecs(encode: Callable[[np.ndarray], bytes]) -> Way:
    """A format of the package imagecodecs."""

    def way(maps: Maps) -> tuple[bytes, bytes]:
        codes, colours = codes_of(maps)
        return bytes(encode(codes)), bytes(encode(colours))

    return way


def ways() -> dict[str, Way]:
    """Ours, the one before, and what else there is."""
    level, strategy = cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_PNG_STRATEGY
    one_filter = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)
    found = {
        OURS: ours,
        FORMER: by_opencv(level, 1, codes_by=former_codes),
        "PNG by OpenCV, level 0": by_opencv(level, 0),
        "PNG by OpenCV, level 1, one filter": by_opencv(level, 1, *one_filter),
        "PNG by OpenCV, runs, one filter": by_opencv(
            level, 1, *one_filter, strategy, cv2.IMWRITE_PNG_STRATEGY_RLE
        ),
    }
    if find_spec("imagecodecs"):
        import imagecodecs as codecs

        found |= {
            "PNG by libspng, level 0": by_imagecodecs(lambda a: codecs.spng_encode(a, level=0)),
            "JPEG XL, lossless, effort 1": by_imagecodecs(
                lambda a: codecs.jpegxl_encode(a, lossless=True, effort=1, numthreads=1)
            ),
            "JPEG-LS": by_imagecodecs(codecs.jpegls_encode),
        }
    return found


def measure(title: str, sets: list[Maps]) -> list[dict]:
    """Rows of one kind of maps: milliseconds and KiB a picture of each way."""
    spent: dict[str, list[float]] = {name: [] for name in ways()}
    size: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, way in ways().items():
            start = time.process_time()
            files = [way(maps) for maps in sets]
            spent[name].append(1000 * (time.process_time() - start) / len(sets))
            size[name] = sum(len(a) + len(b) for a, b in files) / len(sets) / 1024
    rows = []
    peer = median(spent[FORMER])
    print(f"{title}: {len(sets)} pictures of {SIDE} x {SIDE}, depth and normals together")
    for name, times in spent.items():
        took = median(times)
        print(f"  {name:<36} {took:6.2f} ms  {size[name]:5.0f} KiB  {peer / took:5.1f} x")
        goal = GOAL if name == OURS else None
        rows += [
            figure(f"{title}, {name}: time", took, "ms/image/core", goal, "lower", peer),
            figure(f"{title}, {name}: size", size[name], "KiB", None, "lower", size[FORMER]),
        ]
    return rows + reading(title, sets)


def reading(title: str, sets: list[Maps]) -> list[dict]:
    """What reading ours and the former files costs; both must hold the same to a step."""
    took = {}
    for name in (OURS, FORMER):
        files = [ways()[name](maps) for maps in sets]
        times = []
        for _ in range(ROUNDS):
            start = time.process_time()
            read = [(decode_depth(a, 1, 0), decode_normals(b)) for a, b in files]
            times.append(1000 * (time.process_time() - start) / len(sets))
        took[name] = median(times), read
    for (first, turned), (second, other) in zip(took[OURS][1], took[FORMER][1], strict=True):
        assert np.abs(first - second).max() <= 1
        assert np.abs(turned - other).max() <= 2 / 127.5
    mine, peer = took[OURS][0], took[FORMER][0]
    print(f"  reading: {mine:.2f} ms, the former files {peer:.2f} ms")
    return [figure(f"{title}, {OURS}: reading", mine, "ms/image/core", None, "lower", peer)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows = measure("rendered scenes", scenes(args.count))
    if args.photos:
        rows += measure("lite maps of photographs", photos(args.photos, args.count))
    write(rows, args.json)


if __name__ == "__main__":
    main()
