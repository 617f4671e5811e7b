"""Rendered scenes in packed roots."""

import json
from types import SimpleNamespace

import pytest
from export.exporting import keys

from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import render

SPLITS = ("train", "validation", "train", "test", "train", "train", "train", "train")


@pytest.fixture(scope="session")
def rendered():
    """Eight scenes of nobody to three people."""
    return [render(seed, 320, 240, people=seed % 4) for seed in range(1, 9)]


@pytest.fixture(scope="session")
def whole(rendered, tmp_path_factory):
    """They, packed in three shards."""
    root = tmp_path_factory.mktemp("whole") / "root"
    pack_scenes(root, [encoded(scene) for scene in rendered], per_shard=3)
    scenes = dict(zip(keys(len(rendered)), rendered, strict=True))
    return SimpleNamespace(root=root, scenes=scenes)


@pytest.fixture(scope="session")
def split(rendered, tmp_path_factory):
    """They, in splits: of three shards one is of one split alone."""
    root = tmp_path_factory.mktemp("split") / "root"
    samples = [encoded(scene) for scene in rendered]
    told = [
        (fields | {"split": name}, f) for (fields, f), name in zip(samples, SPLITS, strict=True)
    ]
    pack_scenes(root, told, per_shard=3)
    listed = root / "shards" / "dataset.json"
    counts = {name: SPLITS.count(name) for name in ("train", "validation", "test")}
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"splits": counts}))
    return SimpleNamespace(root=root, of=dict(zip(keys(len(rendered)), SPLITS, strict=True)))
