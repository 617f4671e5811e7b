"""Commits: what makes a layer of a unit real.

A layer's files get names that follow from their content, so two attempts at the same work can only
write the same bytes. One atomic creation of `commits/<unit>.g<N>.json` then names the files it
makes real. N counts up for a unit; the newest commit that names a layer is that layer. Files that
no commit names are orphans and do no harm.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from isal.isal_zlib import crc32

from humanverse import schema
from humanverse.errors import DataError
from humanverse.layers.sealed import sealed, unsealed
from humanverse.layers.store import Store, write_parquet

FOLDER = "commits"
SCHEMA = "humanverse.commit.v1"
DAMAGED = "damaged"
"""In place of a fingerprint: the layer's files cannot be used, whoever comes next makes it anew."""


@dataclass(frozen=True, slots=True)
class File:
    """A committed file, relative to the root."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One committed layer of a unit."""

    fingerprint: str
    rows: int
    passed: int
    reasons: dict[str, int]
    """Rows this layer's stage set aside, by reason."""
    parquet: File
    tar: File | None = None

    @property
    def files(self) -> tuple[File, ...]:
        """Its files, one or two."""
        return (self.parquet, self.tar) if self.tar else (self.parquet,)


@dataclass(frozen=True, slots=True)
class Commit:
    """One receipt: the layers of a unit that were made real together."""

    unit: str
    number: int
    rows: int
    layers: dict[str, Layer] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Bytes of the receipt."""
        body = {
            "schema": SCHEMA,
            "unit": self.unit,
            "number": self.number,
            "rows": self.rows,
            "layers": {name: _layer_to_dict(layer) for name, layer in self.layers.items()},
        }
        return sealed(body)

    @classmethod
    def from_json(cls, data: bytes | str) -> Commit:
        """The receipt, read back.

        Raises:
            DataError: it is not one, or not as it was written.
        """
        try:
            body = unsealed(data, "a commit")
            layers = {name: _layer_from_dict(layer) for name, layer in body["layers"].items()}
            return cls(body["unit"], body["number"], body["rows"], layers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"a commit cannot be read: {error}") from error


def receipt_of(unit: str, number: int) -> str:
    """Name of a receipt in its folder."""
    return f"{unit}.g{number}.json"


def publish(store: Store, commit: Commit) -> bool:
    """Make a commit real; False if another one of the same number came first."""
    return store.create(f"{FOLDER}/{receipt_of(commit.unit, commit.number)}", commit.to_json())


def read_receipt(store: Store, unit: str, number: int) -> Commit:
    """A commit that was made."""
    return Commit.from_json(store.read(f"{FOLDER}/{receipt_of(unit, number)}"))


def write_layer(
    store: Store, unit: str, name: str, table: pa.Table, fingerprint: str, rejected: pa.Array
) -> Layer:
    """Write a layer's files for a unit, under names of their content.

    Args:
        store: the root.
        unit: name of the unit.
        name: name of the layer, which is its stage's.
        table: `key` and the stage's columns, all rows of the unit, sorted by key.
        fingerprint: of the settings and of what they stand on.
        rejected: the stage's `reason` a row, null where it set none.
    """
    members = [column for column in table.column_names if column in schema.MEMBERS]
    fields = table.drop_columns(members).append_column("reason", rejected.cast(pa.string()))
    content = _members_of(table, members) if members else None
    return write_files(store, unit, name, fields, fingerprint, content)


def write_files(
    store: Store,
    unit: str,
    name: str,
    fields: pa.Table,
    fingerprint: str,
    members: Iterable[tuple[str, bytes]] | None,
) -> Layer:
    """Write a layer of fields, with `reason`, and of members by name; without a tar if None."""
    counts = Counter(reason for reason in fields["reason"].to_pylist() if reason is not None)
    with store.attempt(name) as attempt:
        write_parquet(attempt.file, fields)
        parquet = _named(attempt, name, unit, "parquet")
    tar = None
    if members is not None:
        with store.attempt(name) as attempt:
            write_tar(attempt.file, members)
            tar = _named(attempt, name, unit, "tar")
    passed = fields.num_rows - counts.total()
    return Layer(fingerprint, fields.num_rows, passed, dict(sorted(counts.items())), parquet, tar)


def damaged_files(store: Store, files: Iterable[File], told_by: str) -> Iterator[str]:
    """Findings on files that are not what was written."""
    for file in files:
        if not store.exists(file.name):
            yield f"{file.name} is missing"
        elif store.size(file.name) != file.bytes:
            yield f"{file.name} has {store.size(file.name)} bytes of {file.bytes}"
        elif store.sha256(file.name) != file.sha256:
            yield f"{file.name} has another sha256 than {told_by} says"


def read_layer(store: Store, layer: Layer) -> pa.Table:
    """The fields of a layer: `key`, the stage's columns without members, `reason`."""
    return store.read_table(layer.parquet.name)


def read_members(store: Store, layer: Layer) -> dict[str, dict[str, bytes]]:
    """A layer's members: key to extension to bytes."""
    out: dict[str, dict[str, bytes]] = {}
    for name, data in members_in(store, layer):
        key, _, extension = name.partition(".")
        out.setdefault(key, {})[extension] = data
    return out


def members_in(store: Store, layer: Layer) -> Iterator[tuple[str, bytes]]:
    """A layer's members by name, as they lie in its tar, one in memory at a time."""
    if layer.tar is None:
        return
    with store.open(layer.tar.name) as f, tarfile.open(fileobj=f, mode="r:") as tar:
        for info in tar:
            file = tar.extractfile(info)
            if file is not None:
                yield info.name, file.read()


def write_tar(file: Any, members: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, int, int]]:
    """A tar whose bytes follow from names and contents alone: name to (offset, length, CRC-32)."""
    places = {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            places[name] = (tar.offset + tarfile.BLOCKSIZE, len(data), crc32(data))
            tar.addfile(info, io.BytesIO(data))
    return places


def _members_of(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    keys = table["key"]
    for row in range(table.num_rows):
        for column in sorted(columns, key=schema.MEMBERS.__getitem__):
            value = table[column][row]
            if value.is_valid:
                yield f"{keys[row]}.{schema.MEMBERS[column]}", value.as_py()


def _named(attempt: Any, folder: str, unit: str, extension: str) -> File:
    digest = attempt.sha256()
    base = f"{unit}.{digest[:12]}.{extension}"
    size = attempt.file.tell()
    attempt.publish(base)
    return File(f"{folder}/{base}", digest, size)


def _layer_to_dict(layer: Layer) -> dict[str, Any]:
    files = {"parquet": layer.parquet} | ({"tar": layer.tar} if layer.tar else {})
    return {
        "fingerprint": layer.fingerprint,
        "rows": layer.rows,
        "passed": layer.passed,
        "reasons": layer.reasons,
        "files": {
            kind: {"name": file.name, "sha256": file.sha256, "bytes": file.bytes}
            for kind, file in files.items()
        },
    }


def _layer_from_dict(body: dict[str, Any]) -> Layer:
    files = {kind: File(**file) for kind, file in body["files"].items()}
    return Layer(
        body["fingerprint"],
        body["rows"],
        body["passed"],
        body["reasons"],
        files["parquet"],
        files.get("tar"),
    )
