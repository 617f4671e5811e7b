"""An index of many rows, and what opening it takes: see benchmarks/load.py.

python benchmarks/load_open.py FOLDER ROWS      make it
python benchmarks/load_open.py FOLDER           open it, and print seconds and megabytes
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

MEMBERS = ("depth_png", "jpg", "json", "normal_png", "pose_json", "txt")
FILTERS = [("person_count", "<=", 2), ("aesthetic", ">", 5.5)]


def make(root: Path, rows: int) -> None:
    """An index as `pack` writes it, of made-up samples in shards of a thousand."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random, step, writer = np.random.default_rng(0), 1 << 16, None
    (root / "shards").mkdir(parents=True)
    for start in range(0, rows, step):
        n = min(step, rows - start)
        high = np.arange(start, start + n, dtype=np.uint64) * np.uint64((1 << 64) // rows)
        keys = [
            f"{a:016x}{b:016x}" for a, b in zip(high, random.integers(1 << 62, size=n), strict=True)
        ]
        columns = {
            "key": keys,
            "url": [f"https://example.org/{key}.jpg" for key in keys],
            "caption": [f"people {key[:20]}" for key in keys],
            "width": random.integers(200, 2000, n, np.int32),
            "height": random.integers(200, 2000, n, np.int32),
            "person_count": random.integers(1, 4, n, np.int32),
            "aesthetic": random.normal(5.5, 0.6, n).astype(np.float32),
            "depth_kind": ["relative"] * n,
            "depth_scale": random.random(n, np.float32),
            "depth_offset": random.random(n, np.float32),
        }
        for number, name in enumerate(MEMBERS):
            columns[f"{name}_offset"] = np.arange(n) % 1000 * 265_216 + number * 40_960
            columns[f"{name}_length"] = random.integers(1_000, 40_000, n)
            columns[f"{name}_crc32"] = random.integers(1, 1 << 32, n, np.uint32)
        columns["shard"] = (np.arange(start, start + n) // 1000).astype(np.int32)
        table = pa.table(columns)
        path = root / "shards" / "index.parquet"
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
    shard = {
        "samples": 1000,
        "source": "0" * 16,
        "tar_sha256": "0" * 64,
        "parquet_sha256": "0" * 64,
    }
    listed = [{"number": number, "tar_bytes": 1, **shard} for number in range(-(-rows // 1000))]
    body = {"schema": "humanverse.dataset.v1", "index_sha256": "0" * 64, "shards": listed}
    (root / "shards" / "dataset.json").write_text(json.dumps(body, indent=1))


def show(root: Path) -> None:
    """Open it."""
    import humanverse

    columns, began = ["image", "caption", "poses", "depth"], time.perf_counter()
    dataset = humanverse.open(root, columns)
    assert len(dataset)
    opened = time.perf_counter()
    megabytes = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    assert len(humanverse.open(root, columns, FILTERS)) < len(dataset)
    filtered = time.perf_counter() - opened
    print(json.dumps({"seconds": opened - began, "filtered": filtered, "megabytes": megabytes}))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        make(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        show(Path(sys.argv[1]))
