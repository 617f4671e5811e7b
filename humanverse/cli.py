"""The verbs. Exit codes: 0 done, 1 done with something wrong that was named, 2 called wrongly."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from humanverse import doctor, terminal
from humanverse.errors import HumanverseError, UsageError
from humanverse.estimate import verbs as estimating
from humanverse.evaluate import verbs as evaluating
from humanverse.export import verbs as exporting
from humanverse.recipe import SLICES
from humanverse.report import verbs as looking
from humanverse.run import clustered
from humanverse.train import verbs as training

OUTSIDE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG})
"""Errors of the machine, not of ours."""

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    args.words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        verb: Verb = args.verb
        code = verb(args)
        sys.stdout.flush()
        return code
    except HumanverseError as error:
        print(f"humanverse: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # who reads has had enough; nor must the flush at exit complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"humanverse: {error}", file=sys.stderr)
            return 2
        if isinstance(error, FileNotFoundError):
            print(f"humanverse: {error}: see `humanverse verify`", file=sys.stderr)
            return 1
        if error.errno not in OUTSIDE:
            raise
        print(f"humanverse: {error}; the same command goes on from here", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("humanverse: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def make_parser() -> argparse.ArgumentParser:
    """All verbs and their arguments."""
    parser = argparse.ArgumentParser(
        prog="humanverse", description="A table of image URLs in, a verified dataset of people out."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_running(verbs)
    looking.add(verbs)
    _add_more(verbs)
    exporting.add(verbs)
    training.add(verbs)
    evaluating.add(verbs)
    estimating.add(verbs)
    doctor.add(verbs)
    return parser


def _add_running(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = {
        "build": "plan, collect, filter, annotate and pack, unit by unit",
        "plan": "give every row a key, drop duplicates, cut units",
        "collect": "fetch the pictures of every unit and keep all their bytes",
        "filter": "find people and decide which pictures to keep",
        "annotate": "pose, depth and normals of the pictures that stay",
        "encode": "latents and text embeddings of what is annotated, and pack them",
        "select": "near-duplicates, splits and benchmarks' pictures over the whole dataset",
        "pack": "select, and kept samples into tar and Parquet shards",
    }
    for name, text in about.items():
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("recipe", help="a recipe file, or the name of a shipped one")
        verb.add_argument("--out", required=True, metavar="ROOT", help="folder of the dataset")
        verb.add_argument(
            "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", dest="assignments"
        )
        if name in ("build", "plan"):
            needed = name == "plan"
            verb.add_argument("--input", nargs="+", default=[], metavar="TABLE", required=needed)
        if name in ("build", *SLICES):
            verb.add_argument("--runner", choices=("local", "ray", "auto"), default="auto")
            verb.add_argument("--limit", type=_positive, metavar="ROWS", help="in whole units")
            verb.add_argument(
                "--redo", action="store_true", help="replace layers of other settings"
            )
            verb.add_argument("--keep-rejected", action="store_true", help="their bytes too")
            clustered.add_place(verb)
        if name == "build":
            clustered.add_submit(verb)
        if name in ("annotate", "encode"):
            verb.add_argument(
                "--only", nargs="+", default=[], metavar="STAGE", help="make these labels anew"
            )
        if name in ("build", "collect"):
            verb.add_argument(
                "--retry",
                default="",
                metavar="transient|REASONS",
                help="first plan again what ended for these reasons",
            )
        verb.set_defaults(verb=_run, name=name)
    demo = verbs.add_parser("demo", help="the whole way on a web served from this machine")
    demo.add_argument("--out", default="runs/demo", metavar="ROOT")
    demo.add_argument("--runner", choices=("local", "ray", "auto"), default="ray")
    demo.set_defaults(verb=_demo)


def _add_more(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "re-read everything and prove sums, hashes and places"
    proof = verbs.add_parser("verify", help=text, description=text)
    proof.add_argument("root", metavar="ROOT")
    proof.add_argument("--sweep", action="store_true", help="remove files no commit names")
    proof.add_argument(
        "--repair", action="store_true", help="mark what is damaged to be made again"
    )
    proof.set_defaults(verb=_verify)
    removal = verbs.add_parser("takedown", help="remove samples for good: their owners' list")
    removal.add_argument("root", metavar="ROOT")
    removal.add_argument("--from", required=True, metavar="FILE", dest="file", help="the list")
    removal.add_argument("--dry-run", action="store_true", help="tell what would be done")
    removal.set_defaults(verb=_takedown)
    explain = verbs.add_parser("explain", help="one row through every stage: what each saw")
    explain.add_argument("what", metavar="URL|KEY|PHOTO")
    explain.add_argument("--recipe", default="demo")
    explain.add_argument("--out", metavar="ROOT", help="the dataset a KEY or URL belongs to")
    explain.add_argument("--set", action="append", default=[], dest="assignments")
    explain.set_defaults(verb=_explain)
    models = verbs.add_parser("models", help="weight files: list, pull, verify")
    models.add_argument("action", choices=("list", "pull", "verify"))
    models.add_argument("names", nargs="*", help="names, or beginnings of names; all if none")
    models.set_defaults(verb=_models)
    exported = verbs.add_parser("schemas", help="export the schemas as JSON")
    exported.add_argument("folder", nargs="?", default="schemas", type=Path)
    exported.set_defaults(verb=_schemas)


def _run(args: argparse.Namespace) -> int:
    from humanverse.layers.ledger import funnel
    from humanverse.layers.store import Store
    from humanverse.pack.listing import DATASET
    from humanverse.recipe import load_recipe
    from humanverse.run import build
    from humanverse.run.work import asked
    from humanverse.terminal_status import funnel as funnel_shown

    if getattr(args, "submit", None):
        return clustered.submitted(args)
    recipe = load_recipe(args.recipe, args.assignments)
    store = Store(args.out)
    if args.name == "pack":
        terminal.packed(build.pack_root(store, recipe))
        counts = funnel(store)
        terminal.waiting(counts.units - counts.committed, counts.units)
        return 0
    if args.name == "select":
        terminal.selected(build.select_root(store, recipe))
        return 0
    watcher = terminal.Progress()
    if args.name == "plan":
        build.prepare(store, recipe, args.input, SLICES, build.Settings(), watcher)
        funnel_shown(funnel(store))
        return 0
    slices, only = asked(recipe, args.name, tuple(getattr(args, "only", ())))
    settings = build.Settings(
        args.runner,
        args.limit,
        args.redo,
        args.keep_rejected,
        getattr(args, "retry", ""),
        only,
        clustered.placed(args),
    )
    whole = args.name == "build"
    outcome = build.build(
        recipe,
        args.input if whole else (),
        args.out,
        slices=slices,
        packed=whole or bool(settings.only and store.exists(DATASET)),
        settings=settings,
        watcher=watcher,
    )
    return terminal.finished(outcome, args.limit)


def _demo(args: argparse.Namespace) -> int:
    from humanverse.demo import run

    return run(Path(args.out), args.runner)


def _verify(args: argparse.Namespace) -> int:
    from humanverse.layers.repair import repair
    from humanverse.layers.store import Store
    from humanverse.layers.verify import sweep, verify

    store = Store(args.root)
    findings = verify(store)
    for finding in findings:
        print(finding)
    if args.repair and findings:
        done = list(repair(store))
        for line in done:
            print(line)
        print("run the same build again to make it" if done else "none of it can be made again")
    if args.sweep and not findings:
        for orphan in sweep(store):
            print(f"removed {orphan}")
    print(f"{args.root}: {len(findings)} findings" if findings else f"{args.root}: all is well")
    return 1 if findings else 0


def _takedown(args: argparse.Namespace) -> int:
    from humanverse.run.takedown import takedown

    done = takedown(args.root, args.file, dry_run=args.dry_run)
    terminal.taken_down(done, dry_run=args.dry_run)
    return 0


def _explain(args: argparse.Namespace) -> int:
    from humanverse.explain import explain
    from humanverse.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.assignments)
    for line in explain(args.what, recipe, args.out):
        print(line)
    return 0


def _models(args: argparse.Namespace) -> int:
    from humanverse.models import store

    prefixes = tuple(args.names) or ("",)
    chosen = [w for w in store.listed().values() if w.name.startswith(prefixes)]
    if not chosen:
        raise UsageError(f"no weights called {', '.join(args.names)}: see `humanverse models list`")
    missing = 0
    for weight in chosen:
        if args.action == "pull" and not store.is_cached(weight):
            store.pull(weight)
        here = store.is_cached(weight)
        missing += not here
        print(
            f"{'here   ' if here else 'missing'} {weight.name:40} {weight.bytes:>10,} bytes  "
            f"{weight.licence:12} {weight.path if here else weight.where()}"
        )
    return 1 if missing and args.action == "verify" else 0


def _schemas(args: argparse.Namespace) -> int:
    from humanverse.schema_export import export

    for path in export(args.folder):
        print(path)
    return 0


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 is wanted")
    return number


if __name__ == "__main__":
    sys.exit(main())
