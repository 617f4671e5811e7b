"""Tombstones: what was taken down from a root, remembered there for good.

`takedowns/NNN.txt` are lists as `collect.blocklists` takes them, so one of them can be handed to
whoever holds a copy. Their first line carries the sha256 of the others: an entry that got lost
would let a picture come back without a word.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

from humanverse.errors import DataError, UsageError
from humanverse.layers.store import Store
from humanverse.stage import Stage

FOLDER = "takedowns"
FIELD = "taken_down"
"""Field of a stage that asks for pictures: the entries which it must not bring."""
_FIRST = re.compile(r"# humanverse\.takedown\.v1 sha256 ([0-9a-f]{64})")


def read_tombstones(store: Store) -> tuple[str, ...]:
    """The entries of all takedowns of a root, sorted, each once.

    Raises:
        DataError: a list is missing or is not what was written.
    """
    names = _names(store)
    if set(names) != {_name(number) for number in range(len(names))}:
        raise DataError(f"{FOLDER} holds {', '.join(sorted(names))}: one is missing")
    return tuple(sorted({entry for name in names for entry in _read(store, name)}))


def add_tombstones(store: Store, entries: Iterable[str]) -> str | None:
    """Remember what is not remembered yet; the name of the list, None if nothing was new."""
    fresh = sorted(set(entries) - set(read_tombstones(store)))
    if not fresh:
        return None
    body = "".join(f"{entry}\n" for entry in fresh)
    digest = hashlib.sha256(body.encode()).hexdigest()
    data = f"# humanverse.takedown.v1 sha256 {digest}\n{body}".encode()
    number = len(_names(store))
    while not store.create(f"{FOLDER}/{_name(number)}", data):
        number += 1  # another takedown came first
    return f"{FOLDER}/{_name(number)}"


def told_of(stages: Sequence[Stage], entries: tuple[str, ...]) -> list[Stage]:
    """The stages, with those that ask for pictures told what was taken down.

    Raises:
        UsageError: none of them can be told.
    """
    if not entries:
        return list(stages)
    told = [_told(stage, entries) for stage in stages]
    if all(new is old for new, old in zip(told, stages, strict=True)):
        raise UsageError(
            f"samples of this root were taken down, and no stage of the recipe has a field {FIELD} "
            "that would keep them out: collect with Collect, or give your own stage the field"
        )
    return told


def _told(stage: Stage, entries: tuple[str, ...]) -> Stage:
    if not dataclasses.is_dataclass(stage):
        return stage
    if FIELD not in {field.name for field in dataclasses.fields(stage)}:
        return stage
    changes = {FIELD: entries}
    return dataclasses.replace(stage, **changes)


def _names(store: Store) -> list[str]:
    return [name for name in store.names(FOLDER) if name.endswith(".txt")]


def _name(number: int) -> str:
    return f"{number:03d}.txt"


def _read(store: Store, name: str) -> list[str]:
    first, _, body = store.read(f"{FOLDER}/{name}").decode(errors="replace").partition("\n")
    match = _FIRST.fullmatch(first)
    if match is None or match[1] != hashlib.sha256(body.encode()).hexdigest():
        raise DataError(
            f"{FOLDER}/{name} is not what was written: put it back from a copy; "
            "new entries go through `humanverse takedown`"
        )
    return body.splitlines()
