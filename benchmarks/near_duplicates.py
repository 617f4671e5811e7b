"""All near-duplicates among ten million perceptual hashes: seconds, and the most memory it takes.

    python benchmarks/near_duplicates.py --rows 10000000 --json near_duplicates.json

Hashes have 32 bits set, as a photograph's; a tenth of the rows is another row's picture with some
bits flipped, a hundredth are flat ones with few hashes. Measured is the whole decision, with
clusters, who stays, and splits, in a fresh process; the goals are five minutes and 4 GB. The peer
is every pair compared by NumPy, over as many rows as take it some seconds; its time for all of them
is what that grows to with the square. Both find the same pairs there.

With --photos DIR it first shows which distance finds what: photographs treated as hosts do, against
pairs of strangers.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from math import comb
from pathlib import Path

import numpy as np
from changed import BOUNDS, TREATMENTS, originals
from common import figure, write

from humanverse.collect.picture import normalise
from humanverse.select.choose import Rows, choose
from humanverse.select.hamming import distinct, pairs_within
from humanverse.select.settings import Select

PEER_ROWS = 20_000
GOAL_SECONDS, GOAL_GB = 300.0, 4.0
THRESHOLDS = (0, 2, 4, 6, 8)
PICTURES = 340_000_000
"""Of the paper's dataset."""


def balanced(number: int, random: np.random.Generator) -> np.ndarray:
    """Hashes at random with 32 bits set."""
    out = np.zeros(number, np.uint64)
    for start in range(0, number, 1 << 18):
        draws = random.random((min(1 << 18, number - start), 64), np.float32)
        bits = draws > np.median(draws, axis=1, keepdims=True)
        out[start : start + len(bits)] = np.packbits(bits, axis=1).view(">u8")[:, 0]
    return out


def made(number: int, distance: int) -> Rows:
    random = np.random.default_rng(0)
    phash = balanced(number, random)
    tenth = number // 10
    copies = phash[:tenth].copy()
    for _ in range(distance):
        flips = np.uint64(1) << random.integers(0, 64, tenth, dtype=np.uint64)
        copies ^= np.where(random.random(tenth) < 0.5, flips, np.uint64(0))
    phash[-tenth:] = copies
    phash[tenth : tenth + number // 100] = np.uint64(1 << 63)
    return Rows(
        keys=random.integers(0, 1 << 64, (number, 2), dtype=np.uint64),
        generation=np.zeros(number, np.int32),
        pixels=random.integers(1, 1 << 20, number),
        original=random.integers(1, 1 << 20, number),
        phash=phash,
        sha256=random.integers(0, 1 << 64, number, dtype=np.uint64),
    )


def ours(number: int, distance: int) -> None:
    rows = made(number, distance)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    started = time.monotonic()
    choice = choose(
        rows,
        max_distance=distance,
        min_cosine=1,
        shares=Select().shares(),
        benchmarks=np.zeros(0, np.uint64),
        max_benchmark_distance=0,
    )
    told = {"seconds": time.monotonic() - started, "made_gb": before}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps(told | {"gone": int((choice.duplicate_of >= 0).sum()), "peak_gb": peak}))


def peer(distance: int) -> float:
    """Seconds for all pairs of some rows, and that ours finds the same."""
    hashes = distinct(made(PEER_ROWS, distance).phash)
    started = time.monotonic()
    found = []
    for place in range(len(hashes)):
        near = np.bitwise_count(hashes[place + 1 :] ^ hashes[place]) <= distance
        found += [(place, int(other) + place + 1) for other in np.flatnonzero(near)]
    seconds = time.monotonic() - started
    if not np.array_equal(pairs_within(hashes, distance), np.array(found).reshape(-1, 2)):
        raise SystemExit("not the same pairs")
    return seconds * (PEER_ROWS / len(hashes)) ** 2


def curve(folder: Path | None) -> list[dict]:
    """The share of copies within each distance, by treatment, and how far strangers are apart."""
    apart, hashes = defaultdict(list), []
    for photo in originals(folder):
        own = int(normalise(photo.data, BOUNDS).phash, 16)
        hashes.append(own)
        for kind, versions in TREATMENTS.items():
            for data in versions(photo):
                apart[kind].append((own ^ int(normalise(data, BOUNDS).phash, 16)).bit_count())
    print(f"{'share found within':40}" + "".join(f"{bits:>8}" for bits in THRESHOLDS))
    for kind, values in apart.items():
        shares = [(np.array(values) <= bits).mean() for bits in THRESHOLDS]
        print(f"  {kind:38}" + "".join(f"{share:8.3f}" for share in shares))
    i, j = np.triu_indices(len(hashes), 1)
    strangers = np.bitwise_count(np.array(hashes, np.uint64)[i] ^ np.array(hashes, np.uint64)[j])
    print(
        f"strangers: {len(strangers)} pairs, mean {strangers.mean():.2f}, deviation "
        f"{strangers.std():.2f}, least {strangers.min()}"
    )
    for bits in THRESHOLDS:
        # Of hashes with 32 bits set, k + k bits apart.
        near = sum(comb(32, k) ** 2 for k in range(1, bits // 2 + 1)) + 1
        expected = near / comb(64, 32) * PICTURES
        print(
            f"  within {bits}: {expected:.1e} strangers of each of {PICTURES:,}, were bits random"
        )
    resized = np.array(apart["resized, 64 to twice"]) <= Select().max_distance
    return [figure("near-duplicates: resized copies found", resized.mean(), "share", 0.95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--distance", type=int, default=Select().max_distance)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="store_true")
    args = parser.parse_args()
    if args.only:
        ours(args.rows, args.distance)
        return
    figures = curve(args.photos) if args.photos else []
    command = [sys.executable, __file__, "--only", "--rows", str(args.rows)]
    command += ["--distance", str(args.distance)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    slow = peer(args.distance)
    squared = slow * (args.rows / PEER_ROWS) ** 2
    print(
        f"{args.rows:,} rows, distance {args.distance}: {told['seconds']:.1f} s, peak "
        f"{told['peak_gb']:.2f} GB ({told['made_gb']:.2f} of it to make the rows); "
        f"{told['gone']:,} near-duplicates"
    )
    print(f"every pair by NumPy: {slow:.1f} s for {PEER_ROWS:,} rows, so {squared:,.0f} s for all")
    title, of_peer = f"near-duplicates of {args.rows:,}", f"every pair {squared:.0f} (extrapolated)"
    figures += [
        figure(f"{title}: time", told["seconds"], "s", GOAL_SECONDS, "lower", of_peer),
        figure(f"{title}: peak memory", told["peak_gb"], "GB", GOAL_GB, "lower"),
    ]
    write(figures, args.json)


if __name__ == "__main__":
    main()
