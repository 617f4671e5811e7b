"""A dataset in the hands of webdataset, and what all readers of whole tars need.

webdataset reads our shards as they are. What is added is what tars alone do not tell it: which
samples are chosen, and in which unit depth is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from humanverse.errors import DataError, UsageError
from humanverse.load.decode import MEMBERS, STORED, Decoder
from humanverse.load.view import Sample

if TYPE_CHECKING:
    from humanverse.load.dataset import Dataset

COLUMN_OF: Final = {MEMBERS[column]: column for column in (*STORED, "latents", "text")}
"""By extension, the column that a member is decoded to."""
ARRAYS: Final = (MEMBERS["latents"], MEMBERS["text"])
"""Members of several arrays, which other libraries are handed as they are."""


def extensions_of(dataset: Dataset) -> list[str]:
    """Those of the members that its columns come from; with depth its description, which says in
    which unit it is.
    """
    found = dict.fromkeys(MEMBERS[column] for column in dataset.columns)
    if "depth.png" in found:
        found["json"] = None
    return list(found)


def spans(dataset: Dataset) -> list[tuple[int, int, int]]:
    """Its samples by tar: the shard's number, the first sample's, and that behind the last one.

    Raises:
        UsageError: there are none.
    """
    shards = dataset.to_table(["shard"])["shard"].to_numpy()
    if len(shards) == 0:
        raise UsageError(f"no sample of {dataset.root} is chosen: there is nothing to hand on")
    cuts = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
    return [(int(shards[start]), start, stop) for start, stop in pairwise(cuts)]


def tar_of(dataset: Dataset, shard: int) -> str:
    """The path or address of a shard's tar."""
    return f"{dataset.root}/shards/{shard:05d}.tar"


def webdataset_of(dataset: Dataset, *, decode: bool = True, **how: Any) -> Any:
    """A `webdataset.WebDataset`: see `Dataset.to_webdataset`."""
    try:
        import webdataset
    except ImportError as error:
        raise UsageError(
            "to_webdataset needs webdataset: pip install 'humanverse[neighbours]'"
        ) from error
    if "://" in str(dataset.root):
        raise UsageError(
            f"webdataset is handed tars of this machine, and {dataset.root} is elsewhere: copy it, "
            "or read it with dataset.loader"
        )
    tars = {tar_of(dataset, shard): (start, stop) for shard, start, stop in spans(dataset)}
    sane = {"shardshuffle": False, "nodesplitter": webdataset.split_by_node, "empty_check": False}
    wanted = _Extensions(extensions_of(dataset))
    made = webdataset.WebDataset(list(tars), select_files=wanted, **(sane | how))
    if dataset.rows is not None:
        keys = dataset.to_table(["key"])["key"].combine_chunks()
        made = made.select(_Chosen(keys, tars))
    handler = {"handler": how["handler"]} if "handler" in how else {}
    return made.map(decoded, **handler) if decode else made


class _Extensions:
    """Says whether a file of a tar is wanted."""

    def __init__(self, extensions: Sequence[str]) -> None:
        self._extensions = frozenset(extensions)

    def __call__(self, name: str) -> bool:
        return name.partition(".")[2] in self._extensions


class _Chosen:
    """Says whether a sample is chosen. Keys are looked at a tar at a time: a set of all of a
    dataset's would take 100 bytes a sample in each worker.
    """

    def __init__(self, keys: pa.Array, tars: Mapping[str, tuple[int, int]]) -> None:
        self._keys, self._tars = keys, tars
        self._here: tuple[str, frozenset[str]] = ("", frozenset())

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        tar = sample["__url__"]
        if tar != self._here[0]:
            start, stop = self._tars[tar]
            self._here = tar, frozenset(self._keys[start:stop].to_pylist())
        return sample["__key__"] in self._here[1]


def decoded(sample: Mapping[str, Any]) -> Sample:
    """A sample of webdataset with each member decoded, under its extension, as `Dataset` has it.

    Raises:
        DataError: a member cannot be read.
    """
    members = {
        name: data for name, data in sample.items() if name in COLUMN_OF and name not in ARRAYS
    }
    try:
        meta = json.loads(members.pop("json", b"{}"))
        told = {f"depth_{name}": value for name, value in meta.get("depth", {}).items()}
        decoder, seen = Decoder(members, told, None), {"json": meta} if meta else {}
        for extension in members:
            column = COLUMN_OF[extension]
            seen[extension] = decoder.column(column)[column]
    except (DataError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{sample['__key__']} of {sample['__url__']} cannot be read "
            f"({str(error).splitlines()[0]}): run `humanverse verify`"
        ) from error
    return dict(sample) | seen
