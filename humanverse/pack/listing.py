"""The list of shards, which makes a root a dataset, and its place while shards are replaced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from humanverse.errors import DataError
from humanverse.layers.store import Store
from humanverse.pack.settings import Caption

FOLDER = "shards"
INDEX = f"{FOLDER}/index.parquet"
DATASET = f"{FOLDER}/dataset.json"
SUMS = f"{FOLDER}/SHA256SUMS"
FORMER = f"{FOLDER}/dataset.former.json"
"""The list of shards while some are being replaced: until all fit together there is no dataset."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One packed shard."""

    number: int
    samples: int
    source: str
    """Fingerprint of what it was made of: layers, and what the selection says of its rows."""
    tar_sha256: str
    tar_bytes: int
    parquet_sha256: str

    @property
    def tar(self) -> str:
        """Name of its tar."""
        return f"{FOLDER}/{self.number:05d}.tar"

    @property
    def parquet(self) -> str:
        """Name of its Parquet."""
        return f"{FOLDER}/{self.number:05d}.parquet"


def read_shards(store: Store) -> list[Shard]:
    """The shards of a packed root; none if it is not packed."""
    return _listed(store, DATASET)


def packed_so_far(store: Store) -> tuple[list[Shard], int | None]:
    """The shards as they are or, after packing broke off, were listed, and the units of one."""
    name = DATASET if store.exists(DATASET) else FORMER
    return _listed(store, name), _told(store, name).get("units_per_shard")


def caption_so_far(store: Store) -> Caption:
    """Whose words the samples of a packed root have; the web's in older ones, which do not tell."""
    name = DATASET if store.exists(DATASET) else FORMER
    return "generated" if _told(store, name).get("caption") == "generated" else "web"


def _told(store: Store, name: str) -> dict[str, Any]:
    """What a list of shards says, if it is there."""
    read: dict[str, Any] = json.loads(store.read(name)) if store.exists(name) else {}
    return read


def unlisted_shards(store: Store) -> list[str]:
    """Files of shards that no list names: packing broke off before there was one."""
    listed, _ = packed_so_far(store)
    known = {name for shard in listed for name in (shard.tar, shard.parquet)}
    known |= {INDEX} if store.exists(DATASET) else set()
    names = (f"{FOLDER}/{name}" for name in sorted(store.names(FOLDER)))
    return [n for n in names if n.endswith((".tar", ".parquet")) and n not in known]


def _listed(store: Store, name: str) -> list[Shard]:
    if not store.exists(name):
        return []
    try:
        return [Shard(**shard) for shard in json.loads(store.read(name))["shards"]]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{name} is not what was written ({error}): run `humanverse verify --repair`"
        ) from error


def fitting(store: Store) -> dict[int, Shard]:
    """The shards that are there as listed, by number; after a crash only those whose bytes fit."""
    whole = store.exists(DATASET)

    def fits(name: str, sha256: str) -> bool:
        return store.exists(name) and (whole or store.sha256(name) == sha256)

    return {
        shard.number: shard
        for shard in _listed(store, DATASET if whole else FORMER)
        if fits(shard.tar, shard.tar_sha256) and fits(shard.parquet, shard.parquet_sha256)
    }


def close(store: Store) -> None:
    """Take the list of shards away before one of them changes, so that nobody reads a mixture."""
    if store.exists(DATASET):
        store.replace(FORMER, store.read(DATASET))
        store.remove(DATASET)
        store.remove(SUMS)
