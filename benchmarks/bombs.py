"""How long bombs of pixels, frames, scans, texts and packed bodies take, and how much memory.

    python benchmarks/bombs.py --json bombs.json

Each goes through the whole `Collect` stage, with one child and the recipe's usual bounds, from a
server in another process. Peaks of resident memory are set back before each bomb.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
from common import figure, write

from humanverse import schema
from humanverse.collect import Collect
from humanverse.collect.child import MEMORY_BASE, MEMORY_PER_PIXEL
from humanverse.run.unit import apply

GOAL_SECONDS, GOAL_OVER = 2.0, 64.0
MIB = 1 << 20


def table(url: str) -> pa.Table:
    kind = pa.schema([*schema.schema_of(schema.PLAN), ("reason", pa.string())])
    kind = kind.append(pa.field("stage", pa.string()))
    known = {"key": ["0" * 32], "url": [url]}
    return pa.table({f.name: known.get(f.name, pa.nulls(1, f.type)) for f in kind}, schema=kind)


def children(server: int) -> set[int]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except FileNotFoundError:  # a thread that has ended
            continue
    return found - {server}


def peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(served: dict, server: int, limit: int) -> tuple[list, int, int, int]:
    """Bombs as (seconds, name, reason, expected, deaths), and the most of parent and children."""
    stage = Collect(allow_hosts=("127.0.0.1",), robots=False, per_host_rate=0, decoders=1)
    stage.open()
    rows, most = [], {"parent": 0, "child": 0}
    try:
        for number, (name, fates) in enumerate(served["bombs"]):
            mine = children(server)
            for pid in (os.getpid(), *mine):
                forget_peak(pid)
            before, began = stage._decoders.deaths, time.perf_counter()
            url = f"http://127.0.0.1:{served['port']}/{number}"
            reason = apply(table(url), stage).to_pylist()[0]["reason"]
            seconds = time.perf_counter() - began
            most["parent"] = max(most["parent"], peak(os.getpid()))
            most["child"] = max([most["child"], *map(peak, children(server))])
            deaths = stage._decoders.deaths - before
            rows.append((seconds, name, reason, (reason or "") in fates, deaths))
    finally:
        stage.close()
    over = (max(most.values()) - limit) / MIB
    print(
        f"parent {most['parent'] / MIB:.0f} MiB, child {most['child'] / MIB:.0f} MiB; {over:+.0f}"
    )
    return rows, most["parent"], most["child"], limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--max-pixels", type=int, default=64_000_000)
    settings = parser.parse_args()
    limit = MEMORY_BASE + MEMORY_PER_PIXEL * settings.max_pixels
    command = [sys.executable, "-m", "humanverse.testing.bombs", str(settings.max_pixels)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as server:
        served = json.loads(server.stdout.readline())
        rows, parent, child, limit = measure(served, server.pid, limit)
        server.stdin.close()
    first, *rows = rows  # it waits for its child's imports
    for seconds, name, reason, expected, deaths in sorted(rows, reverse=True)[:12]:
        odd = "" if expected else "  UNEXPECTED"
        print(f"  {seconds:6.2f} s  {name:36} {reason} {deaths or ''}{odd}")
    figures = [
        figure("bombs: slowest answer", max(row[0] for row in rows), "s", GOAL_SECONDS, "lower"),
        figure("bombs: parent over the cap", (parent - limit) / MIB, "MiB", GOAL_OVER, "lower"),
        figure("bombs: child over the cap", (child - limit) / MIB, "MiB", GOAL_OVER, "lower"),
        figure("bombs: children that died", sum(row[4] for row in rows), "children", 0, "lower"),
        figure("bombs: unplanned ends", sum(not row[3] for row in rows), "bombs", 0, "lower"),
        figure("bombs: number", len(rows), "bombs"),
    ]
    print(first[1], "not timed")
    write(figures, settings.json)


if __name__ == "__main__":
    main()
