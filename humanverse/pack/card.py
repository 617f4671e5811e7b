"""What lies beside the shards: a card for people, one for machines, and all checksums."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

import pyarrow.parquet as pq

from humanverse import plan
from humanverse.errors import DataError
from humanverse.layers.ledger import all_reasons, funnel, recipe_of
from humanverse.layers.store import Store
from humanverse.pack.card_text import Told, markdown
from humanverse.pack.croissant import croissant
from humanverse.pack.listing import DATASET, FOLDER, INDEX, SUMS, Shard


def write_card(store: Store, shards: list[Shard]) -> None:
    """Write `README.md`, `croissant.json` and `SHA256SUMS` into the shards' folder."""
    recipe, counts = recipe_of(store), funnel(store)
    splits = json.loads(store.read(DATASET)).get("splits", {})
    sums = {shard.tar: shard.tar_sha256 for shard in shards}
    sums |= {shard.parquet: shard.parquet_sha256 for shard in shards}
    sums |= {name: store.sha256(name) for name in (DATASET, INDEX)}
    with store.open(INDEX) as f:
        columns = pq.read_schema(f)
        known = [name for name in ("person_count",) if name in columns.names]
        counted = pq.read_table(f, columns=known).to_pydict()
    people = Counter(n for n in counted.get("person_count", ()) if n is not None)
    described = croissant(recipe, shards, columns, sums[INDEX], store.size(INDEX))
    inputs = [name for manifest in plan.manifests(store) for name in manifest.get("inputs", ())]
    told = Told(recipe, counts, shards, all_reasons(store), splits, inputs, people)
    files = {
        "README.md": markdown(told),
        "croissant.json": json.dumps(described, indent=1) + "\n",
    }
    for name, text in files.items():
        store.replace(f"{FOLDER}/{name}", text.encode())
        sums[f"{FOLDER}/{name}"] = hashlib.sha256(text.encode()).hexdigest()
    lines = [f"{sums[name]}  {name.removeprefix(FOLDER + '/')}\n" for name in sorted(sums)]
    store.replace(SUMS, "".join(lines).encode())


def read_sums(store: Store) -> dict[str, str]:
    """Name and sha256 of every file of the packed dataset, as `sha256sum -c` reads them.

    Raises:
        DataError: the list is missing or is none.
    """
    if not store.exists(SUMS):
        raise DataError("missing: run `humanverse pack`")
    lines = store.read(SUMS).decode(errors="replace").splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  (\S+)", line) for line in lines]
    if not all(found):
        raise DataError("a line is none of a name and its sha256")
    return {f"{FOLDER}/{line[2]}": line[1] for line in found if line}
