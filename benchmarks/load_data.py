"""The same samples as our shards, and as what the neighbours read: for benchmarks/load.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from humanverse.testing.packed import Encoded, encoded, pack_scenes
from humanverse.testing.scenes import render

SIDE, DISTINCT = 512, 48
GRAIN = 9
"""Noise of real photographs: with it a JPEG takes about as many bytes as theirs do."""


def make_root(root: Path, samples: int) -> None:
    """A packed root of scenes, again and again under other keys."""
    scenes = [_scene(seed) for seed in range(DISTINCT)]
    pack_scenes(root, [scenes[number % DISTINCT] for number in range(samples)])


def _scene(seed: int) -> Encoded:
    scene = render(seed, SIDE, SIDE, people=1 + seed % 3)
    noise = np.random.default_rng(seed).normal(0, GRAIN, scene.image.shape)
    image = np.clip(scene.image + noise, 0, 255).astype(np.uint8)
    return encoded(replace(scene, image=image), quality=90)


def make_mds(root: Path, to: Path) -> None:
    """The samples of a root in mosaicml-streaming's own format, undecoded bytes in columns."""
    from streaming import MDSWriter

    import humanverse

    names = ("depth", "image", "normals", "poses")
    with humanverse.open(root, names, decode=False) as dataset:
        depth = dataset.to_table(["depth_scale", "depth_offset"]).to_pydict()
        columns = dict.fromkeys((*names, "key"), "bytes")
        columns |= {"depth_scale": "float64", "depth_offset": "float64"}
        with MDSWriter(out=str(to), columns=columns) as writer:
            for number, sample in enumerate(dataset):
                told = {name: depth[name][number] for name in depth}
                writer.write({**sample, **told, "key": sample["key"].encode()})
