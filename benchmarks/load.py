"""What reading costs beside webdataset, Hugging Face `datasets` and mosaicml-streaming.

    uv pip install --target DIR --no-deps --require-hashes -r benchmarks/streaming.lock
    python benchmarks/load.py --streaming DIR --json FILE

The same samples of about 260 KB (picture, depth, normals, pose, two small texts), as our shards, as
the Arrow files that `datasets` makes of their tars, and in mosaicml-streaming's own format;
webdataset reads the tars. Each pass runs in a process of its own (benchmarks/load_readers.py), once
to warm up and once counted; readers take turns, five rounds, and medians are told. CPU seconds are
of all threads. mosaicml-streaming asks for older releases of what it shares with us, so it is
installed beside them, into DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import figure, write
from load_data import make_mds, make_root

ROUNDS = 5
HERE = Path(__file__).parent
IMAGES = (
    *("images_ours_one_by_one", "images_ours", "images_webdataset"),
    *("images_datasets", "images_streaming"),
)
DECODED = ("decoded_ours", "decoded_webdataset", "decoded_datasets", "decoded_streaming")


def rounds(readers: list[str], root: Path, mds: Path, path: list[str]) -> dict[str, float]:
    """Median samples per CPU second of each reader."""
    found: dict[str, list[float]] = {reader: [] for reader in readers}
    for _ in range(ROUNDS):
        for reader in readers:
            told = _read(reader, root, mds, path)
            found[reader].append(told["samples"] / told["cpu"])
    for reader, rates in found.items():
        shown = "  ".join(f"{rate:9.1f}" for rate in rates)
        print(f"  {reader:24} {median(rates):9.1f} samples per CPU second   ({shown})")
    return {reader: median(rates) for reader, rates in found.items()}


def _read(reader: str, root: Path, mds: Path, path: list[str]) -> dict:
    command = [sys.executable, str(HERE / "load_readers.py"), reader, str(root), str(mds)]
    there = os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": there}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(rates: dict[str, float], ours: str, peer: str, what: str, goal: float | None) -> dict:
    """How many times as many samples as a peer reads."""
    ratio = rates[ours] / rates[peer]
    print(f"{what}: {ratio:.2f} x {peer} {f'(goal {goal})' if goal else ''}")
    return figure(what, ratio, "x", goal, peer=f"{peer} {rates[peer]:.0f}/s")


def opening(rows: int) -> list[dict]:
    """Seconds and memory that opening an index of many rows takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(HERE / "load_open.py"), folder, str(rows)], check=True)
        command = [sys.executable, str(HERE / "load_open.py"), folder]
        told = [
            json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            for _ in range(ROUNDS)
        ]
    seconds, filtered, megabytes = (
        median(t[name] for t in told) for name in ("seconds", "filtered", "megabytes")
    )
    print(
        f"opening {rows} rows: {seconds:.2f} s, with a filter {filtered:.2f} s, {megabytes:.0f} MB"
    )
    return [
        figure(f"opening {rows} rows", seconds, "s", 1, "lower"),
        figure(f"opening {rows} rows with a filter", filtered, "s", None, "lower"),
        figure(f"process after opening {rows} rows", megabytes, "MB", 300, "lower"),
    ]


def main() -> None:
    """Make the data, let readers take turns, tell the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--streaming", type=Path, help="where mosaicml-streaming is installed")
    parser.add_argument("--samples", type=int, default=1280)
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    path = [str(args.streaming)] if args.streaming else []
    sys.path += path
    there = [r for r in IMAGES + DECODED if path or not r.endswith("streaming")]
    with tempfile.TemporaryDirectory() as folder:
        root, mds = Path(folder, "root"), Path(folder, "mds")
        began = time.perf_counter()
        make_root(root, args.samples)
        if path:
            make_mds(root, mds)
        print(f"{args.samples} samples made in {time.perf_counter() - began:.0f} s")
        rates = rounds(there, root, mds, path)
    one, many = "images_ours_one_by_one", "decoded_ours"
    figures = [
        compare(rates, one, "images_webdataset", "undecoded pictures at random", 10),
        compare(rates, "images_ours", "images_webdataset", "the same in batches", None),
        compare(rates, many, "decoded_webdataset", "all decoded, shuffled, in batches", 2),
    ]
    for name in there:
        kind = name.partition("_")[0]
        if name.endswith(("datasets", "streaming")):
            ours, goal = (one, None) if kind == "images" else (many, 1)
            figures.append(compare(rates, ours, name, f"{kind} beside {name}", goal))
    write(figures + opening(args.rows), args.json)


if __name__ == "__main__":
    main()
