"""Roll-ups: receipts as columns, so that millions of commits are a few tables to read.

`commits/rolled/<commits>.<12 digits of its sha256>.parquet` has a row for every layer of so many
commits. A roll-up is written once. Two that hold about as many commits are merged, so there are
some ten for a million, and a commit is copied as often. Receipts stay: they are the truth, and
those that no roll-up holds, the tail, are read one by one. A commit in two roll-ups counts once, so
two runs on one root do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from humanverse.layers.commit import FOLDER as RECEIPTS
from humanverse.layers.commit import Commit, File, Layer
from humanverse.layers.store import Store, write_parquet

FOLDER = f"{RECEIPTS}/rolled"
ROWS = pa.schema(
    [
        ("unit", pa.string()),
        ("number", pa.int32()),
        ("unit_rows", pa.int64()),
        ("layer", pa.string()),
        ("fingerprint", pa.string()),
        ("rows", pa.int64()),
        ("passed", pa.int64()),
        ("reasons", pa.list_(pa.struct([("reason", pa.string()), ("rows", pa.int64())]))),
        *(
            field
            for kind in ("parquet", "tar")
            for field in [
                (f"{kind}_name", pa.string()),
                (f"{kind}_sha256", pa.string()),
                (f"{kind}_bytes", pa.int64()),
            ]
        ),
    ]
)
"""A layer of a commit. A commit without layers has one row that names none."""
GROUP = 65_536
"""Rows of a row group: what is in memory while roll-ups are merged."""
SOME = 1024
"""Rows that are objects at a time."""
READERS = 16
"""Receipts of the tail that are read at a time: in an object store each takes a round trip."""
TRIES = 5
"""Of reading the roll-ups while another run merges them."""


def roll_up(store: Store, made: Iterable[Commit] | None = None) -> None:
    """Write a roll-up of these commits, or else of all receipts that none holds yet.

    Who made the commits need not look for them: in an object store that is a listing of them all.
    """
    rows = to_rows(made or ())
    if made is None:
        rows = _tail(store, read_rolled(store, ["unit", "number"]))
    if rows.num_rows:
        count = len(_starts(rows))
        with store.attempt(FOLDER) as attempt:
            write_parquet(attempt.file, rows)
            attempt.publish(_name(count, attempt.sha256()))
    _merge(store)


def read_rows(store: Store, columns: Sequence[str] = ROWS.names) -> pa.Table:
    """Every layer of every commit, once, sorted by unit, number and layer; some columns of each.

    They include unit, number and layer.
    """
    rolled = read_rolled(store, columns)
    return _once(pa.concat_tables([rolled, _tail(store, rolled).select(list(columns))]))


def read_rolled(store: Store, columns: Sequence[str] = ROWS.names) -> pa.Table:
    """What the roll-ups hold, in no order, some of it perhaps twice."""
    kinds = pa.schema([ROWS.field(name) for name in columns])
    for _ in range(TRIES - 1):
        try:
            return _read_all(store, kinds)
        except FileNotFoundError:  # another run has merged it: list them anew
            continue
    return _read_all(store, kinds)


def rolled_names(store: Store) -> list[str]:
    """The names of the roll-ups, the smallest first."""
    names = (name for name in store.names(FOLDER) if name.endswith(".parquet"))
    return [f"{FOLDER}/{name}" for name in sorted(names)]


def is_whole(store: Store, rolled: str) -> bool:
    """Whether a roll-up is what was written."""
    return store.sha256(rolled)[:12] == rolled.split(".")[1]


def to_rows(commits: Iterable[Commit]) -> pa.Table:
    """Commits as rows, sorted."""
    made = sorted(commits, key=lambda commit: (commit.unit, commit.number))
    rows = [row for commit in made for row in _rows_of(commit)]
    return pa.Table.from_pylist(rows, ROWS)


def commits_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Commit]:
    """Commits out of rows of all columns, those of a commit together."""
    told = (row for batch in batches for row in batch.to_pylist())
    for (unit, number), same in groupby(told, key=lambda row: (row["unit"], row["number"])):
        first, *others = same
        layers = {row["layer"]: layer_of(row) for row in (first, *others) if row["layer"]}
        yield Commit(unit, number, first["unit_rows"], layers)


def layer_of(row: dict[str, Any]) -> Layer:
    """The layer of a row of all columns."""
    reasons = {told["reason"]: told["rows"] for told in row["reasons"]}
    tar = _file_of(row, "tar") if row["tar_name"] else None
    marks = row["fingerprint"], row["rows"], row["passed"], reasons
    return Layer(*marks, _file_of(row, "parquet"), tar)


def receipt_names(rows: pa.Table) -> pa.ChunkedArray:
    """The receipt that each row stands in."""
    return pc.binary_join_element_wise(
        rows["unit"], pc.binary_join_element_wise("g", rows["number"].cast(pa.string()), ""),
        "json", ".",
    )  # fmt: skip


def read_receipts(store: Store, names: Sequence[str]) -> Iterator[Commit]:
    """Receipts as they lie there."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="receipts") as pool:
        for data in pool.map(lambda name: store.read(f"{RECEIPTS}/{name}"), names):
            yield Commit.from_json(data)


def _read_all(store: Store, kinds: pa.Schema) -> pa.Table:
    tables = [store.read_table(name, kinds.names) for name in rolled_names(store)]
    return pa.concat_tables([kinds.empty_table(), *(t.select(kinds.names) for t in tables)])


def _tail(store: Store, rolled: pa.Table) -> pa.Table:
    """The receipts that no roll-up holds, as rows of all columns."""
    listed = store.names(RECEIPTS)
    names = pa.array((name for name in listed if name.endswith(".json")), pa.string())
    known = pc.is_in(names, pc.unique(receipt_names(rolled)))
    tail = set(names.filter(pc.invert(known)).to_pylist())
    return to_rows(read_receipts(store, sorted(tail)))


def _merge(store: Store) -> None:
    """Merge the smallest ones up to the last that is no more than twice as large as all of them."""
    names = rolled_names(store)
    sums = list(accumulate(map(_count, names)))
    upto = max((n for n in range(1, len(names)) if _count(names[n]) <= 2 * sums[n - 1]), default=0)
    if upto == 0:
        return
    taken, total = names[: upto + 1], sums[upto]
    try:
        if not all(is_whole(store, name) for name in taken):
            return  # merged it would look whole: it is for `verify` to find
        _merged(store, taken, total)
    except FileNotFoundError:
        return  # another run is merging the same
    for name in taken:
        store.remove(name)


def _merged(store: Store, names: Sequence[str], count: int) -> None:
    with store.attempt(FOLDER) as attempt:
        kind = {"compression": "zstd", "version": "2.6", "write_page_checksum": True}
        with pq.ParquetWriter(attempt.file, ROWS, **kind) as writer:
            for table in _in_groups(store, names):
                writer.write_table(table, row_group_size=GROUP)
        attempt.publish(_name(count, attempt.sha256()))


def _in_groups(store: Store, names: Sequence[str]) -> Iterator[pa.Table]:
    waiting = ROWS.empty_table()
    for name in names:
        with store.open(name) as f:
            for batch in pq.ParquetFile(f).iter_batches(GROUP):
                waiting = pa.concat_tables([waiting, pa.table(batch).select(ROWS.names)])
                if waiting.num_rows >= GROUP:
                    yield waiting.slice(0, GROUP)
                    waiting = waiting.slice(GROUP)
    yield waiting


def _once(rows: pa.Table) -> pa.Table:
    """Sorted, and without what stands in two roll-ups."""
    order = ["unit", "number", "layer"]
    rows = rows.sort_by([(name, "ascending") for name in order]).combine_chunks()
    return rows.filter(pa.array(_changes(rows, order)))


def _starts(rows: pa.Table) -> Any:
    """Where in sorted rows each commit begins."""
    return np.flatnonzero(_changes(rows, ["unit", "number"]))


def _changes(rows: pa.Table, columns: Sequence[str]) -> Any:
    """Whether each row differs from the one before it in any of these columns."""
    out = np.ones(rows.num_rows, bool)
    same = np.ones(max(rows.num_rows - 1, 0), bool)
    for name in columns:
        later, former = rows[name].slice(1), rows[name].slice(0, len(same))
        same &= np.asarray(pc.fill_null(pc.equal(later, former), False))
    out[1:] = ~same
    return out


def _rows_of(commit: Commit) -> Iterator[dict[str, Any]]:
    same = {"unit": commit.unit, "number": commit.number, "unit_rows": commit.rows}
    if not commit.layers:
        yield same
    for name, layer in sorted(commit.layers.items()):
        row = same | {"layer": name, "fingerprint": layer.fingerprint}
        row |= {"rows": layer.rows, "passed": layer.passed}
        reasons = sorted(layer.reasons.items())
        row["reasons"] = [{"reason": reason, "rows": rows} for reason, rows in reasons]
        for kind, file in (("parquet", layer.parquet), ("tar", layer.tar)):
            if file is not None:
                row |= {f"{kind}_name": file.name, f"{kind}_sha256": file.sha256}
                row[f"{kind}_bytes"] = file.bytes
        yield row


def _file_of(row: dict[str, Any], kind: str) -> File:
    return File(row[f"{kind}_name"], row[f"{kind}_sha256"], row[f"{kind}_bytes"])


def _name(count: int, sha256: str) -> str:
    return f"{count:010d}.{sha256[:12]}.parquet"


def _count(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])
