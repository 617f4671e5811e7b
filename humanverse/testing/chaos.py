"""Builds that are made to fail somewhere, and what a root holds in the end.

job = Job(recipe, (table,), root)
fail(job, Armed("named", 3, "kill"))      # as if the power went at the third file
run(job)                                  # the same command again
contents(job.root) == contents(undisturbed)
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from humanverse.layers import failpoints
from humanverse.layers.failpoints import Armed
from humanverse.layers.ledger import ledger
from humanverse.layers.selected import FOLDER as SELECTION
from humanverse.layers.store import Store
from humanverse.pack.listing import FOLDER as SHARDS
from humanverse.run.build import Runner, Settings, build

COUNTING = Armed("begun", 0, "raise")
"""Fails nowhere."""
_MODULES = [
    *("humanverse.testing.chaos", "humanverse.testing.stages", "humanverse.filter.people"),
    *("duckdb", "pyarrow.parquet", "pandas", "cv2", "pytz"),
]
"""What a build imports; those that are not installed are passed over."""


@dataclass(frozen=True, slots=True)
class Job:
    """A build, as a command line would say it."""

    recipe: Path
    tables: tuple[Path, ...]
    root: str
    runner: Runner = "local"


def run(job: Job) -> None:
    """Do it, as far as nothing fails."""
    build(job.recipe, job.tables, job.root, settings=Settings(job.runner))


def passages(job: Job) -> Counter[str]:
    """How often an undisturbed run passes each failpoint. It is done then."""
    failpoints.arm(COUNTING)
    try:
        run(job)
        return Counter(failpoints.passed)
    finally:
        failpoints.arm(None)


def fail(job: Job, armed: Armed) -> bool:
    """Do it up to where it fails: by an error here, or in a process that is killed.

    Returns:
        Whether it failed: a resumed run passes fewer places than a whole one.
    """
    if armed.how == "kill":
        ended = _elsewhere(job, armed)
        if ended not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the build ended with {ended}")
        return ended != 0
    try:
        _armed(job, armed)
    except failpoints.Failed:
        return True
    finally:
        failpoints.arm(None)
    return False


def survives(job: Job) -> bool:
    """Do it in a process of its own; whether that came to the end."""
    return _elsewhere(job, COUNTING) == 0


def contents(root: str | Path) -> dict[str, str]:
    """What has to be the same however often a run was broken off: selection, shards, ledger."""
    store = Store(root)
    hashes = {
        f"{folder}/{name}": store.sha256(f"{folder}/{name}")
        for folder in (SHARDS, SELECTION)
        for name in store.names(folder)
    }
    sink = pa.BufferOutputStream()
    table = ledger(store).combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashes | {"ledger": hashlib.sha256(sink.getvalue()).hexdigest()}


def _elsewhere(job: Job, armed: Armed) -> int | None:
    """Exit code of a process that does it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    process = context.Process(target=_armed, args=(job, armed, dict(os.environ)))
    process.start()
    process.join()
    return process.exitcode


def _armed(job: Job, armed: Armed, environment: dict[str, str] | None = None) -> None:
    os.environ.update(environment or {})  # the server that forks may have started with another one
    failpoints.arm(armed)
    run(job)
