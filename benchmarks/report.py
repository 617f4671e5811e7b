"""How long the report and the statistics of a million rows take, and how much memory.

    python benchmarks/report.py --rows 1000000 --json FILE

A root is built by the local runner out of stages that make up what they say (no pictures, so that
building it takes minutes); each verb then runs as a process of its own, three times in turn. Beside
them stands pandas, which reads the ledger as Parquet and counts reasons and hosts alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import figure, write

from humanverse.run.build import Settings, build

SECONDS, GIGABYTES, ROUNDS = 120.0, 2.0, 3
LEDGER = """
import sys, humanverse, pyarrow.parquet
pyarrow.parquet.write_table(humanverse.ledger(sys.argv[1]), sys.argv[2] + "/ledger.parquet")
"""
PANDAS = """
import sys, pandas
table = pandas.read_parquet(sys.argv[1], columns=["url", "reason"])
print(table["reason"].value_counts().head(3))
print(table["url"].str.extract("://([^/:]+)")[0].value_counts().head(3))
"""


def root_of(folder: Path, rows: int) -> None:
    """A root of so many rows, none of them packed."""
    random = np.random.default_rng(0)
    hosts = random.zipf(1.3, rows) % 50_000
    urls = [f"http://h{host}.example.org/{n}.jpg" for n, host in enumerate(hosts)]
    captions = [f"people, in the words of picture {n}" for n in range(rows)]
    pq.write_table(pa.table({"url": urls, "caption": captions}), folder / "urls.parquet")
    recipe = Path(__file__).with_name("report_recipe.py")
    begun = time.perf_counter()
    build(recipe, [folder / "urls.parquet"], folder / "root", packed=False,
          settings=Settings("local"))  # fmt: skip
    print(f"built in {time.perf_counter() - begun:.0f} s")


def run(command: list[str]) -> tuple[float, float]:
    """Seconds, and the most memory in GB."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - begun, used.ru_maxrss / 1e6


def main() -> None:
    """Print the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder that the root stays in")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        root_of(options.build, options.rows)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        root = folder / "root"
        if not root.exists():
            subprocess.run([sys.executable, __file__, "--build", str(folder),
                            "--rows", str(options.rows)], check=True)  # fmt: skip
        # Elsewhere: what this process holds would count as its children's.
        subprocess.run([sys.executable, "-c", LEDGER, str(root), str(folder)], check=True)
        ours = [sys.executable, "-m", "humanverse"]
        ways = {
            "report": [*ours, "report", str(root)],
            "stats": [*ours, "stats", str(root)],
            "status": [*ours, "status", str(root)],
            "pandas": [sys.executable, "-c", PANDAS, str(folder / "ledger.parquet")],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, command in ways.items():
                taken[name].append(run(command))
    write(told(taken, options.rows), options.json)


def told(taken: dict[str, list[tuple[float, float]]], rows: int) -> list[dict]:
    """The rows of all verbs."""
    out = []
    beside, _ = (median(column) for column in zip(*taken.pop("pandas"), strict=True))
    for name, each in taken.items():
        seconds, memory = (median(column) for column in zip(*each, strict=True))
        print(
            f"{name:8} of {rows:,} rows: {seconds:6.1f} s, {memory:.2f} GB (pandas {beside:.1f} s)"
        )
        peer = f"pandas, two questions alone: {beside:.1f} s"
        out.append(figure(f"{name} of {rows} rows", seconds, "s", SECONDS, "lower", peer))
        out.append(figure(f"{name}: memory", memory, "GB", GIGABYTES, "lower"))
    return out


if __name__ == "__main__":
    main()
