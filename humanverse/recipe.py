"""A recipe: the list of stages with their numbers, readable as the whole story of a dataset.

It is a Python file that defines `recipe = Recipe(...)`. `--set stage.field=value` overrides a
field before anything runs, and the resolved recipe is written beside the data.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import json
import math
import runpy
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args, get_origin

from humanverse import schema
from humanverse.errors import HumanverseError, UsageError
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.select import Select
from humanverse.stage import Stage, check_chain, fingerprints, reasons_of, settings

SLICES = ("collect", "filter", "annotate")
SECTIONS = ("plan", "select", "pack")
"""What `--set` reaches beside the stages."""


class StageGroup(Protocol):
    """One entry of a recipe that stands for several stages."""

    @property
    def name(self) -> str:
        """Its section in `--set`."""
        ...

    def stages(self) -> Sequence[Stage]:
        """The stages it stands for, in order."""
        ...


Entry = Stage | StageGroup


@dataclass(frozen=True)
class Recipe:
    """What to plan, which stages to run in each slice, how to pack."""

    name: str
    collect: Sequence[Entry]
    filter: Sequence[Entry] = ()
    annotate: Sequence[Entry] = ()
    plan: Plan = field(default_factory=Plan)
    select: Select = field(default_factory=lambda: Select(enabled=False))
    """Near-duplicates and splits, over the whole dataset, between the stages and the packing."""
    pack: Pack = field(default_factory=Pack)

    def slice(self, name: str) -> list[Stage]:
        """The stages of one slice, groups expanded."""
        return list(_expand(getattr(self, name)))

    def stages(self) -> list[Stage]:
        """All stages in order, checked as a chain."""
        stages = [stage for name in SLICES for stage in self.slice(name)]
        check_chain(stages, schema.PLAN)
        self.select.check(stages)
        written = [name for stage in stages for name in stage.writes.names]
        if self.pack.caption == "generated" and "generated_caption" not in written:
            raise UsageError(
                "pack.caption=generated needs a stage that generates captions: set caption.model"
            )
        return stages

    def sections(self) -> dict[str, Any]:
        """Everything `--set` can reach, by name."""
        entries = [entry for name in SLICES for entry in getattr(self, name)]
        own = {name: getattr(self, name) for name in SECTIONS}
        return own | {entry.name: entry for entry in entries}

    def override(self, assignments: Iterable[str]) -> Recipe:
        """The recipe with `section.field=value` applied, each checked against the field's type."""
        recipe = self
        for assignment in assignments:
            recipe = recipe._override_one(assignment)
        return recipe

    def _override_one(self, assignment: str) -> Recipe:
        path, equals, text = assignment.partition("=")
        section_name, dot, field_name = path.partition(".")
        if not (equals and dot):
            raise UsageError(f"--set {assignment}: write it as section.field=value")
        sections = self.sections()
        section = _find(section_name, sections, f"--set {path}: no section {section_name!r}")
        # The names of a recipe's own module are gone once it was run, but its functions know them.
        names = getattr(vars(type(section)).get("__call__"), "__globals__", {})
        hints = typing.get_type_hints(type(section), localns=names)
        known = {f.name: hints[f.name] for f in dataclasses.fields(section) if f.init}
        kind = _find(field_name, known, f"--set {path}: {section_name} has no field {field_name!r}")
        changed = _replace(section, field_name, _parse(text, kind, path))
        changes: dict[str, Any] = {section_name: changed}
        if section_name not in SECTIONS:
            changes = {
                name: [changed if entry is section else entry for entry in getattr(self, name)]
                for name in SLICES
            }
        return dataclasses.replace(self, **changes)

    def resolved(self) -> dict[str, Any]:
        """Everything that decides the dataset, as JSON types: for `recipe.json` and the card."""
        stages = self.stages()
        marks = fingerprints(stages)
        return {
            "schema": "humanverse.recipe.v1",
            "recipe": self.name,
            "plan": settings(self.plan),
            "stages": [
                {"name": stage.name, "fingerprint": marks[stage.name], "settings": settings(stage)}
                for stage in stages
            ],
            **({"select": settings(self.select)} if self.select.enabled else {}),
            "pack": settings(self.pack),
            "reasons": {
                name: reason.doc
                for name, reason in reasons_of(stages).items()
                if name not in schema.REASONS
            },
            "versions": versions(),
        }


def load_recipe(path: str | Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a recipe, by its file or the name of a shipped one; apply overrides, check its chain."""
    path = _located(Path(path))
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        # Last, so that no recipe hides a package by its name; for good, so that workers, which
        # inherit the path, find a recipe's own stages too.
        sys.path.append(folder)
    try:
        recipe = runpy.run_path(str(path)).get("recipe")
    except HumanverseError:
        raise
    except (Exception, SystemExit) as error:  # it is a program, so it may end in any way
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"recipe {path} cannot be read: {told}") from error
    if not isinstance(recipe, Recipe):
        raise UsageError(f"recipe {path} must define `recipe = Recipe(...)`")
    recipe = recipe.override(assignments)
    recipe.stages()
    return recipe


def _located(path: Path) -> Path:
    """A recipe's file. The shipped ones lie in the package, or beside it in a checkout."""
    if path.is_file():
        return path
    package = Path(__file__).parent
    folders = [f for f in (package / "pipelines", package.parent / "pipelines") if f.is_dir()]
    shipped = {file.stem: file for folder in folders for file in folder.glob("*.py")}
    if path.parent in (Path(), Path("pipelines")) and path.stem in shipped:
        return shipped[path.stem]
    names = ", ".join(sorted(shipped))
    raise UsageError(f"no recipe {path}: give a file, or the name of a shipped one ({names})")


def versions() -> dict[str, str]:
    """Versions of what decides bytes on disk."""
    wanted = ("humanverse", "numpy", "pyarrow", "opencv-python", "pillow", "onnxruntime", "torch")
    found = {}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_json(value: Any) -> str:
    """Readable JSON of a resolved recipe."""
    return json.dumps(value, indent=2, sort_keys=True, default=str) + "\n"


def _expand(entries: Iterable[Entry]) -> Iterable[Stage]:
    for entry in entries:
        if isinstance(entry, Stage):
            yield entry
        else:
            yield from entry.stages()


def _find(name: str, known: dict[str, Any], message: str) -> Any:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
    raise UsageError(f"{message} ({hint})")


def _replace(section: Any, field_name: str, value: Any) -> Any:
    try:
        return dataclasses.replace(section, **{field_name: value})
    except ValueError as error:
        raise UsageError(f"{section.name}.{field_name}: {error}") from error


def _parse(text: str, kind: Any, path: str) -> Any:
    """Text to the type of a field: bool, int, float, str, Path, Literal, tuple, or None."""
    if get_origin(kind) in (types.UnionType, typing.Union):
        options = get_args(kind)
        if type(None) in options and text.lower() in ("none", ""):
            return None
        return _parse(text, next(o for o in options if o is not type(None)), path)
    if get_origin(kind) is tuple:
        return tuple(_parse(part, get_args(kind)[0], path) for part in text.split(",") if part)
    if get_origin(kind) is typing.Literal:
        choices = get_args(kind)
        if text not in choices:
            raise UsageError(f"--set {path}={text}: choose one of {', '.join(choices)}")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise UsageError(f"--set {path}={text}: true or false is wanted")
        return text.lower() in ("true", "1")
    try:
        value = kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise UsageError(f"--set {path}={text}: {kind.__name__} is wanted") from None
