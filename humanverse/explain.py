"""Explain: one picture, URL or key through every stage, and what each of them saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from humanverse import plan, schema
from humanverse.errors import UsageError
from humanverse.keys import bytes_key, normalise, text_key
from humanverse.layers.ledger import ledger
from humanverse.layers.selected import told_of_key
from humanverse.layers.store import Store
from humanverse.layers.tombstones import read_tombstones, told_of
from humanverse.recipe import Recipe
from humanverse.run.unit import apply
from humanverse.stage import reasons_of

WIDE = 100
"""Characters of a value that are shown."""


def explain(what: str, recipe: Recipe, root: str | None) -> Iterator[str]:
    """Lines that tell what each stage of the recipe says of one row.

    Args:
        what: a picture's file, a URL, or the key of a row of `root`.
        recipe: the stages to go through.
        root: where a key is looked up, and what its ledger says is told too.
    """
    row = _row(what, root)
    yield f"key      {row['key']}"
    if root is not None:
        yield from _in_ledger(root, row["key"])
    stages = told_of(recipe.stages(), read_tombstones(Store(root)) if root else ())
    for stage in stages if row.get("location") is None else ():
        getattr(stage, "check_online", lambda: None)()
    known = reasons_of(stages)
    table = pa.Table.from_pylist([row], schema.schema_of(schema.PLAN))
    nulls = pa.nulls(1, pa.string())
    table = table.append_column("reason", nulls).append_column("stage", nulls)
    for stage in stages:
        stage.open()
        try:
            table = apply(table, stage)
        finally:
            getattr(stage, "close", lambda: None)()
        yield f"{stage.name}"
        for name in stage.writes.names:
            yield f"    {name:16} {_shown(table[name][0])}"
        reason = table["reason"][0].as_py()
        if reason is not None:
            yield f"    -> {known[reason].status}: {reason}, {known[reason].doc}"
            return
    yield "-> kept"


def _row(what: str, root: str | None) -> dict[str, Any]:
    url = normalise(what)  # asked first: a long URL is no path that could be looked for
    if url is not None:
        return {"key": text_key(url), "url": url}
    if Path(what).is_file():
        path = Path(what)
        return {"key": bytes_key(path.read_bytes()), "location": f"file:{path.resolve()}"}
    if root is None:
        raise UsageError(f"{what} is no file and no URL; for a key, give --out ROOT too")
    store = Store(root)
    for unit in plan.units(store):
        for row in plan.read_unit(store, unit).to_pylist():
            if row["key"] == what:
                return dict(row)
    raise UsageError(f"{root} plans no row with key {what}")


def _in_ledger(root: str, key: str) -> Iterator[str]:
    for row in ledger(Store(root)).to_pylist():
        if row["key"] == key:
            where = f"{row['file']} row {row['row']}"
            yield f"ledger   {where}: {row['status']} {row['reason'] or ''} {row['stage'] or ''}"
    if told := told_of_key(Store(root), key):
        names = ("duplicate_of", "benchmark", "cluster", "split")
        said = ", ".join(f"{name} {told[name]}" for name in names if told[name])
        yield f"select   {told['reason'] or 'stays'}: {said}"


def _shown(value: Any) -> str:
    if not value.is_valid:
        return "-"
    if pa.types.is_large_binary(value.type):
        return f"{len(value.as_buffer()):,} bytes"
    text = str(_rounded(value.as_py()))
    return text if len(text) <= WIDE else text[:WIDE] + "..."


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value
