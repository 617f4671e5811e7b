"""The verb `evaluate`: its arguments; torch is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from humanverse.errors import UsageError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its arguments."""
    text = "measure generated pictures against real ones, beside HyperHuman's table"
    verb = verbs.add_parser("evaluate", help=text, description=text)
    sets = "a packed dataset, or a folder of pictures"
    verb.add_argument("--real", required=True, metavar="SET", help=sets)
    verb.add_argument("--generated", required=True, metavar="SET", help=sets)
    verb.add_argument("--out", required=True, type=Path, metavar="DIR", help="for the results")
    verb.add_argument("--count", type=int, help="of pictures of each set; all, if not told")
    verb.add_argument("--seed", type=int, default=0, help="of the choice")
    verb.add_argument("--size", type=int, default=512, help="side of all pictures, in pixels")
    verb.add_argument(
        "--metrics", metavar="NAME,...", help="what must be had; all that can be had, if not told"
    )
    verb.add_argument("--inception", type=Path, metavar="FILE", help="the reference's weights")
    verb.add_argument("--clip", type=Path, metavar="FOLDER", help="a CLIP of transformers")
    verb.add_argument(
        "--features",
        choices=("inception", "random"),
        default="inception",
        help="of KID and FID; random is for tests alone",
    )
    verb.add_argument("--kid-subset", type=int, default=1000, metavar="SIZE")
    verb.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", dest="assignments"
    )
    verb.add_argument("--cache", type=Path, metavar="DIR", help="for what is known of the real set")
    verb.add_argument("--batch", type=int, default=16, help="most pictures of a forward pass")
    verb.add_argument("--device", default="auto")
    verb.set_defaults(verb=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    if any(find_spec(name) is None for name in ("torch", "transformers", "pycocotools")):
        raise UsageError("evaluate needs the extra: pip install 'humanverse[evaluate]'")
    from humanverse.evaluate import cached, table
    from humanverse.evaluate.labels import Stages
    from humanverse.evaluate.run import Asked, evaluate
    from humanverse.models.torched import How

    asked = Asked(
        args.real,
        args.generated,
        args.count,
        args.seed,
        args.size,
        None if args.metrics is None else tuple(filter(None, args.metrics.split(","))),
        args.inception,
        args.clip,
        args.features == "random",
        args.kid_subset,
        Stages().with_assignments(args.assignments),
        args.cache or cached.default_folder(),
        How(args.device, args.batch),
    )
    with _progress() as says:
        evaluation = evaluate(asked, says)
    written = table.write(evaluation, args.out)
    table.show(evaluation)
    for path in written:
        print(path)
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """How far it is, on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield status.update
