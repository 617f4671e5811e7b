"""The contract of a stage, and the check of a chain of them.

A stage is a function on a batch. It gets the rows still alive and only the columns it reads; it
gives back `key`, the columns it writes and, where it rejects, a `reason`. What it gives is joined
by key, so it cannot lose a row, and it knows nothing of Ray, files or its neighbours.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

import pyarrow as pa

from humanverse.errors import UsageError
from humanverse.schema import MEMBERS, OUTCOME, REASONS, SELECTED, Reason

RESERVED = frozenset({"key", "shard", "schema", "people", *OUTCOME, *SELECTED})
"""Names that rows and samples use for themselves."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a worker needs to run a stage. Neighbours with equal resources share a worker, and a
    stage that needs none worth counting goes with the one before it.
    """

    cpus: float = 1
    gpus: float = 0
    network: bool = False

    def __bool__(self) -> bool:
        """Whether it is anything."""
        return self.cpus > 0 or self.gpus > 0 or self.network


RIDES_ALONG: Final = Resources(cpus=0)
"""Of a stage that only compares numbers: it takes no worker of its own between two large models."""


@runtime_checkable
class Stage(Protocol):
    """What the runner needs of a stage; a dataclass whose fields are its settings."""

    @property
    def name(self) -> str:
        """Name of the stage, of its layer, and of its section in `--set`."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it is given, beside `key`."""
        ...

    @property
    def writes(self) -> pa.Schema:
        """Columns it gives, with their types."""
        ...

    @property
    def reasons(self) -> tuple[str, ...] | Mapping[str, str]:
        """Why it may reject: names of `schema.REASONS`, or new names with a line on each."""
        ...

    @property
    def resources(self) -> Resources:
        """What a worker that runs it needs."""
        ...

    def open(self) -> None:
        """Load weights and open connections, once a worker."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer a batch: `key`, the columns of `writes`, and `reason` (null: the row stays)."""
        ...


@dataclass
class BaseStage:
    """Defaults for a stage that is a dataclass. Deriving from it is a convenience, not a must."""

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[pa.Schema]
    reasons: ClassVar[tuple[str, ...] | Mapping[str, str]] = ()
    telemetry: ClassVar[pa.Schema] = pa.schema([])
    """Columns that tell how it went: given beside `writes`, kept apart, never the same twice."""
    resources: ClassVar[Resources] = Resources()

    fragile: ClassVar[bool] = False
    """Whether an input may kill its process, as libraries in C may let it: such inputs are found
    and set aside."""
    deadline: ClassVar[float] = 900.0
    """Seconds that a call of a fragile stage may take before its process is ended."""
    batch_rows: ClassVar[int] = 64
    """Most rows of one call. Cuts depend on the unit alone, so results do not vary by runner."""
    version: ClassVar[int] = 1
    """Raise it when the same settings give other results."""

    def check(self) -> None:
        """Raise a `UsageError` if it could not be opened; asked before anything is written."""

    def notes(self) -> tuple[str, ...]:
        """Lines for who starts a run: what one may expect of the stage, and it will not do."""
        return ()

    def open(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to close."""


def operational(default: Any) -> Any:
    """A setting that decides how a stage works, not what it gives: outside its fingerprint."""
    return dataclasses.field(default=default, metadata={"operational": True})


def settings(stage: Any, *, all_fields: bool = False) -> dict[str, Any]:
    """The settings of a stage (a dataclass) that decide what it gives, weights by their hash."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(stage):
        if not field.init or (field.metadata.get("operational") and not all_fields):
            continue
        value = getattr(stage, field.name)
        out[field.name] = weights_sha256(value) if isinstance(value, Path) else value
    return out


def telemetry_of(stage: Stage) -> pa.Schema:
    """The columns of a stage that tell how it went; most have none."""
    return getattr(stage, "telemetry", pa.schema([]))


def unopened(stages: Sequence[Stage]) -> list[Stage]:
    """Copies with the same settings and nothing loaded: what a worker opens for itself."""
    return [dataclasses.replace(s) if dataclasses.is_dataclass(s) else s for s in stages]


def weights_sha256(path: Path) -> str:
    """Hash of a file, or of a folder: of the names and contents of all files in it."""
    if not path.is_dir():
        return file_sha256(path)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    lines = [f"{name} {file_sha256(path / name)}\n" for name in names if not _is_hidden(name)]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_hidden(name: str) -> bool:
    """What a hub's tool or git keeps beside the files that count."""
    return any(part.startswith(".") for part in name.split("/"))


def file_sha256(path: Path) -> str:
    """Hash of a file; a missing one is a usage error."""
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    with path.open("rb") as f:
        return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()


def reasons_of(stages: Iterable[Stage]) -> dict[str, Reason]:
    """All known reasons, with those that the stages of a recipe bring."""
    own: dict[str, Reason] = {}
    for stage in stages:
        if isinstance(stage.reasons, Mapping):
            own |= {name: Reason("rejected", doc) for name, doc in stage.reasons.items()}
    return REASONS | own


def check_chain(stages: Sequence[Stage], given: Iterable[str]) -> None:
    """Refuse a chain in which a stage reads what no one before it writes, or names are doubled."""
    have, seen, told = set(given), set[str](), set[str]()
    for stage in stages:
        if stage.name in seen:
            raise UsageError(f"two stages are called {stage.name}: rename one in the recipe")
        seen.add(stage.name)
        if missing := [name for name in stage.reads if name not in have]:
            raise UsageError(
                f"stage {stage.name} reads {', '.join(missing)}, which no stage before it writes"
            )
        gives = [*stage.writes.names, *telemetry_of(stage).names]
        if doubled := [name for name in gives if name in have | told]:
            raise UsageError(
                f"stage {stage.name} writes {', '.join(doubled)}, which an earlier stage writes"
            )
        if reserved := [name for name in stage.writes.names if name in RESERVED]:
            raise UsageError(f"stage {stage.name} writes {', '.join(reserved)}: that name is taken")
        if odd := [f.name for f in stage.writes if f.name not in MEMBERS and not _is_plain(f.type)]:
            raise UsageError(
                f"stage {stage.name} writes {', '.join(odd)} of a type that a sample's JSON cannot "
                "hold: use numbers, text, booleans, or lists and structs of them"
            )
        if not isinstance(stage.reasons, Mapping) and (
            unknown := set(stage.reasons) - REASONS.keys()
        ):
            raise UsageError(
                f"stage {stage.name} gives unknown reasons {', '.join(sorted(unknown))}: "
                "declare them as a mapping from name to explanation"
            )
        have |= set(stage.writes.names)
        told |= set(telemetry_of(stage).names)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type can stand in JSON."""
    if pa.types.is_struct(kind):
        return all(_is_plain(field.type) for field in kind)
    if hasattr(kind, "value_type"):
        return _is_plain(kind.value_type)
    of = pa.types
    tests = (of.is_integer, of.is_floating, of.is_boolean, of.is_string, of.is_large_string)
    return any(test(kind) for test in tests)


def upstream_of(stages: Sequence[Stage], index: int) -> tuple[str, ...]:
    """The earlier stages that decide what this one sees: writers of its columns, and rejecters."""
    reads = set(stages[index].reads)
    return tuple(s.name for s in stages[:index] if s.reasons or reads & set(s.writes.names))


def fingerprints(stages: Sequence[Stage]) -> dict[str, str]:
    """For each stage, 16 hex digits that change with its settings or anything upstream of it."""
    out: dict[str, str] = {}
    for index, stage in enumerate(stages):
        identity = {
            "stage": stage.name,
            "class": f"{type(stage).__module__}.{type(stage).__qualname__}",
            "version": getattr(stage, "version", 1),
            "settings": settings(stage) if dataclasses.is_dataclass(stage) else {},
            "upstream": {name: out[name] for name in upstream_of(stages, index)},
        }
        text = json.dumps(identity, sort_keys=True, default=str)
        out[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return out
