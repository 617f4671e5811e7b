"""What a run has to do: which stages of which units are missing, and which must not be touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanverse import plan
from humanverse.errors import DataError, UsageError
from humanverse.layers.commits import Commits, Tally, tally
from humanverse.layers.listed import TAKEN_DOWN
from humanverse.layers.store import Store
from humanverse.layers.tombstones import read_tombstones
from humanverse.recipe import SLICES, Recipe
from humanverse.run.unit import Task
from humanverse.stage import Stage, fingerprints, upstream_of

OVERLAP = 8
"""Units that one collector has in hand. On the open web each ends with its slowest URLs, which take
the whole deadline; meanwhile the next ones keep the line busy."""


@dataclass(frozen=True, eq=False)
class Tasks:
    """The tasks of a run, in order. Each is made when its turn comes: there may be millions."""

    store: Store
    units: plan.Units
    marks: Mapping[str, str]
    """Stages with their fingerprints, in order."""
    places: NDArray[np.int64]
    """(tasks,): the units, by their place in the plan."""
    todo: NDArray[np.bool_]
    """(tasks, stages): what to run."""
    numbers: NDArray[np.int64]
    """(tasks,): of the commits they will make."""
    keep_rejected: bool

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Task]:
        names = list(self.marks)
        # Only stages that stand on committed layers need to know whose files those are.
        commits = Commits.read(self.store) if self._standing().any() else Commits()
        for place in range(len(self)):
            unit, mine = self.units[int(self.places[place])], np.flatnonzero(self.todo[place])
            todo = {names[stage]: self.marks[names[stage]] for stage in mine}
            done = [name for name in names[: mine[-1]] if name not in todo]
            layers = commits.layers(unit.name) if done else {}
            kept = {name: layers[name] for name in done}
            yield Task(unit, int(self.numbers[place]), todo, kept, self.keep_rejected)

    @property
    def rows(self) -> int:
        """Their rows."""
        return int(self.units.sizes()[self.places].sum())

    @property
    def needed(self) -> set[str]:
        """The stages that any of them runs."""
        used = np.flatnonzero(self.todo.any(axis=0))
        names = list(self.marks)
        return {names[stage] for stage in used}

    def up_to(self, limit: int | None) -> Tasks:
        """The first of them that hold at least `limit` rows: units are never cut."""
        if limit is None:
            return self
        before = np.cumsum(self.units.sizes()[self.places])
        count = int(np.searchsorted(before, limit)) + 1
        parts = {name: getattr(self, name)[:count] for name in ("places", "todo", "numbers")}
        return dataclasses.replace(self, **parts)

    def _standing(self) -> NDArray[np.bool_]:
        """(tasks,): whether a stage before the last one to run is not to be run."""
        later = np.logical_or.accumulate(self.todo[:, ::-1], axis=1)[:, ::-1]
        return np.asarray((later & ~self.todo).any(axis=1))


@dataclass(frozen=True)
class Work:
    """The tasks of a run, and the stages they go through."""

    stages: list[Stage]
    tasks: Tasks
    finished: int
    """Units that need nothing."""


def find_work(
    store: Store,
    recipe: Recipe,
    slices: Sequence[str],
    *,
    redo: bool,
    keep_rejected: bool,
    only: Sequence[str] = (),
) -> Work:
    """Compare the plan with the commits. Nothing is written.

    `only` are the stages of the slices that are wanted, anew if need be; all if there are none.

    Raises:
        UsageError: there is no plan, a lower slice or another stage is missing or stale, or layers
            were made with other settings and `redo` was not said.
    """
    stages, units = recipe.stages(), plan.units(store)
    if not plan.manifests(store):
        raise UsageError(f"{store.root} holds no plan: run `humanverse plan` on a table first")
    marks = fingerprints(stages)
    counted = tally(store, units, marks)
    if TAKEN_DOWN in counted.ends["reason"].unique().to_pylist() and not read_tombstones(store):
        raise DataError(f"rows of {store.root} were taken down, and the list of them is missing")
    mine = named_stages(recipe, slices, only)
    if only or "collect" not in slices:
        _check_below(store, recipe, slices, counted, mine)
    todo = ~counted.current & np.array([name in mine for name in marks])
    if not (redo or only) and (stale := todo & counted.present).any():
        first = stale[stale.any(axis=1)][0]
        other = [name for name, one in zip(marks, first.tolist(), strict=True) if one]
        raise UsageError(
            f"{store.root} holds {', '.join(other)} made with other settings: "
            "use those, another --out, or --redo to make them anew"
        )
    places = np.flatnonzero(todo.any(axis=1))
    numbers = counted.numbers[places]
    tasks = Tasks(store, units, marks, places, todo[places], numbers, keep_rejected)
    return Work(stages, tasks, len(units) - len(tasks))


def named_stages(recipe: Recipe, slices: Sequence[str], only: Sequence[str]) -> set[str]:
    """The stages of some slices, or only those of them that are named.

    Raises:
        UsageError: there is no such stage, or one that was not named stands on one that was.
    """
    there = {stage.name for name in slices for stage in recipe.slice(name)}
    if unknown := set(only) - there:
        known = ", ".join(sorted(there))
        raise UsageError(f"--only {', '.join(sorted(unknown))}: no such stage ({known})")
    stages, standing = recipe.stages(), list[str]()
    for place, stage in enumerate(stages) if only else ():
        if stage.name not in only and {*only, *standing} & set(upstream_of(stages, place)):
            standing.append(stage.name)
    if standing:
        told = " ".join([*only, *standing])
        raise UsageError(f"{', '.join(standing)} would no longer fit: --only {told}")
    return set(only) or there


def asked(
    recipe: Recipe, verb: str, only: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The slices that a verb runs, and the stages of them that alone are wanted.

    Raises:
        UsageError: there is nothing to encode with.
    """
    if verb == "build":
        return SLICES, ()
    if verb == "encode":
        names = tuple(stage.name for stage in recipe.slice("encode"))
        if not names:
            raise UsageError(
                "nothing to encode with: --set latents.weights=DIR or text.weights=DIR "
                "(docs/encoding.md)"
            )
        return ("encode",), only or names
    # What was encoded of a label may have to be made anew with it.
    return ("annotate", "encode") if only else (verb,), only


def groups(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Neighbours of equal resources together: what one worker runs."""
    out: list[list[Stage]] = []
    for stage in stages:
        if out and (not stage.resources or out[-1][0].resources == stage.resources):
            out[-1].append(stage)
        else:
            out.append([stage])
    return out


def _check_below(
    store: Store, recipe: Recipe, slices: Sequence[str], counted: Tally, mine: set[str]
) -> None:
    """Refuse to run stages whose lower ones are not there, or not with this recipe's settings."""
    owners = {stage.name: s for s in SLICES for stage in recipe.slice(s)}
    for at, name in enumerate(stage.name for stage in recipe.stages()):
        owner = owners[name]
        if name in mine or SLICES.index(owner) > SLICES.index(slices[0]):
            continue
        if not counted.present[:, at].all():
            raise UsageError(
                f"{store.root} is not through {owner} yet: run `humanverse {owner}` first"
            )
        if not counted.current[:, at].all():
            raise UsageError(
                f"{store.root} holds {name} made with other settings than this recipe's: "
                f"use those, another --out, or `humanverse {owner} --redo` first"
            )
