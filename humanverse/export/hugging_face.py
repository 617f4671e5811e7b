"""A packed root as a folder for Hugging Face: `data/SPLIT-NNNNN-of-NNNNN.tar` and `README.md`.

The tars are the root's shards. One that belongs to a split as a whole, which without splits each
does, is not copied where root and folder share a file system: it gets a second name there, a hard
link. From the others each split gets its own samples. The README's head says where the files of
each split lie and which type each field has, so that `datasets.load_dataset(DIR)` needs no word
more; taken from the first samples, as it does otherwise, types fail where a field is null in those.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from humanverse.errors import UsageError
from humanverse.export.folder import Folder, Handed, parts_of
from humanverse.layers.commit import write_tar
from humanverse.layers.store import Store
from humanverse.load.dataset import Dataset
from humanverse.load.dataset import open as open_root
from humanverse.load.decode import MEMBERS, STORED
from humanverse.load.hugging_face import hf_features
from humanverse.load.neighbours import COLUMN_OF, extensions_of, spans
from humanverse.pack.listing import Shard, read_shards

LICENSE = "other"
"""Pictures belong to their owners."""
TASKS = ("text-to-image", "keypoint-detection", "depth-estimation")
CARD = "shards/README.md"


def export(root: str, to: str, *, license: str = LICENSE) -> Handed:
    """Write what is missing.

    Raises:
        UsageError: the root is empty, the folder is no place for it, or Hugging Face's datasets
            is not installed.
    """
    dataset = _with_all(root)
    features = hf_features(dataset)
    folder, store = Folder(to, dataset, "hf", {"license": license}), Store(root)
    shards = {shard.number: shard for shard in read_shards(store)}
    parts = _named(parts_of(dataset))
    for split, part in parts.items():
        pieces = spans(part)
        for number, (shard, start, stop) in enumerate(pieces):
            name = f"data/{split}-{number:05d}-of-{len(pieces):05d}.tar"
            if stop - start == shards[shard].samples:
                _put_shard(folder, store, shards[shard], name)
            elif folder.lacks(name):
                with folder.writing(name) as file:
                    write_tar(file, _members(part, start, stop))
    if folder.lacks("README.md"):
        body = store.read(CARD).decode() if store.exists(CARD) else ""
        folder.put("README.md", (_head([*parts], features, license) + body).encode())
    return folder.handed(dataset)


def _named(parts: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits by names that Hugging Face takes, which have no hyphens."""
    named = {split.replace("-", "_") or "train": part for split, part in parts.items()}
    if len(named) < len(parts):
        raise UsageError(f"names of splits differ by hyphens alone: {', '.join(parts)}")
    return named


def _with_all(root: str) -> Dataset:
    """The packed root, with all members that it has."""
    dataset = open_root(root)
    if not len(dataset):
        raise UsageError(f"{root} holds no samples: there is nothing to export")
    places = dataset.table.schema.names
    named = {name: MEMBERS[name].replace(".", "_") for name in (*STORED, "latents", "text")}
    return dataset.only([n for n, member in named.items() if f"{member}_offset" in places])


def _put_shard(folder: Folder, store: Store, shard: Shard, name: str) -> None:
    """A shard's tar under another name."""
    if not folder.lacks(name, shard.tar_bytes):
        return
    if store.folder and folder.link(store.folder / shard.tar, name):
        return
    with store.open(shard.tar) as source, folder.writing(name) as file:
        shutil.copyfileobj(source, file)


def _members(dataset: Dataset, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """The members of some samples, in the order that shards have them."""
    raw = dataset.only(dataset.columns, decode=False)
    extensions = sorted(extensions_of(raw))
    for number in range(start, stop):
        sample = raw.look(number)
        for extension in extensions:
            if (data := sample.get(COLUMN_OF[extension])) is not None:
                yield f"{sample['key']}.{extension}", data


def _head(splits: list[str], features: Any, license: str) -> str:
    """What the README tells machines."""
    from datasets import DatasetInfo
    from huggingface_hub import DatasetCardData

    files = [{"split": split, "path": f"data/{split}-*.tar"} for split in splits]
    told = DatasetCardData(
        license=license,
        task_categories=[*TASKS],
        configs=[{"config_name": "default", "data_files": files}],
        dataset_info=DatasetInfo(features=features)._to_yaml_dict(),
    )
    return f"---\n{told.to_yaml()}\n---\n\n"
