"""Checkpoints: folders of safetensors and one JSON, made real by one rename.

A folder is written under an attempt's name, synced, and renamed to `step-00001000`; a process that
dies meanwhile leaves an attempt, which the next one removes. Tensors are whole, whatever the ranks
were, so any number of ranks goes on from them.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humanverse.errors import DataError, UsageError

SCHEMA: Final = "humanverse.checkpoint.v1"
STATE: Final = "state.json"
FOLDER: Final = "checkpoints"
STEP, ATTEMPT = "step-", "attempt-"


@dataclass(frozen=True)
class Checkpoint:
    """One that is there."""

    folder: Path
    state: dict[str, Any]
    """What is known of it beside its tensors: settings, step, the loader's state, levels."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file, such as `model`, on the CPU.

        Raises:
            DataError: it is not what was written.
        """
        path = self.folder / f"{name}.safetensors"
        told = self.state["files"].get(path.name)
        if told is None or not path.is_file():
            raise DataError(f"checkpoint {self.folder} holds no {path.name}: {REMOVE}")
        if path.stat().st_size != told["bytes"]:
            size = path.stat().st_size
            raise DataError(f"{path} has {size} of {told['bytes']} bytes: {REMOVE}")
        with path.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != told["sha256"]:
                raise DataError(f"{path} is not what was written: {REMOVE}")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path} cannot be read ({error}): {REMOVE}") from error


REMOVE: Final = "remove that folder to go on from the checkpoint before it"


def save(
    out: Path, step: int, files: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint; it is there entirely or not at all."""
    parent = out / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    attempt = parent / f"{ATTEMPT}{uuid.uuid4().hex}"
    attempt.mkdir()
    listed = {}
    for name, tensors in files.items():
        path = attempt / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        listed[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
    told = {"schema": SCHEMA, "step": step, **state, "files": listed}
    with (attempt / STATE).open("w") as file:
        json.dump(told, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _sync(attempt)
    final = parent / f"{STEP}{step:08d}"
    if final.exists():  # this step was reached before, from an earlier checkpoint
        _remove(final)
    attempt.rename(final)
    _sync(parent)
    return final


def prune(out: Path, keep: int) -> None:
    """Remove all but the latest checkpoints, and what attempts left."""
    for folder in steps(out)[:-keep]:
        _remove(folder)
    for folder in (out / FOLDER).glob(f"{ATTEMPT}*"):
        shutil.rmtree(folder, ignore_errors=True)


def steps(out: Path) -> list[Path]:
    """The checkpoints of a run, by step."""
    return sorted((out / FOLDER).glob(f"{STEP}*"))


def latest(out: Path) -> Checkpoint | None:
    """The last checkpoint of a run, if there is one."""
    found = steps(out)
    return opened(found[-1]) if found else None


def opened(place: Path) -> Checkpoint:
    """A checkpoint by its folder, or the last one of a run.

    Raises:
        UsageError: there is none.
        DataError: it cannot be read.
    """
    if not (place / STATE).is_file():
        found = steps(place)
        if not found:
            raise UsageError(f"{place} holds no checkpoint: give one's folder, or a run's")
        place = found[-1]
    try:
        state = json.loads((place / STATE).read_text())
        if state["schema"] != SCHEMA:
            raise DataError(f"{place} is of schema {state['schema']}, and {SCHEMA} can be read")
        state["files"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{place / STATE} cannot be read ({error}): {REMOVE}") from error
    return Checkpoint(place, state)


def _remove(folder: Path) -> None:
    """First it is no checkpoint any more, then it is gone."""
    attempt = folder.with_name(f"{ATTEMPT}{uuid.uuid4().hex}")
    folder.rename(attempt)
    shutil.rmtree(attempt)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
