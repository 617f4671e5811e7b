"""The demo's recipe as a job of a cluster of three nodes, with its root in a local S3.

    python scripts/cluster_demo.py

A head, a node that collects and one that labels run on this machine; the job is submitted to the
cluster's job server by a process of its own. Then the local runner builds the same, and both roots
are compared. Ends with 1 if a stage ran elsewhere than it should, or a byte differs.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from humanverse.layers.store import Store
from humanverse.layers.timings import read_timings
from humanverse.testing.chaos import contents
from humanverse.testing.objects import bucket
from humanverse.testing.web import demo_web

NODES = Path(__file__).parent.parent / "tests" / "run" / "three_nodes.py"
WANTED = {"collect": "cpu_node"} | dict.fromkeys(
    ("detect", "people", "pose", "depth", "normals"), "gpu_node"
)


def built(table: Path, out: str, *more: str) -> float:
    """Seconds that a build by a process of its own takes."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "humanverse", "build", "demo", "--input", str(table)]
    command += ["--out", out, "--set", "collect.allow_hosts=127.0.0.1", *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def where(root: Store, nodes: dict[str, str]) -> dict[str, set[str]]:
    """The nodes on which each stage ran, by name."""
    names, out = {node[:12]: name for name, node in nodes.items()}, defaultdict(set)
    for timing in (timing for unit in read_timings(root) for timing in unit):
        out[timing.stage].add(names[timing.worker.partition("@")[2]])
    return dict(out)


def main() -> int:
    """Print what was seen."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as scratch, bucket(os.environ.__setitem__) as s3:
        with demo_web() as web:
            table, root, here = Path(scratch) / "urls.parquet", s3.url("demo"), f"{scratch}/local"
            web.write_table(table)
            nodes = subprocess.Popen(
                [sys.executable, NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert nodes.stdin is not None
            assert nodes.stdout is not None
            try:
                told = json.loads(nodes.stdout.readline())
                places = ("--place", "network=cpu_node", "--place", "model=gpu_node")
                seconds = built(table, root, "--submit", told["address"], *places)
            finally:
                nodes.stdin.close()
                nodes.wait(60)
            print(f"as a job of three nodes, root in S3: {seconds:.1f} s")
            print(f"by the local runner: {built(table, here, '--runner', 'local'):.1f} s")
        ran = where(Store(root), told["nodes"])
        for stage, names in ran.items():
            print(f"{stage:8} ran on {', '.join(sorted(names))}")
        same = contents(root) == contents(here)
        print(f"selections, shards and ledgers are {'the same' if same else 'DIFFERENT'}")
        return 0 if same and ran == {stage: {node} for stage, node in WANTED.items()} else 1


if __name__ == "__main__":
    sys.exit(main())
