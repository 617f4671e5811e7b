"""The verb `estimate`: its arguments, and what it refuses."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from humanverse.errors import UsageError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its arguments."""
    text = "what a build will hold, need and cost, from some units that are built at random"
    verb = verbs.add_parser("estimate", help=text, description=text)
    verb.add_argument("recipe", help="a recipe file, or the name of a shipped one")
    verb.add_argument("--input", nargs="+", required=True, metavar="TABLE")
    verb.add_argument(
        "--units", type=int, default=20, metavar="N", help="to build, drawn at random; 2 at least"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw")
    verb.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", dest="assignments"
    )
    for name, of in (("cpu-hour", "a CPU"), ("gpu-hour", "a GPU"), ("gb-month", "a GB a month")):
        verb.add_argument(f"--{name}", type=float, metavar="PRICE", help=f"of {of}")
    verb.add_argument("--nodes", type=int, metavar="N", help="of a cluster to tell the time for")
    verb.add_argument("--cpus", type=float, metavar="N", help="of each node")
    verb.add_argument("--gpus", type=float, metavar="N", help="of each node")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    verb.add_argument("--keep", type=Path, metavar="ROOT", help="keep what was built, here")
    verb.set_defaults(verb=_estimate)


def _estimate(args: argparse.Namespace) -> int:
    from humanverse import terminal
    from humanverse.estimate.sample import take_sample
    from humanverse.estimate.show import as_json, show
    from humanverse.estimate.whole import Machines, Prices, whole
    from humanverse.recipe import load_recipe

    _check(args)
    recipe = load_recipe(args.recipe, args.assignments)
    prices = Prices(args.cpu_hour, args.gpu_hour, args.gb_month)
    machines = None
    if args.cpus is not None:
        machines = Machines(args.nodes or 1, args.cpus, args.gpus or 0)
    with tempfile.TemporaryDirectory(prefix="humanverse-estimate-") as folder:
        root = args.keep or Path(folder) / "root"
        watcher = terminal.Progress()
        sample = take_sample(recipe, args.input, root, args.units, args.seed, watcher)
    told = whole(sample, prices, machines, args.seed)
    if args.json:
        print(as_json(told))
    else:
        show(told, unselected=sample.unselected)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.units < 2:
        raise UsageError("--units: how units differ is told by two of them at least")
    if args.seed < 0:
        raise UsageError("--seed: at least 0 is wanted")
    for name in ("cpu_hour", "gpu_hour", "gb_month", "gpus"):
        value = getattr(args, name)
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')}: a number that is not negative is wanted")
    for name in ("nodes", "cpus"):
        value = getattr(args, name)
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"--{name}: more than 0 is wanted")
    if args.cpus is None and (args.nodes or args.gpus):
        raise UsageError("--cpus: say how many each node has")
