"""A small dataset to learn from, and a network that is small enough."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from shared import HERE
from small import SMALL

from humanverse.run.build import Settings, build
from humanverse.testing.figures import caption
from humanverse.train.loop import train


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums come out the same, and a process a core is enough."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Two dozen figures, packed."""
    folder = tmp_path_factory.mktemp("figures")
    urls = [f"http://localhost/{seed}.jpg" for seed in range(24)]
    table = pa.table({"url": urls, "caption": [caption(seed) for seed in range(24)]})
    pq.write_table(table, folder / "urls.parquet")
    recipe = HERE / "recipes" / "figures.py"
    build(recipe, [folder / "urls.parquet"], folder / "root", settings=Settings("local"))
    return folder / "root"


@pytest.fixture(scope="session")
def trained(root, tmp_path_factory):
    """A run of 24 steps that nobody disturbed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    train(SMALL, root, out)
    return out
