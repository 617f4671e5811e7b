"""Features and statistics of a set, kept in a folder: named by all that decides them, no pickles.

A file that is damaged, or holds something else than its name says, is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.evaluate.statistics import Statistics
from humanverse.models.store import cache_folder

VERSION: Final = 1
"""Raise it when the same settings give other features."""


@dataclass(frozen=True)
class Gathered:
    """What is known of a set by an extractor."""

    statistics: Statistics
    features: NDArray[np.float32] | None
    """(n, W) in the order of the keys, if they were to be kept."""
    from_cache: bool = False


def default_folder() -> Path:
    """Beside the weights."""
    return cache_folder() / "evaluation"


def name_of(told: dict[str, Any]) -> str:
    """A file's name, out of what decides its content."""
    text = json.dumps({"version": VERSION} | told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] + ".npz"


def read(path: Path, count: int, width: int, kept: bool) -> Gathered | None:
    """What a file holds; None where it is missing, damaged or something else."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            mean, scatter = np.asarray(file["mean"]), np.asarray(file["scatter"])
            features = np.asarray(file["features"]) if kept else None
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        return None
    shapes = (mean.shape, scatter.shape, None if features is None else features.shape)
    if shapes != ((width,), (width, width), (count, width) if kept else None):
        return None
    return Gathered(Statistics(count, mean, scatter), features, from_cache=True)


def write(path: Path, gathered: Gathered) -> None:
    """Keep it: the file is there entirely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = gathered.statistics
    arrays: dict[str, Any] = {"mean": found.mean, "scatter": found.scatter}
    if gathered.features is not None:
        arrays["features"] = gathered.features
    handle, attempt = tempfile.mkstemp(dir=path.parent, suffix=".attempt")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        Path(attempt).chmod(0o644)
        Path(attempt).replace(path)
    finally:
        Path(attempt).unlink(missing_ok=True)
