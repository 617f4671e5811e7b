"""What a command line says of clusters: where workers run, and whether a job does the work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from humanverse.run.place import KINDS, Spot, parsed


def add_place(verb: argparse.ArgumentParser) -> None:
    """The option of every verb that runs stages."""
    verb.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="KIND=RESOURCE[:WORKERS]",
        help=f"on a cluster: workers of a kind ({', '.join(KINDS)}) run where this resource is",
    )


def add_submit(verb: argparse.ArgumentParser) -> None:
    """The options of `build`."""
    verb.add_argument("--submit", metavar="ADDRESS", help="run it as a job of this Ray cluster")
    verb.add_argument(
        "--job-requirements",
        type=Path,
        metavar="FILE",
        help="with --submit: what pip shall install on the nodes first (they must reach an index)",
    )


def placed(args: argparse.Namespace) -> dict[str, Spot]:
    """Where workers run."""
    return parsed(getattr(args, "place", ()))


def submitted(args: argparse.Namespace) -> int:
    """Run the command as a job, and follow it.

    Raises:
        UsageError: it cannot be a job, or there is no job server.
    """
    from humanverse.run.submit import job_of, submit

    placed(args)  # refused here, not there
    return submit(
        job_of(args.words, args), args.submit, lambda line: print(line, file=sys.stderr, flush=True)
    )
