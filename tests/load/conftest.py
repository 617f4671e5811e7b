"""A packed root of rendered scenes, whose labels are their truth."""

import cv2
import numpy as np
import pytest
from recipes.perfect import SEEDS, SIZE
from shared import HERE

from humanverse.codec import encode_jpeg
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.testing.perfect import Known


@pytest.fixture(scope="session")
def known():
    return Known(SEEDS, SIZE)


@pytest.fixture(scope="session")
def scenes(known, tmp_path_factory):
    """The root: each scene at two sizes, one of them mirrored, in three shards."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, scene in enumerate(known.scenes):
        size = np.array(SIZE) * (2 if number % 2 else 1)
        image = cv2.resize(scene.image, size.tolist(), interpolation=cv2.INTER_CUBIC)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(image, 95))
        (folder / f"{number}.txt").write_text(f"scene {number} äöü")
    root = tmp_path_factory.mktemp("packed") / "root"
    recipe = load_recipe(HERE / "recipes" / "perfect.py", ["pack.units_per_shard=1"])
    build(recipe, [folder], root, settings=Settings("local"))
    return root
