"""A recipe: the list of stages with their numbers, readable as the whole story of a dataset.

It is a Python file that defines `recipe = Recipe(...)`. `--set stage.field=value` overrides a
field before anything runs, and the resolved recipe is written beside the data.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from humanverse import schema
from humanverse.encode import EncodeLatents, EncodeText, Latents, Text
from humanverse.errors import UsageError
from humanverse.models.used import used
from humanverse.overrides import assigned
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe_file import located, names_in
from humanverse.select import Select
from humanverse.stage import Stage, check_chain, fingerprints, reasons_of, settings

SLICES = ("collect", "filter", "annotate", "encode")
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
    encode: Sequence[Entry] = field(default_factory=lambda: (Latents(), Text()))
    """No stages, until they are given weights."""
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
        self._check_encoded(written)
        return stages

    def _check_encoded(self, written: Sequence[str]) -> None:
        """Refuse latents or text of something else than samples will hold."""
        for stage in self.slice("encode"):
            if isinstance(stage, EncodeLatents) and "blurred" in written and not stage.blurred:
                raise UsageError(
                    "samples hold pictures with faces blurred: set latents.blurred=true"
                )
            if isinstance(stage, EncodeText) and stage.caption != self.pack.caption:
                raise UsageError(
                    f"samples' captions are by pack.caption={self.pack.caption}: set text.caption "
                    "to the same"
                )

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
        sections = self.sections()
        section_name, changed = assigned(sections, assignment)
        changes: dict[str, Any] = {section_name: changed}
        if section_name not in SECTIONS:
            section = sections[section_name]
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
            "models": [line for s in stages for line in used(s.name, settings(s))],
            "versions": versions(),
        }


def load_recipe(path: str | Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a recipe, by its file or the name of a shipped one; apply overrides, check its chain."""
    path = located(path)
    recipe = names_in(path).get("recipe")
    if not isinstance(recipe, Recipe):
        raise UsageError(f"recipe {path} must define `recipe = Recipe(...)`")
    recipe = recipe.override(assignments)
    recipe.stages()
    return recipe


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
