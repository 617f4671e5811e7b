"""One reader's pass over the benchmark's samples, in a process of its own: see benchmarks/load.py.

    python benchmarks/load_readers.py READER ROOT MDS

Prints a line of JSON: samples, CPU seconds of all threads and children, seconds. Opening is not
counted, and the first pass, which fills caches, neither.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Pass = Callable[[], Iterator[Any]]
BATCH = 64


def images_ours(root: str, _: str) -> Pass:
    """Undecoded pictures in shuffled order, by the loader."""
    import humanverse

    dataset = humanverse.open(root, ["image"], decode=False)
    loader = dataset.loader(BATCH, workers=2, last="keep")
    return lambda: (data for batch in loader for data in batch["image"])


def images_ours_one_by_one(root: str, _: str) -> Pass:
    """Undecoded pictures, `dataset[number]` at random numbers."""
    import humanverse

    dataset = humanverse.open(root, ["image"], decode=False)
    numbers = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return lambda: (dataset[number]["image"] for number in numbers)


def images_webdataset(root: str, _: str) -> Pass:
    """Undecoded samples in the order of the tars, all members, as it always reads them."""
    dataset = _webdataset(root)
    return lambda: (sample["jpg"] for sample in dataset)


def images_datasets(root: str, _: str) -> Pass:
    """Undecoded pictures at random numbers, from the Arrow files that it made of the tars."""
    dataset = _hf(root).select_columns(["jpg"])
    numbers = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return lambda: (dataset[number]["jpg"]["bytes"] for number in numbers)


def images_streaming(_: str, mds: str) -> Pass:
    """Undecoded samples at random numbers, all columns, as it always reads them."""
    from streaming import LocalDataset

    dataset = LocalDataset(local=mds)
    numbers = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return lambda: (dataset[number]["image"] for number in numbers)


def decoded_ours(root: str, _: str) -> Pass:
    """Everything decoded, shuffled, by the loader."""
    import humanverse

    dataset = humanverse.open(root, ["image", "depth", "normals", "poses"])
    loader = dataset.loader(BATCH, workers=2)
    return lambda: iter(loader)


def decoded_webdataset(root: str, _: str) -> Pass:
    """Everything decoded, through its shuffle buffer."""
    told = _depths(root)
    dataset = _webdataset(root, shuffled=True).map(lambda s: _decoded_tar(s, told[s["__key__"]]))
    return lambda: _batched(dataset)


def decoded_datasets(root: str, _: str) -> Pass:
    """Everything decoded, at random numbers."""
    told, dataset = _depths(root), _hf(root)
    numbers = np.random.default_rng(0).permutation(len(dataset)).tolist()

    def read(number: int) -> Any:
        row = dataset[number]
        files = {name: row[name]["bytes"] for name in ("jpg", "depth.png", "normal.png")}
        people = row["pose.json"]["people"]
        return _arrays(*files.values(), people, told[row["__key__"]])

    return lambda: _batched(read(number) for number in numbers)


def decoded_streaming(_: str, mds: str) -> Pass:
    """Everything decoded, shuffled as it shuffles."""
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=mds, shuffle=True, batch_size=BATCH)

    def read(row: dict) -> Any:
        files = [row[name] for name in ("image", "depth", "normals")]
        people = json.loads(row["poses"])["people"]
        return _arrays(*files, people, (row["depth_scale"], row["depth_offset"]))

    return lambda: _batched(read(row) for row in dataset)


def _batched(samples: Iterable[Any]) -> Iterator[Any]:
    """Batches as trainers want them: pictures and maps side by side, people in a list."""
    rows: list[Any] = []
    for sample in samples:
        rows.append(sample)
        if len(rows) == BATCH:
            *arrays, poses = zip(*rows, strict=True)
            yield [*map(np.stack, arrays), list(poses)]
            rows = []


def _decoded_tar(sample: dict, told: tuple[float, float]) -> Any:
    files = [sample[name] for name in ("jpg", "depth.png", "normal.png")]
    return _arrays(*files, json.loads(sample["pose.json"])["people"], told)


def _arrays(
    jpeg: bytes, depth: bytes, normals: bytes, people: list, told: tuple[float, float]
) -> tuple[np.ndarray, ...]:
    """What users of these libraries write: Pillow, which all three decode with, and NumPy."""
    from PIL import Image

    image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    codes = np.asarray(Image.open(io.BytesIO(depth)))
    vectors = np.asarray(Image.open(io.BytesIO(normals))).astype(np.float32)
    vectors = vectors / np.float32(127.5) - np.float32(1)
    vectors /= np.sqrt(np.einsum("hwc,hwc->hw", vectors, vectors))[..., None]
    poses = np.asarray([person["keypoints"] for person in people], np.float32)
    metres = codes.astype(np.float32) * np.float32(told[0]) + np.float32(told[1])
    return image, metres, vectors, poses


def _tars(root: str) -> list[str]:
    return sorted(str(path) for path in Path(root, "shards").glob("*.tar"))


def _webdataset(root: str, shuffled: bool = False) -> Any:
    import webdataset

    tars = _tars(root)
    made = webdataset.WebDataset(tars, shardshuffle=len(tars) if shuffled else False, seed=0)
    return made.shuffle(1000) if shuffled else made


def _hf(root: str) -> Any:
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    datasets.disable_progress_bars()
    made = datasets.load_dataset(
        "webdataset", data_files=_tars(root), split="train", cache_dir=f"{root}/hf"
    )
    for name in ("jpg", "depth.png", "normal.png"):
        made = made.cast_column(name, datasets.Image(decode=False))
    return made


def _depths(root: str) -> dict[str, tuple[float, float]]:
    import humanverse

    with humanverse.open(root, ["image"]) as dataset:
        table = dataset.to_table(["key", "depth_scale", "depth_offset"]).to_pydict()
    return dict(
        zip(
            table["key"], zip(table["depth_scale"], table["depth_offset"], strict=True), strict=True
        )
    )


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main(reader: str, root: str, mds: str) -> None:
    """Read once, then read and count."""
    read, each = globals()[reader](root, mds), BATCH if reader.startswith("decoded") else 1
    for _ in read():
        pass
    count, cpu, wall = 0, _cpu(), time.perf_counter()
    for _ in read():
        count += each
    print(json.dumps({"samples": count, "cpu": _cpu() - cpu, "wall": time.perf_counter() - wall}))


if __name__ == "__main__":
    main(*sys.argv[1:])
