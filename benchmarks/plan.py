"""Planning ten million rows: seconds, rows a second, and the most memory it takes.

    python benchmarks/plan.py --rows 10000000 --json plan.json

The table is made first, a tenth of its rows doubled. Memory is the peak of a fresh process that
does nothing but plan; the goal is 2 GB. The peer is pandas reading the same table and dropping the
same duplicates, which is what a script without a plan would do.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import figure, write

CHUNK = 1_000_000


def make_table(path: Path, rows: int) -> None:
    """URLs of 60 to 80 characters with captions, a tenth of them doubled."""
    random = np.random.default_rng(0)
    schema = pa.schema([("url", pa.string()), ("caption", pa.string()), ("width", pa.int32())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            numbers = np.arange(start, start + count)
            doubled = random.random(count) < 0.1
            numbers[doubled] = random.integers(0, max(start, 1), int(doubled.sum()))
            hosts = numbers % 50_000
            urls = [
                f"https://host{h}.example/photos/2021/picture-{n:012d}.jpg"
                for h, n in zip(hosts, numbers, strict=True)
            ]
            captions = [f"caption number {n} of a picture with somebody in it" for n in numbers]
            widths = random.integers(100, 4000, count).astype(np.int32)
            writer.write_table(pa.table([urls, captions, widths], schema=schema))


def ours(table: Path, folder: Path) -> None:
    from humanverse.layers.store import Store
    from humanverse.plan import Plan, make_plan, units

    store = Store(folder / "root")
    made = make_plan(store, [table], Plan(unit_rows=1000))
    print(
        json.dumps(
            {"rows": made["rows"], "unplanned": made["unplanned"], "units": len(units(store))}
        )
    )


def pandas(table: Path, folder: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(table)
    kept = frame.drop_duplicates("url").sort_values("url")
    kept.to_parquet(folder / "pandas.parquet")
    print(json.dumps({"rows": len(frame), "unplanned": len(frame) - len(kept)}))


def measured(name: str, table: Path, folder: Path) -> tuple[float, float, dict]:
    """Seconds and peak GB of a fresh process, and what it printed."""
    command = [
        sys.executable,
        __file__,
        "--only",
        name,
        "--table",
        str(table),
        "--folder",
        str(folder),
    ]
    started = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - started
    told = json.loads(done.stdout.splitlines()[-1])
    return seconds, told.pop("peak_gb"), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=("ours", "pandas"))
    parser.add_argument("--table", type=Path)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.only:
        (ours if args.only == "ours" else pandas)(args.table, args.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"peak_gb": peak}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "table.parquet"
        make_table(table, args.rows)
        ours_s, ours_gb, _ = measured("ours", table, folder)
        peer_s, peer_gb, _ = measured("pandas", table, folder)
    for name, seconds, peak in (("ours", ours_s, ours_gb), ("pandas", peer_s, peer_gb)):
        rate = args.rows / seconds
        print(f"{name:7} {rate:12,.0f} rows/s   {seconds:6.1f} s   peak {peak:.2f} GB")
    rate, peer_rate = args.rows / ours_s, args.rows / peer_s
    figures = [
        figure("plan: peak memory", ours_gb, "GB", 2.0, "lower", f"pandas {peer_gb:.2f}"),
        figure("plan: rows a second", rate, "rows/s", peer=f"pandas {peer_rate:.0f}"),
    ]
    write(figures, args.json)


if __name__ == "__main__":
    main()
