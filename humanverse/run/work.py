"""What a run has to do: which stages of which units are missing, and which must not be touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from humanverse import plan
from humanverse.errors import UsageError
from humanverse.layers.commit import DAMAGED, Commits, Layer
from humanverse.layers.store import Store
from humanverse.recipe import SLICES, Recipe
from humanverse.run.unit import Task
from humanverse.stage import Stage, fingerprints

OVERLAP = 8
"""Units that one collector has in hand. On the open web each ends with its slowest URLs, which take
the whole deadline; meanwhile the next ones keep the line busy."""


@dataclass(frozen=True)
class Work:
    """The tasks of a run, in order, and the stages they go through."""

    stages: list[Stage]
    tasks: list[Task]
    finished: int
    """Units that need nothing."""


def find_work(
    store: Store, recipe: Recipe, slices: Sequence[str], *, redo: bool, keep_rejected: bool
) -> Work:
    """Compare the plan with the commits. Nothing is written.

    Raises:
        UsageError: there is no plan, a lower slice is missing, or layers were made with other
            settings and `redo` was not said.
    """
    stages, units = recipe.stages(), plan.units(store)
    if not plan.manifests(store):
        raise UsageError(f"{store.root} holds no plan: run `humanverse plan` on a table first")
    marks, commits = fingerprints(stages), Commits.read(store)
    mine = {stage.name for name in slices for stage in recipe.slice(name)}
    tasks = []
    for unit in units:
        layers = commits.layers(unit.name)
        for name in marks.keys() - mine if "collect" not in slices else ():
            _check_below(store, recipe, slices, name, layers, marks)
        todo = [s.name for s in stages if s.name in mine and not _current(layers, marks, s.name)]
        if not redo and (other := [name for name in todo if _usable(layers, name)]):
            raise UsageError(
                f"{store.root} holds {', '.join(other)} made with other settings: "
                "use those, another --out, or --redo to make them anew"
            )
        if todo:
            last = max(i for i, stage in enumerate(stages) if stage.name in todo)
            done = [s.name for s in stages[:last] if s.name not in todo]
            tasks.append(
                Task(
                    unit,
                    commits.next_number(unit.name),
                    {name: marks[name] for name in todo},
                    {name: layers[name] for name in done},
                    keep_rejected,
                )
            )
    return Work(stages, tasks, len(units) - len(tasks))


def up_to(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """The first tasks that hold at least `limit` rows: units are never cut."""
    chosen, rows = [], 0
    for task in tasks:
        if limit is not None and rows >= limit:
            break
        chosen.append(task)
        rows += task.unit.rows
    return chosen


def groups(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Neighbours of equal resources together: what one worker runs."""
    out: list[list[Stage]] = []
    for stage in stages:
        if out and out[-1][0].resources == stage.resources:
            out[-1].append(stage)
        else:
            out.append([stage])
    return out


def _current(layers: dict[str, Layer], marks: dict[str, str], name: str) -> bool:
    return name in layers and layers[name].fingerprint == marks[name]


def _usable(layers: dict[str, Layer], name: str) -> bool:
    return name in layers and layers[name].fingerprint != DAMAGED


def _check_below(
    store: Store,
    recipe: Recipe,
    slices: Sequence[str],
    name: str,
    layers: dict[str, Layer],
    marks: dict[str, str],
) -> None:
    owner = next(s for s in SLICES if name in {stage.name for stage in recipe.slice(s)})
    if SLICES.index(owner) > SLICES.index(slices[0]):
        return
    if not _usable(layers, name):
        raise UsageError(f"{store.root} is not through {owner} yet: run `humanverse {owner}` first")
    if layers[name].fingerprint != marks[name]:
        raise UsageError(
            f"{store.root} holds {name} made with other settings than this recipe's: "
            f"use those, another --out, or `humanverse {owner} --redo` first"
        )
