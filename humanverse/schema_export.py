"""The schemas as JSON Schema files, for tools that do not speak Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from humanverse import schema
from humanverse.layers.commit import SCHEMA as COMMIT
from humanverse.pack.sample import SAMPLE
from humanverse.sources import SOURCES
from humanverse.sources.table import Source

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def export(folder: Path) -> list[Path]:
    """Write every schema under a folder; the paths written."""
    written = []
    for name, body in documents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body, indent=2) + "\n")
        written.append(path)
    return written


def documents() -> dict[str, dict[str, Any]]:
    """File name to content."""
    out = {
        "sample.v1.json": _table(
            SAMPLE,
            "one row a sample in a shard's Parquet",
            schema.SAMPLE | schema.SAMPLE_OPTIONAL | schema.SELECTED,
        ),
        "selection.v1.json": _selection(),
        "ledger.v1.json": _ledger(),
        "commit.v1.json": _commit(),
    }
    return out | {f"sources/{source.name}.json": _source(source) for source in SOURCES}


def _table(title: str, doc: str, columns: dict[str, schema.Column]) -> dict[str, Any]:
    properties = {
        name: {
            "type": _json_type(column.type),
            "arrow": str(column.type),
            "description": column.doc,
        }
        for name, column in columns.items()
    }
    return {
        "$schema": DRAFT,
        "title": title,
        "description": doc,
        "type": "object",
        "properties": properties,
        "required": ["key"],
    }


def _ledger() -> dict[str, Any]:
    body = _table("humanverse.ledger.v1", "one row for every input row", schema.LEDGER)
    body["properties"]["reason"]["enum"] = [None, *schema.REASONS]
    body["reasons"] = {
        name: {"status": reason.status, "transient": reason.transient, "description": reason.doc}
        for name, reason in schema.REASONS.items()
    }
    return body


def _selection() -> dict[str, Any]:
    doc = "one row for every row that all stages kept, and what the selection says of it"
    body = _table("humanverse.selection.v1", doc, schema.SELECTION)
    body["properties"]["reason"]["enum"] = [None, "near_duplicate", "benchmark"]
    return body


def _commit() -> dict[str, Any]:
    file = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "bytes": {"type": "integer", "minimum": 0},
        },
        "required": ["name", "sha256", "bytes"],
    }
    layer = {
        "type": "object",
        "properties": {
            "fingerprint": {"type": "string", "pattern": "^([0-9a-f]{16}|damaged)$"},
            "rows": {"type": "integer", "minimum": 1},
            "passed": {"type": "integer", "minimum": 0},
            "reasons": {"type": "object", "additionalProperties": {"type": "integer"}},
            "files": {
                "type": "object",
                "properties": {"parquet": file, "tar": file},
                "required": ["parquet"],
            },
        },
        "required": ["fingerprint", "rows", "passed", "reasons", "files"],
    }
    return {
        "$schema": DRAFT,
        "title": COMMIT,
        "description": "the layers of a unit that were made real together",
        "type": "object",
        "properties": {
            "schema": {"const": COMMIT},
            "unit": {"type": "string", "pattern": "^[0-9]{2,}-[0-9]{7}$"},
            "number": {"type": "integer", "minimum": 0},
            "rows": {"type": "integer", "minimum": 1},
            "layers": {"type": "object", "additionalProperties": layer},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
        "required": ["schema", "unit", "number", "rows", "layers", "sha256"],
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "$schema": DRAFT,
        "title": f"humanverse.source.{source.name}.v1",
        "description": source.withdrawn or f"columns of {source.name}, compared without case",
        "type": "object",
        "properties": {
            column: {"description": f"becomes {ours}: {schema.PLAN[ours].doc}"}
            for ours, columns in source.columns.items()
            for column in columns
        },
        "recognised_by": sorted(source.signature) or list(source.columns["url"])[:1],
    }


def _json_type(kind: pa.DataType) -> list[str]:
    if pa.types.is_integer(kind):
        return ["integer", "null"]
    if pa.types.is_floating(kind):
        return ["number", "null"]
    return ["array", "null"] if pa.types.is_list(kind) else ["string", "null"]
