"""`humanverse doctor`: whether this machine, its store and its Ray are fit for a build.

Nothing leaves this machine but what the root's store is asked, and names that one wants resolved.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from humanverse.errors import UsageError

FLOORS: Final = {
    "pillow": "12.3",
    "aiohttp": "3.14.1",
    "pyarrow": "26.0",
    "urllib3": "2.7",
    "torch": "2.10",
    "ray": "2.52",
}
"""Releases before these have known holes."""
CORE: Final = ("pillow", "aiohttp", "pyarrow")
GIB: Final = 1 << 30
LEAST_MEMORY: Final = 4 * GIB
LEAST_DISK: Final = (1 * GIB, 10 * GIB)
"""Free bytes below which it is bad, and below which it is worth a word."""
LEAST_FILES: Final = 4096
"""Open files: a collector holds some hundred connections, and their children's pipes."""
SKEW: Final = (5.0, 300.0)
"""Seconds between our clock and the store's: stores refuse requests that are some minutes off."""
JOB_SERVER: Final = ("aiohttp_cors", "opencensus", "prometheus_client")
"""Of what `ray[default]` brings, and without which a head has no job server."""
DASHBOARD: Final = ("127.0.0.1", 8265)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer."""

    level: Literal["ok", "warn", "bad"]
    what: str
    told: str
    """What was found, and what to do about it if need be."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb's arguments."""
    text = "whether this machine, its store and its Ray are fit for a build"
    verb = verbs.add_parser("doctor", help=text, description=text)
    verb.add_argument("--out", metavar="ROOT", help="a root: it is written to and cleaned")
    verb.add_argument("--resolve", nargs="+", default=[], metavar="NAME", help="hosts to look up")
    verb.set_defaults(verb=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    findings = []
    for finding in examine(args.out, args.resolve):
        print(f"{finding.level:5}{finding.what:12} {finding.told}", flush=True)
        findings.append(finding)
    return 1 if any(finding.level == "bad" for finding in findings) else 0


def examine(root: str | Path | None = None, names: list[str] | None = None) -> Iterator[Finding]:
    """All that is looked at, one by one."""
    yield from _versions()
    yield from _machine(Path(root) if root and "://" not in str(root) else Path())
    yield from _gpus()
    yield from _weights()
    for name in ["localhost", *(names or [])]:
        yield _resolved(name)
    yield from _ray()
    if root:
        yield from _store(str(root))


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "python", sys.version.split()[0])
    for name, floor in FLOORS.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            level: Literal["ok", "bad"] = "bad" if name in CORE else "ok"
            yield Finding(level, name, "not installed")
            continue
        yield judged(name, found, floor)


def judged(name: str, found: str, floor: str) -> Finding:
    """A release against the first one without known holes."""
    if _numbers(found) < _numbers(floor):
        advice = f"pip install '{name}>={floor}'"
        return Finding("bad", name, f"{found} has known holes: {advice}")
    return Finding("ok", name, f"{found} (at least {floor})")


def _numbers(version: str) -> tuple[int, ...]:
    digits = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in digits[0].split(".") if part) if digits else ()


def _machine(folder: Path) -> Iterator[Finding]:
    yield Finding("ok", "cpus", f"{len(os.sched_getaffinity(0))} for this process")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if told := re.search(r"MemAvailable:\s+(\d+)", _text(Path("/proc/meminfo"))):
        free = int(told[1]) << 10
    if free < LEAST_MEMORY:
        yield Finding("warn", "memory", f"{_gib(free)} free: take a smaller plan.unit_rows")
    else:
        yield Finding("ok", "memory", f"{_gib(free)} free")
    while not folder.exists():
        folder = folder.parent
    for path in dict.fromkeys((folder.resolve(), Path(tempfile.gettempdir()))):
        yield _disk(path, shutil.disk_usage(path).free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < LEAST_FILES:
        yield Finding("warn", "open files", f"{soft}: ulimit -n {LEAST_FILES} (up to {hard})")
    else:
        yield Finding("ok", "open files", f"{soft} at a time")


def _disk(path: Path, free: int) -> Finding:
    bad, little = LEAST_DISK
    level: Literal["ok", "warn", "bad"] = "bad" if free < bad else "warn" if free < little else "ok"
    advice = ": make room, or take another disk" if level != "ok" else ""
    return Finding(level, "disk", f"{_gib(free)} free at {path}{advice}")


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _gpus() -> Iterator[Finding]:
    listed = _asked("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if not listed:
        yield Finding("ok", "gpus", "none: the lite models need none")
        return
    for line in listed.splitlines():
        yield Finding("ok", "gpu", line.strip())
    if find_spec("torch") is None:
        yield Finding("warn", "torch", "not installed, so no GPU is used: humanverse[annotate]")
        return
    import torch

    if torch.cuda.is_available():
        yield Finding(
            "ok", "cuda", f"{torch.cuda.device_count()} seen by torch {torch.__version__}"
        )
    else:
        told = "torch sees no GPU: install one built for this driver's CUDA"
        yield Finding("bad", "cuda", told)


def _asked(*command: str) -> str:
    """What a program prints; nothing if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _weights() -> Iterator[Finding]:
    from humanverse.models.store import is_cached, listed

    lite = [weight for weight in listed().values() if weight.name.startswith("blazepose/")]
    here = sum(is_cached(weight) for weight in lite)
    if here < len(lite):
        told = f"{here} of {len(lite)} lite models: humanverse models pull blazepose"
        yield Finding("warn", "weights", told)
    else:
        yield Finding("ok", "weights", f"all {here} lite models are here")


def _resolved(name: str) -> Finding:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, 443)}
    except (OSError, UnicodeError) as error:
        return Finding("bad", "dns", f"{name}: {error}: see /etc/resolv.conf")
    return Finding("ok", "dns", f"{name} is {', '.join(sorted(found))}")


def _ray() -> Iterator[Finding]:
    if find_spec("ray") is None:
        yield Finding("ok", "ray", "not installed: the local runner needs none")
        return
    if missing := [name for name in JOB_SERVER if find_spec(name) is None]:
        told = f"a head here has no job server ({', '.join(missing)}): pip install 'ray[default]'"
        yield Finding("warn", "jobs", told)
    told = os.environ.get("RAY_AUTH_MODE", "")
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if told == "disabled":
        yield Finding("warn", "ray token", "RAY_AUTH_MODE=disabled: whoever reaches Ray runs code")
    elif token or (Path.home() / ".ray" / "auth_token").is_file():
        yield Finding("ok", "ray token", "at hand")
    else:
        yield Finding("ok", "ray token", "none yet: `ray get-auth-token --generate` for a cluster")
    yield from _job_server()


def _job_server() -> Iterator[Finding]:
    from humanverse.run.submit import lets_strangers_in

    try:
        socket.create_connection(DASHBOARD, 1).close()
    except OSError:
        yield Finding("ok", "ray ports", "nobody listens at 127.0.0.1:8265")
        return
    address = f"http://{DASHBOARD[0]}:{DASHBOARD[1]}"
    if lets_strangers_in(address):
        told = f"{address} runs anybody's code: start Ray with RAY_AUTH_MODE=token"
        yield Finding("bad", "ray ports", told)
    else:
        yield Finding("ok", "ray ports", f"{address} asks for a token")


def _store(root: str) -> Iterator[Finding]:
    from humanverse.layers.store import Store

    try:
        store = Store(root)
        store.prepare()
        name = f"doctor-{uuid.uuid4().hex}"
        ours = time.time()
        store.note(f"telemetry/{name}", b"")
        try:
            theirs = dict(store.dated("telemetry"))[name]
        finally:
            store.remove(f"telemetry/{name}")
    except (UsageError, OSError) as error:
        yield Finding("bad", "store", str(error))
        return
    yield Finding("ok", "store", f"{root} takes what is new, and does not overwrite")
    yield clock(theirs - ours)


def clock(skew: float) -> Finding:
    """Our clock against another's, in seconds that it is ahead."""
    little, much = SKEW
    level: Literal["ok", "warn", "bad"] = "ok"
    if abs(skew) > little:
        level = "bad" if abs(skew) > much else "warn"
    advice = "" if level == "ok" else ": set this machine's by NTP"
    return Finding(level, "clock", f"{skew:+.1f} s to the store's{advice}")
