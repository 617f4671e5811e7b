"""Memory of a long collection: what it holds after 20,000 images against after 2,000.

    python benchmarks/collect_memory.py --json collect_memory.json     # some three minutes

One run of `humanverse collect` on photographs of about 100 KB from loopback. The memory of the
process and of its decoders is read ten times a second; a figure is the median over the second
thousand images on either side of the mark. The peer is the same process at the earlier mark.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from collect import CONNECTIONS, RECIPE
from common import figure, write
from served import Served, photos

EARLY = 2000
WINDOW = 1000
"""Images before and after a mark over which memory is read."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes of a process and its children in memory; those of a shared library count for each."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):  # it has just ended
        return 0
    threads = Path(f"/proc/{pid}/task")
    for thread in threads.iterdir() if threads.exists() else ():
        if thread.name != str(pid):
            try:
                children += (thread / "children").read_text().split()
            except OSError:
                continue
    return own + sum(resident(int(child)) for child in children)


def watched(folder: Path, table: Path) -> list[tuple[int, int]]:
    """Images done and bytes in memory, again and again while it runs."""
    recipe = folder / "recipe.py"
    recipe.write_text(RECIPE)
    names = ["allow_hosts=localhost", "per_host_rate=0", "contact=me@localhost"]
    names += [f"per_host={CONNECTIONS}", f"connections={CONNECTIONS}"]
    rest = ["--out", str(folder / "out"), *(f"--set=collect.{name}" for name in names)]
    program = [sys.executable, "-m", "humanverse"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [*program, "plan", str(recipe), "--input", str(table), *rest], check=True, **quiet
    )
    run = subprocess.Popen([*program, "collect", str(recipe), "--runner", "local", *rest], **quiet)
    seen = []
    while run.poll() is None:
        done = 1000 * len(list((folder / "out" / "commits").glob("*.json")))
        seen.append((done, resident(run.pid)))
        time.sleep(0.1)
    if run.returncode:
        raise SystemExit(f"the run ended with {run.returncode}")
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with Served(photos(640, 480, 90)) as served, tempfile.TemporaryDirectory() as name:
        table = Path(name) / "urls.parquet"
        urls = [served.url(number) for number in range(options.images)]
        pq.write_table(pa.table({"url": urls}), table)
        seen = watched(Path(name), table)

    def at(mark: int) -> float:
        near = [size for done, size in seen if abs(done - mark) <= WINDOW and size]
        return statistics.median(near) / (1 << 20)

    early, late = at(EARLY), at(options.images - WINDOW)
    print(f"{early:.0f} MiB after {EARLY} images, {late:.0f} MiB after {options.images}")
    print(f"highest: {max(size for _, size in seen) / (1 << 20):.0f} MiB")
    peer = f"{early:.0f} MiB after {EARLY} images"
    write(
        [figure("memory after 20,000 images", late / early, "x", 1.1, "lower", peer)], options.json
    )


if __name__ == "__main__":
    main()
