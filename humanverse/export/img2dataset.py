"""What `collect` brought, as img2dataset 1.47 writes it with its webdataset output.

One shard a unit, in the plan's order: `NNNNN.tar` with `KEY.jpg`, `.json` and `.txt`,
`NNNNN.parquet` with one row for every row of the unit, and `NNNNN_stats.json`, which comes last and
says that the shard is whole. Columns, members and keys are img2dataset's. What the tables told
beside URL and caption stands in front, as its `save_additional_columns` does it. Our own key has no
place there: `url` and `sha256` lead back to the ledger. What makes a shard up to date is written
into the metadata of its Parquet, since img2dataset takes every JSON of the folder for stats.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse import plan, schema
from humanverse.collect import Collect
from humanverse.errors import DataError, UsageError
from humanverse.export.folder import NOT_OURS, refuse_overlap
from humanverse.layers.commit import Layer, read_layer, write_tar
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import all_reasons, stage_marks
from humanverse.layers.store import Store

VERSION = 1
"""Raise it when equal layers give other shards."""

SUCCESS = "success"
NOT_HAD = "failed_to_download"
NOT_USED = "failed_to_resize"

STATUSES: dict[str, str] = {
    **dict.fromkeys(("bad_address", "dns", "connection", "tls", "timeout", "redirects"), NOT_HAD),
    **dict.fromkeys(("http_gone", "http_refused", "http_busy", "http_error"), NOT_HAD),
    **dict.fromkeys(("http_server_error", "host_down", "encoded", "too_many_bytes"), NOT_HAD),
    **dict.fromkeys(("opted_out", "robots", "robots_unknown", "blocked"), NOT_HAD),
    **dict.fromkeys(("taken_down", "not_at_hand", "late", "no_result"), NOT_HAD),
    # What img2dataset calls a hash mismatch, and counts so.
    "changed": NOT_HAD,
    **dict.fromkeys(("not_image", "broken_image", "too_many_pixels", "too_small"), NOT_USED),
    **dict.fromkeys(("poison", "bytes_missing"), NOT_USED),
}
"""A collect reason to img2dataset's status. `failed_to_resize` means that bytes came."""

NOT_KEPT = "bytes not kept: run collect as a slice, or build --keep-rejected"
"""Message of a picture that was collected, but not kept when a later stage rejected it. Its address
is alive, so it counts as `failed_to_resize`."""

COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("caption", "url", "key", "status", "error_message")),
        *((name, pa.int32()) for name in ("width", "height", "original_width", "original_height")),
        *((name, pa.string()) for name in ("exif", "sha256")),
    ]
)
"""img2dataset's own columns, in its order."""
FOUND = ("width", "height", "original_width", "original_height", "sha256")
"""Those that only a picture has."""
CARRIED = tuple(schema.PLAN)[tuple(schema.PLAN).index("caption") + 1 :]
"""What a table may tell beside URL and caption."""

SHARD_DIGITS = 5
ROW_DIGITS = 4
"""Of a key, as img2dataset has them by default: shards of 10,000; more where units are larger."""

_FILE = re.compile(r"(\d{5,})(?:\.tar|\.parquet|_stats\.json)")
_ROOT, _SOURCE = b"humanverse.root", b"humanverse.source"


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in the folder now."""

    shards: int
    written: int
    """Shards that this export wrote; the others were up to date."""
    rows: int
    pictures: int
    not_kept: int
    """Pictures that were collected but whose bytes are gone."""
    waiting: int
    """Units that are not collected yet."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is the same in all shards."""

    root: str
    """Tells this root's shards from anything else in the folder."""
    carried: tuple[str, ...]
    row_digits: int
    messages: dict[str, str]
    """Reason to error message."""

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([*((c, schema.PLAN[c].type) for c in self.carried), *COLUMNS])


@dataclass(frozen=True, slots=True)
class _Shard:
    """One unit on its way out."""

    number: int
    unit: plan.Unit
    layers: list[Layer]
    """Those up to collect's, which is the last."""
    gone: plan.Replaced | None
    """Rows that a later unit holds again."""

    @property
    def rows(self) -> int:
        return self.unit.rows - (len(self.gone.keys) if self.gone else 0)

    def file(self, ending: str) -> str:
        return f"{self.number:0{SHARD_DIGITS}d}{ending}"

    def source(self, layout: _Layout) -> str:
        """Changes with anything that the shard's bytes follow from."""
        files = [f.sha256 for layer in self.layers for f in (layer.parquet, layer.tar) if f]
        settings = [VERSION, layout.carried, layout.row_digits, layout.messages]
        gone = sorted(self.gone.keys) if self.gone else []
        told = json.dumps([self.unit.name, self.unit.file, files, gone, settings], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def export(store: Store, target: Store) -> Exported:
    """Write or bring up to date the shards of all units that are collected.

    Raises:
        UsageError: nothing is collected, or the target is no place for it; nothing was touched.
        DataError: a layer does not fit its plan.
    """
    marks = stage_marks(store)
    refuse_overlap(store, target)
    found, waiting = _shards(store, marks)
    if not found:
        raise UsageError(f"{store.root}: nothing is collected yet: run `humanverse collect` first")
    layout = _layout(store)
    before = _owned(target, layout.root)
    target.prepare()
    for number in before.keys() - found.keys():
        _remove(target, number)
    totals, written = Counter[str](), 0
    for number, shard in found.items():
        if not _is_whole(target, shard, before.get(number), layout):
            _write(store, target, shard, layout)
            written += 1
        stats = json.loads(target.read(shard.file("_stats.json")))
        totals.update(rows=stats["count"], pictures=stats["successes"])
        totals.update(not_kept=stats["status_dict"].get(NOT_KEPT, 0))
    rows, pictures, not_kept = (totals[name] for name in ("rows", "pictures", "not_kept"))
    return Exported(len(found), written, rows, pictures, not_kept, waiting)


def _shards(store: Store, marks: Mapping[str, str]) -> tuple[dict[int, _Shard], int]:
    """The units that are collected with the root's settings, by number, and how many are not."""
    names = list(marks)
    names = names[: names.index(Collect.name) + 1] if Collect.name in names else []
    commits, replaced = Commits.read(store), plan.read_replaced(store)
    found, waiting = {}, 0
    for number, unit in enumerate(plan.units(store)):
        layers = commits.layers(unit.name)
        current = [layers[n] for n in names if n in layers and layers[n].fingerprint == marks[n]]
        if not names or len(current) < len(names):
            waiting += 1
            continue
        shard = _Shard(number, unit, current, replaced.get(unit.name))
        if shard.rows:
            found[number] = shard
    return found, waiting


def _layout(store: Store) -> _Layout:
    generations = plan.manifests(store)
    largest = max(manifest["unit_rows"] for manifest in generations)
    messages = {name: f"{name}: {reason.doc}" for name, reason in all_reasons(store).items()}
    return _Layout(
        root=hashlib.sha256(store.read("plan/00.json")).hexdigest()[:16],
        carried=_carried(store, [part["file"] for m in generations for part in m["parts"]]),
        row_digits=max(ROW_DIGITS, len(str(largest - 1))),
        messages=messages,
    )


def _carried(store: Store, files: list[str]) -> tuple[str, ...]:
    """The columns in which any planned row has a value, by the statistics of the plan's files."""
    empty = set(CARRIED)
    for file in files:
        with store.open(f"plan/{file}") as f:
            parquet = pq.ParquetFile(f)
            places = {name: parquet.schema_arrow.get_field_index(name) for name in empty}
            for number in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(number)
                nulls = {name: group.column(places[name]).statistics for name in empty}
                empty -= {n for n, s in nulls.items() if s and s.null_count < group.num_rows}
    return tuple(name for name in CARRIED if name not in empty)


def _owned(target: Store, root: str) -> dict[int, str]:
    """The shards of this root that lie in the folder, and what each was made of.

    Raises:
        UsageError: other shards lie there, which must be neither mixed in nor written over.
    """
    names = [n for n in target.names("") if n.endswith((".tar", ".parquet", ".json"))]
    numbers = {name: match[1] for name in names if (match := _FILE.fullmatch(name))}
    sources = {number: _source_of(target, number, root) for number in set(numbers.values())}
    for name in names:
        if name not in numbers or sources[numbers[name]] is None:
            raise UsageError(NOT_OURS.format(folder=target.root, name=name))
    return {int(number): source for number, source in sources.items() if source is not None}


def _source_of(target: Store, number: str, root: str) -> str | None:
    try:
        with target.open(f"{number}.parquet") as f:
            metadata = pq.read_schema(f).metadata or {}
    except (OSError, pa.ArrowInvalid):  # missing, a folder, or no Parquet
        return None
    return metadata[_SOURCE].decode() if metadata.get(_ROOT) == root.encode() else None


def _is_whole(target: Store, shard: _Shard, before: str | None, layout: _Layout) -> bool:
    files = all(target.exists(shard.file(ending)) for ending in ("_stats.json", ".tar"))
    return files and before == shard.source(layout)


def _remove(target: Store, number: int) -> None:
    """The Parquet goes last: it says whose the others are."""
    for ending in ("_stats.json", ".tar", ".parquet"):
        target.remove(f"{number:0{SHARD_DIGITS}d}{ending}")


def _write(store: Store, target: Store, shard: _Shard, layout: _Layout) -> None:
    """Stats last, so that no shard is taken for whole before it is."""
    target.remove(shard.file("_stats.json"))
    places = _places(store, shard.layers[-1])
    rows = list(_rows(store, shard, layout, places))
    metadata = {_ROOT: layout.root.encode(), _SOURCE: shard.source(layout).encode()}
    table = pa.Table.from_pylist([row for row, _ in rows], layout.schema)
    table = table.replace_schema_metadata(metadata)
    target.replace_table(shard.file(".parquet"), table)
    with target.attempt("") as attempt:
        write_tar(attempt.file, _members(store, shard.layers[-1], rows))
        attempt.publish(shard.file(".tar"))
    target.replace(shard.file("_stats.json"), _stats(row for row, _ in rows))


def _places(store: Store, layer: Layer) -> dict[str, tuple[int, int]]:
    """Where the pictures lie in a layer's tar: our key to (offset, length)."""
    if layer.tar is None:
        return {}
    with store.open(layer.tar.name) as f, tarfile.open(fileobj=f, mode="r:") as tar:
        return {info.name.partition(".")[0]: (info.offset_data, info.size) for info in tar}


def _rows(
    store: Store, shard: _Shard, layout: _Layout, places: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[dict[str, Any], tuple[int, int] | None]]:
    """Each row that counts here as img2dataset has it, and where its picture lies."""
    planned = plan.read_unit(store, shard.unit)
    fields = [read_layer(store, layer) for layer in shard.layers]
    if any(not table["key"].equals(planned["key"]) for table in fields):
        raise DataError(f"a layer of unit {shard.unit.name} holds other keys than its plan")
    reasons = pc.coalesce(*(table["reason"] for table in fields)).to_pylist()
    pictures = fields[-1].select(FOUND).to_pylist()
    gone = shard.gone.keys if shard.gone else frozenset()
    for number, row in enumerate(
        planned.select(("key", "caption", "url", *layout.carried)).to_pylist()
    ):
        key = row.pop("key")
        if key in gone:
            continue
        place = places.get(key) if reasons[number] is None else None
        status, message = _outcome(reasons[number], place is not None, layout)
        name = shard.number * 10**layout.row_digits + number
        told = {column: _finite(row[column]) for column in layout.carried}
        told |= {"caption": row["caption"], "url": row["url"]}
        told |= {"key": f"{name:0{SHARD_DIGITS + layout.row_digits}d}"}
        told |= {"status": status, "error_message": message}
        found = pictures[number] if place else dict.fromkeys(FOUND)
        sha256 = found.pop("sha256")
        yield told | found | {"exif": None, "sha256": sha256}, place


def _outcome(reason: str | None, has_bytes: bool, layout: _Layout) -> tuple[str, str | None]:
    if reason is not None:  # a stage of a user's own may have brought one that is not listed
        return STATUSES.get(reason, NOT_HAD), layout.messages[reason]
    return (SUCCESS, None) if has_bytes else (NOT_USED, NOT_KEPT)


def _members(
    store: Store, layer: Layer, rows: list[tuple[dict[str, Any], tuple[int, int] | None]]
) -> Iterator[tuple[str, bytes]]:
    """The members of the tar, one picture in memory at a time."""
    if layer.tar is None:
        return
    with store.open(layer.tar.name) as f:
        for row, place in rows:
            if place is None:
                continue
            offset, length = place
            f.seek(offset)
            yield f"{row['key']}.jpg", f.read(length)
            yield f"{row['key']}.json", json.dumps(row, indent=4, allow_nan=False).encode()
            yield f"{row['key']}.txt", (row["caption"] or "").encode()


def _stats(rows: Iterator[dict[str, Any]]) -> bytes:
    """The clock stands still: the bytes follow from the root, which keeps no times of a unit."""
    statuses, told = Counter[str](), Counter[str]()
    for row in rows:
        statuses[row["status"]] += 1
        told[row["error_message"] or SUCCESS] += 1
    body = {
        "count": statuses.total(),
        "successes": statuses[SUCCESS],
        "failed_to_download": statuses[NOT_HAD],
        "failed_to_resize": statuses[NOT_USED],
        **dict.fromkeys(("duration", "start_time", "end_time"), 0.0),
        "status_dict": dict(sorted(told.items())),
    }
    return json.dumps(body, indent=4).encode()


def _finite(value: Any) -> Any:
    """JSON has no word for the infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
