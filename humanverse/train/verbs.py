"""The verbs `train`, `refine` and `sample`: their arguments; torch is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path

from humanverse.errors import UsageError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Their arguments."""
    for name, text in (
        ("train", "learn pictures, depth and normals from a packed root"),
        ("refine", "learn the second stage, which doubles the resolution"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("recipe", help="a training recipe, or the name of a shipped one")
        verb.add_argument("--data", required=True, metavar="ROOT", help="a packed dataset")
        verb.add_argument("--out", required=True, metavar="RUN", type=Path, help="the run's folder")
        verb.add_argument(
            "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="assignments"
        )
        verb.add_argument(
            "--from",
            type=Path,
            metavar="CHECKPOINT",
            dest="start",
            required=name == "refine",
            help="whose weights a new run begins with: a checkpoint, or a run",
        )
        verb.set_defaults(verb=_train, name=name)
    _add_sample(verbs)


def _add_sample(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "pictures with depth and normals out of a checkpoint"
    verb = verbs.add_parser("sample", help=text, description=text)
    verb.add_argument(
        "--checkpoint", required=True, type=Path, metavar="RUN", help="or one's folder"
    )
    verb.add_argument("--refiner", type=Path, metavar="RUN", help="of the second stage")
    verb.add_argument("--out", required=True, type=Path, metavar="DIR")
    verb.add_argument("--prompt", default="", help="a caption")
    verb.add_argument("--pose", metavar="FILE|ROOT:KEY", help="a {key}.pose.json, or a sample's")
    verb.add_argument("--of", metavar="ROOT", help="one of each sample's caption and pose")
    verb.add_argument("--count", type=int, help="4, or all of --of, if not told")
    verb.add_argument("--batch", type=int, default=8, help="samples of --of painted at once")
    verb.add_argument("--seed", type=int, default=0, help="of the first sample, or of all of --of")
    verb.add_argument("--steps", type=int, help="the recipe's, if not told")
    verb.add_argument("--guidance", type=float, help="the recipe's, if not told")
    verb.add_argument("--size", type=int, help="side in pixels, the recipe's, if not told")
    verb.add_argument("--device", default="auto")
    verb.set_defaults(verb=_sample)


def _train(args: argparse.Namespace) -> int:
    from humanverse.train.recipe import load_training

    training = load_training(
        args.recipe, args.assignments, "refiner" if args.name == "refine" else "base"
    )
    from humanverse.train.loop import train

    reached = train(training, args.data, args.out, args.start)
    if reached < training.optim.steps:
        print(f"stopped at step {reached} of {training.optim.steps}; the same command goes on")
        return 1
    return 0


def _sample(args: argparse.Namespace) -> int:
    from humanverse.train.sample import Asked, sample

    if args.of is not None:
        return _sample_of(args)
    asked = Asked(
        args.prompt,
        args.pose,
        4 if args.count is None else args.count,
        args.seed,
        args.steps,
        args.guidance,
        args.size,
    )
    for path in sample(args.checkpoint, args.out, asked, args.refiner, args.device):
        print(path)
    return 0


def _sample_of(args: argparse.Namespace) -> int:
    from humanverse.train.painted_set import Of, paint_set
    from humanverse.train.sample import Asked

    if args.prompt or args.pose is not None:
        raise UsageError("--of takes captions and poses of its samples: leave --prompt and --pose")
    asked = Asked(seed=args.seed, steps=args.steps, guidance=args.guidance, size=args.size)
    stages, of = (args.checkpoint, args.refiner), Of(args.of, args.count, args.batch)
    for path in paint_set(stages, args.out, asked, of, args.device):
        print(path)
    return 0
