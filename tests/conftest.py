"""What many tests share: webs on loopback, recipes with doubles, the real material where it is."""

import os
import sys
import tempfile
import threading
from pathlib import Path

import hypothesis
import pytest
from shared import HERE, pictures

from humanverse.testing.web import picture_web

# How long an example takes depends on whoever else uses the machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("HUMANVERSE_OFFLINE", "1")
# Nobody looks for a bucket, or for credentials, beyond loopback.
os.environ.update(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_EC2_METADATA_DISABLED="true")
os.environ.update(AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="x", AWS_ALLOW_HTTP="true")
# Hundreds of children start here. Where modules must not be compiled beside their sources, each
# would compile them for itself.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    compiled = Path(tempfile.gettempdir()) / f"humanverse-tests-{os.getuid()}"
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(compiled))
if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: no more threads than that
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before any worker starts, as it is when a recipe that imports its own stages is run by a user.
sys.path[:0] = [str(HERE / "recipes"), str(HERE.parent / "examples")]


@pytest.fixture(scope="session")
def web(tmp_path_factory):
    """Sixty honest pictures and their table."""
    with picture_web(pictures(60)) as made:
        made.table = tmp_path_factory.mktemp("web") / "urls.parquet"
        made.write_table(made.table)
        yield made


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A packed root of rendered scenes whose labels are their truth, in three shards: each scene at
    two sizes, one of them mirrored.
    """
    import cv2
    import numpy as np
    from recipes.perfect import SEEDS, SIZE

    from humanverse.codec import encode_jpeg
    from humanverse.recipe import load_recipe
    from humanverse.run.build import Settings, build
    from humanverse.testing.perfect import Known

    folder = tmp_path_factory.mktemp("scenes")
    for number, scene in enumerate(Known(SEEDS, SIZE).scenes):
        size = np.array(SIZE) * (2 if number % 2 else 1)
        image = cv2.resize(scene.image, size.tolist(), interpolation=cv2.INTER_CUBIC)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(image, 95))
        (folder / f"{number}.txt").write_text(f"scene {number} äöü")
    root = tmp_path_factory.mktemp("packed") / "root"
    recipe = load_recipe(HERE / "recipes" / "perfect.py", ["pack.units_per_shard=1"])
    build(recipe, [folder], root, settings=Settings("local"))
    return root


@pytest.fixture(scope="session")
def real():
    """The folder of real photographs, truth and weights."""
    given = os.environ.get("HUMANVERSE_REAL")
    folder = Path(given) if given else HERE.parent.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("no real photos: set HUMANVERSE_REAL to their folder")
    return folder


@pytest.fixture(autouse=True)
def no_threads_left():
    """A stage that is closed leaves no loop behind."""
    yield
    assert not [t for t in threading.enumerate() if t.name == "collect" and t.is_alive()]
