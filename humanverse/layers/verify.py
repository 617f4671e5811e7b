"""Verify: re-read everything on disk and prove that it is what plan, commits and index say."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import plan
from humanverse.errors import DataError
from humanverse.layers.commit import DAMAGED, Commit, Layer, damaged_files, receipt_of
from humanverse.layers.commit import FOLDER as COMMITS
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import RECIPE, funnel, ledger, stage_names
from humanverse.layers.listed import TAKEN_DOWN, Names, hits
from humanverse.layers.rolled import SOME, commits_of, is_whole, rolled_names
from humanverse.layers.selected import SELECTION, read_selection, unnamed
from humanverse.layers.store import Store
from humanverse.layers.takedown import former_files, taken_keys
from humanverse.layers.tombstones import read_tombstones
from humanverse.layers.verify_select import damaged_selection, unlike_selection
from humanverse.pack.card import read_sums
from humanverse.pack.index import place_columns
from humanverse.pack.listing import DATASET, INDEX, SUMS, Shard, read_shards

UNREADABLE = (
    *(OSError, pa.ArrowException, tarfile.TarError, DataError),
    *(ValueError, LookupError, TypeError, AttributeError),
)
"""What reading a damaged file raises."""
FROM_COPY = "put it back from a copy"
AGAIN = "were taken down: run `humanverse takedown` with the same list once more"


def verify(store: Store) -> list[str]:
    """Findings, one line each, naming unit or shard; empty if all is well."""
    if not store.exists(RECIPE) and plan.manifest_names(store):
        return [f"{RECIPE} is missing: the same build writes it again"]
    try:
        stage_names(store)
    except UNREADABLE as error:
        return [f"{RECIPE} cannot be read: {error}; or the same build writes it again"]
    parts = (_plan, _receipts, _layers, _selection, _shards, _takedowns)
    return [finding for part in parts for finding in part(store)]


def sweep(store: Store) -> list[str]:
    """Remove files that no commit names. Only while nothing runs on the root."""
    named = {file.name for file in Commits.read(store).files()}
    orphans = []
    for folder in stage_names(store):
        for name in store.names(folder):
            if f"{folder}/{name}" not in named:
                store.remove(f"{folder}/{name}")
                orphans.append(f"{folder}/{name}")
    for name in unnamed(store, read_selection(store)):
        store.remove(name)
        orphans.append(name)
    for attempt in store.attempts():
        store.remove(attempt)
        orphans.append(attempt)
    return sorted(orphans)


def _plan(store: Store) -> Iterator[str]:
    try:
        numbers = plan.manifest_names(store)
        if not numbers or numbers != [f"{n:02d}.json" for n in range(len(numbers))]:
            yield f"plan: generations {', '.join(numbers) or 'none'}: one is missing"
        for manifest in plan.manifests(store):
            for part in manifest["parts"]:
                yield from _plan_file(store, part["file"], part.get("sha256"))
                if "unplanned" in part:
                    yield from _plan_file(store, part["unplanned"], part.get("unplanned_sha256"))
            for part in manifest.get("replaced", ()):
                yield from _plan_file(store, part["file"], part["sha256"])
        for unit in plan.units(store):
            keys = plan.read_unit(store, unit)["key"].to_pylist()
            if len(keys) != unit.rows or keys != sorted(set(keys)):
                yield f"plan: unit {unit.name} is not {unit.rows} rows with sorted, single keys"
        counts = funnel(store)
        total = counts.kept + counts.pending + sum(map(Counter.total, counts.reasons.values()))
        if total != counts.rows:
            yield f"ledger: kept, pending and reasons add up to {total}, not {counts.rows}"
        if ledger(store)["status"].null_count:
            yield "ledger: a row has no status"
    except UNREADABLE as error:
        yield f"plan or ledger: {error}"


def _plan_file(store: Store, name: str, sha256: str | None) -> Iterator[str]:
    if not store.exists(f"plan/{name}"):
        yield f"plan/{name} is missing"
    elif sha256 is not None and store.sha256(f"plan/{name}") != sha256:
        yield f"plan/{name} has another sha256 than its manifest says"


def _layers(store: Store) -> Iterator[str]:
    try:
        commits = Commits.read(store)
        units = plan.units(store)
    except UNREADABLE as error:
        yield f"commits: {error}"
        return
    for name, layer, finding in damaged_layers(store, commits):
        yield f"unit {name}, layer {layer}: {finding}"
    planned = set(units.names().to_pylist())
    yield from (f"commits: unit {u} is not planned" for u in commits.units() if u not in planned)


def _receipts(store: Store) -> Iterator[str]:
    """Whether every receipt can be read, and every roll-up says what receipts say."""
    there = {name: "" for name in sorted(store.names(COMMITS)) if name.endswith(".json")}
    for name in there:
        data = store.read(f"{COMMITS}/{name}")
        there[name] = hashlib.sha256(data).hexdigest()
        try:
            commit = Commit.from_json(data)
            if commit.to_json() != data or receipt_of(commit.unit, commit.number) != name:
                yield f"{COMMITS}/{name} is not as it was written"
        except UNREADABLE as error:
            yield f"{COMMITS}/{name}: {error}"
    for rolled in rolled_names(store):
        try:
            if not is_whole(store, rolled):
                yield f"{rolled} has another sha256 than its name says"
            for name, data in _rolled(store, rolled):
                if name not in there:
                    yield f"{rolled} holds {name}, a receipt that is not there"
                elif hashlib.sha256(data).hexdigest() != there[name]:
                    yield f"{COMMITS}/{name} is not the receipt that was rolled up in {rolled}"
        except UNREADABLE as error:
            yield f"{rolled}: {error}"


def _rolled(store: Store, rolled: str) -> Iterator[tuple[str, bytes]]:
    """What a roll-up holds: names of receipts and what they say."""
    with store.open(rolled) as f:
        for commit in commits_of(pq.ParquetFile(f).iter_batches(SOME)):
            yield receipt_of(commit.unit, commit.number), commit.to_json()


def damaged_layers(store: Store, commits: Commits) -> Iterator[tuple[str, str, str]]:
    """Unit, layer and finding; layers that are marked as damaged already are left out."""
    for unit in plan.units(store):
        try:
            keys = plan.read_unit(store, unit)["key"]
        except UNREADABLE:
            continue  # the plan's own finding
        for name, layer in commits.layers(unit.name).items():
            if layer.fingerprint != DAMAGED:
                for finding in _files_and_rows(store, layer, keys):
                    yield unit.name, name, finding


def damaged_shards(store: Store) -> Iterator[tuple[Shard, str]]:
    """Shard and finding."""
    for shard in read_shards(store):
        try:
            for finding in _shard(store, shard):
                yield shard, finding
        except UNREADABLE as error:
            yield shard, str(error)


def _files_and_rows(store: Store, layer: Layer, keys: pa.ChunkedArray) -> list[str]:
    findings = list(damaged_files(store, layer.files, "its commit"))
    try:
        return findings or list(_layer(store, layer, keys))
    except UNREADABLE as error:
        return [str(error)]


def _layer(store: Store, layer: Layer, keys: pa.ChunkedArray) -> Iterator[str]:
    table = store.read_table(layer.parquet.name, columns=["key", "reason"])
    if not table["key"].equals(keys):
        yield "its keys are not the plan's"
    counted = Counter(r for r in table["reason"].to_pylist() if r is not None)
    if dict(counted) != layer.reasons or layer.passed + counted.total() != layer.rows:
        yield f"its reasons are {dict(counted)}, its commit says {layer.reasons}"
    if layer.tar:
        known = set(keys.to_pylist())
        with store.open(layer.tar.name) as f, tarfile.open(fileobj=f, mode="r:") as tar:
            strange = [name for name in tar.getnames() if name.partition(".")[0] not in known]
        if strange:
            yield f"its tar holds {strange[0]}, which is no key of the unit"


def _selection(store: Store) -> Iterator[str]:
    try:
        damaged = list(damaged_selection(store))
        yield from damaged or unlike_selection(store)
    except UNREADABLE as error:
        yield f"{SELECTION}: {error}"


def _shards(store: Store) -> Iterator[str]:
    try:
        yield from (f"shard {s.number:05d}: {finding}" for s, finding in damaged_shards(store))
    except UNREADABLE as error:
        yield f"shards: {error}"
    yield from damaged_lists(store)


def damaged_lists(store: Store) -> Iterator[str]:
    """Findings on what `pack` writes beside the shards."""
    if not store.exists(DATASET):
        if store.exists(INDEX):
            yield f"{DATASET} is missing"
        return
    try:
        yield from _index(store, read_shards(store))
        yield from _sums(store)
    except UNREADABLE as error:
        yield f"shards: {error}"


def _sums(store: Store) -> Iterator[str]:
    """The card and whatever else has no checksum elsewhere."""
    try:
        for name, digest in read_sums(store).items():
            if not store.exists(name):
                yield f"{name}, which {SUMS} names, is missing"
            elif store.sha256(name) != digest:
                yield f"{name} has another sha256 than {SUMS} says"
    except DataError as error:
        yield f"{SUMS}: {error}"


def _shard(store: Store, shard: Shard) -> Iterator[str]:
    for name, digest in ((shard.tar, shard.tar_sha256), (shard.parquet, shard.parquet_sha256)):
        if not store.exists(name):
            yield f"{name} is missing"
            return
        if store.sha256(name) != digest:
            yield f"{name} has another sha256 than {DATASET} says"
            return
    table = store.read_table(shard.parquet)
    with store.open(shard.tar) as f, tarfile.open(fileobj=f, mode="r:") as tar:
        actual = {info.name: (info.offset_data, info.size) for info in tar}
    listed = dict(_places(table))
    if table.num_rows != shard.samples:
        yield f"{table.num_rows} samples, {DATASET} says {shard.samples}"
    if actual != listed:
        names = actual.keys() | listed.keys()
        wrong = sorted(name for name in names if actual.get(name) != listed.get(name))
        yield f"{len(wrong)} members do not lie where the table says, {wrong[0]} first"


def _places(table: pa.Table) -> Iterator[tuple[str, tuple[int, int]]]:
    extensions = [
        name.removesuffix("_offset").replace("_", ".")
        for name in table.column_names
        if name.endswith("_offset")
        and name.removesuffix("_offset") + "_length" in table.column_names
    ]
    keys = table["key"].to_pylist()
    for extension in extensions:
        offset, length = (table[name].to_pylist() for name in place_columns(extension))
        for key, start, size in zip(keys, offset, length, strict=True):
            if start is not None:
                yield f"{key}.{extension}", (start, size)


def _takedowns(store: Store) -> Iterator[str]:
    """What was taken down and is there all the same: a run that began before it may bring it."""
    try:
        entries, commits = read_tombstones(store), Commits.read(store)
        if not entries:
            if commits.units_with(TAKEN_DOWN):
                yield f"takedowns: rows were taken down, and no list is there: {FROM_COPY}"
            return
        names, stages = Names.of(entries), stage_names(store)
        for hit in hits(store, names, commits, stages):
            if hit.left:
                yield f"unit {hit.unit.name}: {len(hit.left)} rows are there that {AGAIN}"
        if selection := read_selection(store):
            keys = store.read_table(selection.table.name, ["key"])
            if there := dict(names.find(keys)):
                number = len(set().union(*there.values()))
                yield f"{SELECTION}: {number} rows are there that {AGAIN}"
        for shard in read_shards(store):
            there = dict(names.find(store.read_table(shard.parquet)))
            if there:
                number = len(set().union(*there.values()))
                yield f"shard {shard.number:05d}: {number} samples are there that {AGAIN}"
        units = commits.units_with(TAKEN_DOWN)
        keys = {unit: taken_keys(store, commits, unit, stages) for unit in units}
        for name in former_files(store, commits, keys, stages):
            yield f"{name}: it tells of rows that {AGAIN}"
    except UNREADABLE as error:
        yield f"takedowns: {error}"


def _index(store: Store, shards: list[Shard]) -> Iterator[str]:
    body = json.loads(store.read(DATASET))
    if not store.exists(INDEX):
        yield f"{INDEX} is missing"
    elif store.sha256(INDEX) != body["index_sha256"]:
        yield f"{INDEX} has another sha256 than {DATASET} says"
    elif store.read_table(INDEX).num_rows != sum(shard.samples for shard in shards):
        yield f"{INDEX} does not hold the samples of all shards"
