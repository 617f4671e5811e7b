"""Named places in the code where a test, or a drill, can make a run fail.

    HUMANVERSE_FAILPOINT=named:3:kill      the process ends at its third passage of `named`
    HUMANVERSE_FAILPOINT=named:3:raise     an OSError is raised there instead

They stand between all the steps from a batch's receipt to the publishing of its commit. Unset, as
in every real run, a passage costs a comparison.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

VARIABLE = "HUMANVERSE_FAILPOINT"

POINTS = {
    "answered": "a stage has answered, nothing of it is written",
    "begun": "a file has been begun, under no name",
    "written": "its bytes are written, not synced",
    "synced": "its bytes are synced, or handed to the object store, without a name",
    "named": "it has its name",
    "created": "a file that must not be there twice was created: a commit, a plan",
    "layers": "a unit's layers are written, its commit is not",
    "committed": "a unit's commit is published, its telemetry is not written",
    "recorded": "a unit is done; the runner has not heard of it",
    "removed": "a file was removed",
}
"""Every failpoint, and where it stands."""


class Failed(OSError):
    """What an armed failpoint raises."""


@dataclass(frozen=True, slots=True)
class Armed:
    """The one failpoint that is set."""

    point: str
    passage: int
    """From 1; 0 for none: passages are counted only."""
    how: Literal["raise", "kill"]


passed: Counter[str] = Counter()
"""Passages so far, while one is armed."""
_lock = threading.Lock()


def _of_environment() -> Armed | None:
    told = os.environ.get(VARIABLE)
    if not told:
        return None
    point, passage, how = told.split(":")
    if point not in POINTS or how not in ("raise", "kill"):
        raise ValueError(f"{VARIABLE}={told}: wanted {', '.join(POINTS)}, a number, raise or kill")
    return Armed(point, int(passage), "kill" if how == "kill" else "raise")


_armed = _of_environment()


def arm(armed: Armed | None) -> None:
    """Set a failpoint in this process, or none, and begin to count anew."""
    global _armed  # noqa: PLW0603 - one a process, as the environment is
    with _lock:
        passed.clear()
        _armed = armed


def here(point: str) -> None:
    """Pass a failpoint."""
    if _armed is not None:
        _pass(point, _armed)


def _pass(point: str, armed: Armed) -> None:
    with _lock:
        passed[point] += 1
        due = point == armed.point and passed[point] == armed.passage
    if due and armed.how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if due:
        raise Failed(f"failpoint {point}, passage {armed.passage}")
