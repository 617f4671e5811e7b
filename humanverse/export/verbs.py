"""The verb `export`: its arguments, and which layout is whose."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final

from humanverse import terminal
from humanverse.errors import UsageError

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "img2dataset": (),
    "coco": ("pictures",),
    "coco-wholebody": ("pictures",),
    "openpose": ("pictures",),
    "yolo-pose": ("pictures",),
    "hf": ("license",),
}
"""Layouts, and what can be said of each beside root and folder."""
WORDS: Final = {"pictures": "--without-images", "license": "--license"}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its arguments."""
    text = "what was collected, or packed, in another tool's layout"
    verb = verbs.add_parser("export", help=text, description=text)
    verb.add_argument("root", metavar="ROOT")
    verb.add_argument("--as", choices=tuple(OPTIONS), required=True, dest="layout")
    verb.add_argument("--to", required=True, metavar="DIR", help="folder of the export")
    verb.add_argument(
        "--without-images",
        action="store_false",
        default=None,
        dest="pictures",
        help="labels alone: of coco, coco-wholebody, openpose and yolo-pose",
    )
    verb.add_argument("--license", metavar="NAME", help="that the card of hf tells: other, if none")
    verb.set_defaults(verb=_export)


def _export(args: argparse.Namespace) -> int:
    said = {name: getattr(args, name) for name in WORDS if getattr(args, name) is not None}
    for name in said.keys() - set(OPTIONS[args.layout]):
        raise UsageError(f"{WORDS[name]} is nothing that --as {args.layout} knows")
    if args.layout == "img2dataset":
        from humanverse.export.img2dataset import export
        from humanverse.layers.store import Store

        terminal.exported(export(Store(args.root), Store(args.to)), args.to)
    else:
        terminal.handed(_packed(args.layout)(args.root, args.to, **said), args.to)
    return 0


def _packed(layout: str) -> Callable[..., Any]:
    """Who writes a packed root in a layout."""
    from functools import partial

    from humanverse.export import coco, hugging_face, openpose, yolo

    exports: Mapping[str, Callable[..., Any]] = {
        "coco": partial(coco.export, whole=False),
        "coco-wholebody": partial(coco.export, whole=True),
        "openpose": openpose.export,
        "yolo-pose": yolo.export,
        "hf": hugging_face.export,
    }
    return exports[layout]
