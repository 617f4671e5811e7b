"""A build as a job of a Ray cluster: submitted, joined if it is running already, and followed.

The job is the same command without `--submit`, run by the cluster's head in a copy of the recipe's
folder. Its name follows from the root and a number, so that one root has one job at a time; the
next one goes on where an ended one stopped, as builds do. Ray's own variables hold here too:
`RAY_AUTH_MODE` and the token's, `RAY_JOB_HEADERS`.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import hashlib
import json
import logging
import os
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from humanverse.errors import UsageError
from humanverse.run.ray import imported

MOST_BYTES: Final = 20 << 20
"""Of the folder that travels with a job: more is no recipe and what it imports."""
PAUSE: Final = 1.0
"""Seconds between two looks at a job that does not talk."""
TRIES: Final = 5
"""To hear of a job whose server does not answer; and to get a name that others want too."""
INTERRUPTED: Final = 130

Says = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run on the cluster."""

    root: str
    command: tuple[str, ...]
    folder: Path | None
    """Copied to the cluster: there it is the working directory."""
    requirements: Path | None = None
    """What pip installs there first; None to use what the nodes have."""

    @property
    def entrypoint(self) -> str:
        """As a shell takes it."""
        return shlex.join(self.command)

    @property
    def family(self) -> str:
        """What the names of this root's jobs begin with."""
        return f"humanverse-{hashlib.sha256(self.root.rstrip('/').encode()).hexdigest()[:12]}-"


def job_of(words: Sequence[str], args: argparse.Namespace) -> Job:
    """The job that does what this command line says.

    Args:
        words: the command line after the program's name.
        args: the same, parsed.

    Raises:
        UsageError: the recipe's folder is too large to travel, or the root lies on this machine.
    """
    mine = argparse.ArgumentParser(add_help=False)
    for name in ("--submit", "--job-requirements", "--out", "--runner"):
        mine.add_argument(name)
    mine.add_argument("--input", nargs="+")
    _, rest = mine.parse_known_args(list(words))
    folder = _folder(Path(args.recipe)) if Path(args.recipe).is_file() else None
    recipe = Path(args.recipe).name if folder else args.recipe
    at = rest.index(args.recipe)
    root = _seen_there(args.out, None, "--out")
    command = ["python", "-m", "humanverse", *rest[:at], recipe, *rest[at + 1 :], "--out", root]
    if args.input:
        command += ["--input", *(_seen_there(path, folder, "--input") for path in args.input)]
    runner = "ray" if args.runner == "auto" else args.runner
    return Job(root, (*command, "--runner", runner), folder, args.job_requirements)


def _seen_there(path: str, folder: Path | None, option: str) -> str:
    """How the cluster calls a path: what is no address must lie there under the same name."""
    if "://" in path:
        return path
    whole = Path(path).resolve()
    if folder and whole.is_relative_to(folder):
        return str(whole.relative_to(folder))  # it travels
    if not Path(path).is_absolute():
        raise UsageError(
            f"{option} {path}: a cluster sees no folder of this machine: give an address "
            f"(s3://...), or the whole path if all nodes see it, {whole}"
        )
    return str(whole)


def _folder(recipe: Path) -> Path:
    folder = recipe.resolve().parent
    size = 0
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            size += path.stat().st_size if path.is_file() else 0
        if size > MOST_BYTES:
            raise UsageError(
                f"{folder} would travel with the job and holds more than {MOST_BYTES >> 20} MB: "
                "put the recipe into a folder of its own, with the stages that it imports"
            )
    return folder


def submit(job: Job, address: str, says: Says) -> int:
    """Submit a job or join the one that builds this root; its logs to standard output.

    Returns:
        What the job's command returned, 1 if it was stopped or lost, 130 if asked to look away.

    Raises:
        UsageError: there is no job server, it does not let us in, or the job cannot be described.
    """
    client = _client(address)
    if lets_strangers_in(client.get_address()):
        says(
            f"{client.get_address()} runs anybody's code: set RAY_AUTH_MODE=token on the cluster "
            "and here, and let only your own network reach it"
        )
    name = _submitted(client, job, says)
    where = f"--address {client.get_address()}"
    try:
        return _followed(client, name, says)
    except KeyboardInterrupt:
        says(
            f"the job goes on. The same command follows it again; `ray job status {name} {where}` "
            f"tells how it stands; `ray job stop {name} {where}` stops it after the unit at hand"
        )
        return INTERRUPTED


def _client(address: str) -> Any:
    imported()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in ("", ".dashboard.modules.job.sdk", ".dashboard.modules.dashboard_sdk"):
        logging.getLogger(f"ray{name}").setLevel(logging.ERROR)  # else they tell of each upload

    try:
        headers = json.loads(os.environ.get("RAY_JOB_HEADERS", "{}"))
    except ValueError as error:
        raise UsageError(f"RAY_JOB_HEADERS is no JSON: {error}") from error
    try:
        return JobSubmissionClient(address, headers=headers)
    except AuthenticationError as error:
        raise UsageError(
            f"{address} lets nobody in without its token: set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"no job server at {address} ({_line(error)}): give the address of the cluster's "
            "dashboard, as in http://127.0.0.1:8265; a cluster has one where ray[default] is "
            "installed"
        ) from error


def lets_strangers_in(address: str) -> bool:
    """Whether the server lists jobs to who has no token."""
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{address}/api/jobs/", timeout=10) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _submitted(client: Any, job: Job, says: Says) -> str:
    """The name of the job that builds this root: a running one, or a new one."""
    for _ in range(TRIES):
        past = {int(name[len(job.family) :]): told for name, told in _jobs(client, job.family)}
        newest = max(past, default=0)
        if newest and not past[newest].status.is_terminal():
            name = f"{job.family}{newest}"
            says(f"{name} builds this root already: following it")
            if past[newest].entrypoint != job.entrypoint:
                says(f"mind that it runs another command: {past[newest].entrypoint}")
            return name
        name = f"{job.family}{newest + 1}"
        try:
            client.submit_job(
                entrypoint=job.entrypoint, submission_id=name, runtime_env=_environment(job)
            )
        except RuntimeError as error:
            if "already" not in str(error):
                raise UsageError(f"the job server refused: {_line(error)}") from error
            continue  # somebody was faster: that job is joined, or followed by a later one
        says(f"submitted {name}: {job.entrypoint}")
        return name
    raise UsageError(f"others submit jobs for {job.root} all the time: try again")


def _jobs(client: Any, family: str) -> Iterable[tuple[str, Any]]:
    for told in client.list_jobs():
        name = told.submission_id or ""
        if name.startswith(family) and name[len(family) :].isdecimal():
            yield name, told


def _environment(job: Job) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if job.folder:
        # By name: to Ray, `.*` is the folder itself, too.
        hidden = sorted(path.name for path in job.folder.iterdir() if path.name.startswith("."))
        made |= {"working_dir": str(job.folder), "excludes": ["__pycache__", *hidden]}
    if job.requirements:
        if not job.requirements.is_file():
            raise UsageError(f"no such file: {job.requirements}")
        made["pip"] = str(job.requirements)
    return made


def _followed(client: Any, name: str, says: Says) -> int:
    """Print what a job prints until it has ended; its exit code."""
    log, failed = _Log(), 0
    while failed < TRIES:
        before = log.shown
        try:
            asyncio.run(log.tail(client, name))
            told = client.get_job_info(name)
            if told.status.is_terminal():
                return _code(name, told, says)
            time.sleep(PAUSE)
        except (RuntimeError, OSError) as error:
            failed = 1 if log.shown > before else failed + 1
            says(f"the job server does not answer ({_line(error)})")
            time.sleep(PAUSE * 2**failed)
    raise OSError(errno.EIO, f"{name} is out of sight")


class _Log:
    """What of a job's log was shown. It is always told from its start."""

    def __init__(self) -> None:
        self.shown = 0

    async def tail(self, client: Any, name: str) -> None:
        """Print what was not shown yet, until the job has ended."""
        seen = 0
        async for text in client.tail_job_logs(name):
            seen += len(text)
            if seen > self.shown:
                sys.stdout.write(text[-(seen - self.shown) :])
                sys.stdout.flush()
                self.shown = seen


def _code(name: str, told: Any, says: Says) -> int:
    status = str(told.status)
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        says(f"{name} was stopped; the same command goes on from there")
        return 1
    code = told.driver_exit_code
    if code not in (1, 2):  # these the command has explained itself
        says(f"{name} failed: {told.message}")
    return code if code in (1, 2) else 1


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
