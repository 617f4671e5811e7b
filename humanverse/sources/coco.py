"""The pictures that one of COCO's annotation files tells of, as images at hand.

Each picture of the file is a row, whether it shows people or not. It lies beside the file's folder,
or in it, below the folder that its `coco_url` names (`val2014`), below `images`, or below none. Its
caption is the first that a file with `captions` in its name, beside this one, gives it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from humanverse.errors import UsageError

HEAD: Final = 4096
"""Bytes of a file that tell what it is."""
_BEGINS = re.compile(rb'\s*\{\s*"(info|licenses|images|annotations|categories)"\s*:\s*[\[{]')


def is_coco(path: Path) -> bool:
    """Whether a file begins as COCO's do: with one of its lists."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return _BEGINS.match(file.read(HEAD)) is not None


def read(path: Path) -> dict[str, Any]:
    """A file of COCO's.

    Raises:
        UsageError: it is none.
    """
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}") from error
    told = told if isinstance(told, dict) else {}
    if not all(isinstance(told.get(name), list) for name in ("images", "annotations")):
        raise UsageError(f"{path} is no annotation file of COCO's: it has no images or annotations")
    entries = told["images"]
    if not all(isinstance(one, dict) and {"id", "file_name"} <= one.keys() for one in entries):
        raise UsageError(f"{path}: an entry of its images has no id or file_name")
    return told


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """A row for each picture, in the file's order.

    Raises:
        UsageError: it is no annotation file.
    """
    told = read(path)
    captions = _captions(path)
    licences = {one.get("id"): one.get("name") for one in told.get("licenses", ())}
    for number, image in enumerate(told["images"]):
        name = str(image["file_name"])
        found = _lies_at(path, name, str(image.get("coco_url") or ""))
        yield {
            "source": "coco",
            "file": name,
            "row": number,
            "location": f"file:{found}" if found else None,
            "sha256": hashlib.sha256(found.read_bytes()).hexdigest() if found else None,
            "caption": captions.get(image["id"]),
            "width_hint": image.get("width"),
            "height_hint": image.get("height"),
            "license": licences.get(image.get("license")),
        }


def _lies_at(path: Path, name: str, url: str) -> Path | None:
    """The place of a picture, if it is there."""
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts:
        return None
    folder = PurePosixPath(url).parent.name
    here = path.absolute().parent
    for base in (here.parent, here):
        for below in (folder, "images", ""):
            if (found := base / below / inner).is_file():
                return found
    return None


def _captions(path: Path) -> Mapping[Any, str]:
    """The first caption of each picture by its number, out of all files that have any."""
    found: dict[Any, tuple[int, str]] = {}
    for file in sorted(path.parent.glob("*captions*.json")):
        for one in read(file)["annotations"]:
            if "caption" in one:
                told = (int(one["id"]), str(one["caption"]).strip())
                found[one["image_id"]] = min(found.get(one["image_id"], told), told)
    return {image: caption for image, (_, caption) in found.items()}
