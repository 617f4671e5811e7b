"""A root of figures, encoded, and the folders of the small networks that encoded it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE

RECIPE = HERE / "recipes" / "figures.py"
SIZE = 32


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums come out the same, and a process a core is enough."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """An autoencoder and a text encoder."""
    for name in ("transformers", "diffusers"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from models.small_encoders import clip_folder, kl_folder

    base = tmp_path_factory.mktemp("encoders")
    return kl_folder(base / "vae"), clip_folder(base / "text_encoder")


@pytest.fixture(scope="session")
def assignments(folders):
    """What `--set` is told."""
    vae, text = folders
    return [f"latents.weights={vae}", f"latents.size={SIZE}", f"text.weights={text}"]


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """Sixteen figures, packed, with nothing encoded."""
    from humanverse.run.build import Settings, build

    folder = tmp_path_factory.mktemp("figures")
    urls = [f"http://localhost/{seed}.jpg" for seed in range(16)]
    table = pa.table({"url": urls, "caption": ["a " * (seed % 3) for seed in range(16)]})
    pq.write_table(table, folder / "urls.parquet")
    build(RECIPE, [folder / "urls.parquet"], folder / "root", settings=Settings("local"))
    return folder / "root"


@pytest.fixture(scope="session")
def encoded(plain, assignments, tmp_path_factory):
    """The same, encoded by the verb."""
    from shutil import copytree

    from humanverse.cli import main

    root = copytree(plain, tmp_path_factory.mktemp("encoded") / "root")
    sets = [word for told in assignments for word in ("--set", told)]
    command = ["encode", str(RECIPE), "--out", str(root), "--runner", "local", *sets]
    assert main(command) == 0
    return root
