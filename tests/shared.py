"""What tests of several folders share beside fixtures."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import humanverse
from humanverse.models.ultralytics import _isolate
from humanverse.testing.photos import Photo

HERE = Path(__file__).parent
RECIPE = HERE / "recipes" / "doubles.py"

# Ray's own imports warn of what it deprecates in itself.
RAY_WARNS = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::UserWarning",
)


def pictures(number, seed=0):
    """Pictures of smooth noise: each with a hash of its own, quick to make."""
    random = np.random.default_rng(seed)
    for index in range(number):
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        fine = np.kron(coarse, np.ones((28 + index % 3, 30, 1), np.uint8))
        yield Photo(f"picture-{index:03d}", f"caption {index} äöü", fine)


def needs_ultralytics():
    """Skip where the package is not installed. Imported as it is it would change Pillow for all."""
    if find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    _isolate()


def url_table(folder, number):
    """A table of addresses that nobody is asked for."""
    path = folder / "urls.parquet"
    pq.write_table(pa.table({"url": [f"http://localhost/{n}.jpg" for n in range(number)]}), path)
    return path


def shards(root):
    return {path.name: path.read_bytes() for path in sorted((root / "shards").iterdir())}


def kept_urls(root):
    return {row["url"] for row in humanverse.ledger(root).to_pylist() if row["status"] == "kept"}


def everything(root):
    """All files but the telemetry, which is not the same twice, and the roll-ups: these are copies
    of receipts for fast reading, cut where a run happened to stop and in the order it took.
    """
    files = {p.relative_to(root): p for p in sorted(root.rglob("*")) if p.is_file()}
    same = (name for name in files if "telemetry" not in name.parts and "rolled" not in name.parts)
    return {name: files[name].read_bytes() for name in same}


def rows_of(root, status="kept"):
    return [row for row in humanverse.ledger(root).to_pylist() if row["status"] == status]


def listed(folder, *lines):
    file = folder / "list.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file
