"""The verbs that look at a root: `status`, `report` and `stats`."""

from __future__ import annotations

import argparse
import sys

from humanverse.errors import UsageError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Their arguments."""
    text = "the funnel so far, pace, disk and what is left, from commits alone"
    status = verbs.add_parser("status", help=text, description=text)
    status.add_argument("root", metavar="ROOT")
    status.add_argument("--follow", action="store_true", help="look again until all is done")
    status.add_argument("--every", type=_positive, default=2.0, metavar="SECONDS")
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.set_defaults(verb=_status)
    text = "a static page: funnel, hosts, speeds, distributions, pictures with their labels"
    report = verbs.add_parser("report", help=text, description=text)
    report.add_argument("root", metavar="ROOT")
    report.add_argument("--pictures", type=_count, default=24, help="kept ones that are shown")
    report.add_argument("--seed", type=int, default=0, help="of their choice")
    report.set_defaults(verb=_report)
    _add_stats(verbs)


def _add_stats(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "questions to the ledger, one row an input row: ready ones, thresholds, SQL"
    stats = verbs.add_parser("stats", help=text, description=text)
    stats.add_argument("root", metavar="ROOT")
    stats.add_argument("questions", nargs="*", help="ready ones; all of them if none is named")
    stats.add_argument("--sql", help="of your own, to the table `ledger`")
    stats.add_argument(
        "--what-if",
        metavar="SCORE=VALUE[,VALUE]",
        help="what other thresholds would keep, as person_area=0.1,0.2",
    )
    stats.add_argument("--limit", type=_count, default=20, help="rows of an answer; 0: all")
    stats.add_argument("--csv", action="store_true", help="for programs")
    stats.set_defaults(verb=_stats)


def _status(args: argparse.Namespace) -> int:
    from humanverse import terminal_status
    from humanverse.layers.ledger import unselected
    from humanverse.layers.standing import standing, watched
    from humanverse.layers.store import Store

    store = Store(args.root)
    if args.json:
        print(terminal_status.as_json(standing(store)))
        return 0
    if args.follow:
        terminal_status.follow(watched(store, args.every))
        return 0
    terminal_status.status(standing(store))
    if unselected(store):
        print("near-duplicates count as kept: `humanverse select` or `pack` looks for them")
    return 0


def _report(args: argparse.Namespace) -> int:
    from humanverse.layers.store import Store
    from humanverse.report.page import write_report

    print(write_report(Store(args.root), pictures=args.pictures, seed=args.seed))
    return 0


def _stats(args: argparse.Namespace) -> int:
    import pyarrow.csv

    from humanverse.layers.store import Store
    from humanverse.stats import QUESTIONS, Stats
    from humanverse.terminal_status import answer

    wanted = args.what_if and _thresholds(args.what_if)
    if unknown := [name for name in args.questions if name not in QUESTIONS]:
        raise UsageError(f"no question {unknown[0]}: choose of {', '.join(QUESTIONS)}")
    stats = Stats(Store(args.root))
    own = bool(args.sql or wanted)
    names = args.questions or ([] if own else list(QUESTIONS))
    answers = [(QUESTIONS[name].doc, stats.ask(name, args.limit)) for name in names]
    answers += [("", stats.sql(args.sql))] if args.sql else []
    answers += [(f"other thresholds on {wanted[0]}", stats.what_if(*wanted))] if wanted else []
    for title, table in answers:
        if args.csv:
            pyarrow.csv.write_csv(table, sys.stdout.buffer)
        else:
            answer(title, table)
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a number from 0 is wanted")
    return int(text)


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("more than 0 seconds are wanted")
    return seconds


def _thresholds(told: str) -> tuple[str, list[float]]:
    score, _, values = told.partition("=")
    try:
        return score, [float(value) for value in values.split(",")]
    except ValueError as error:
        raise UsageError(f"--what-if {told}: give it as person_area=0.1,0.2") from error
