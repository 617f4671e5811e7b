"""A build: the recipe's slices over the plan's units, then the shards."""

from __future__ import annotations

import dataclasses
import importlib.util
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from humanverse import plan
from humanverse.errors import UsageError
from humanverse.layers import ledger
from humanverse.layers.commit import Commit
from humanverse.layers.rolled import roll_up
from humanverse.layers.selected import Selection, discard
from humanverse.layers.store import Store
from humanverse.layers.tombstones import read_tombstones, told_of
from humanverse.pack.card import write_card
from humanverse.pack.listing import Shard
from humanverse.pack.shards import pack
from humanverse.recipe import SLICES, Recipe, load_recipe, to_json
from humanverse.run.local import run_local
from humanverse.run.place import Places
from humanverse.run.retry import named, retry
from humanverse.run.work import Tasks, Work, find_work, named_stages
from humanverse.select.make import select
from humanverse.stage import Stage, fingerprints, unopened

Runner = Literal["local", "ray", "auto"]

SMALL = 20_000
"""Rows up to which `auto` takes the local runner: Ray alone needs 12 to 19 seconds to start."""
ROLL_UP_EVERY = 1000
"""Commits after which they are rolled up."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run, apart from what the recipe says."""

    runner: Runner = "auto"
    limit: int | None = None
    """Stop after so many rows, rounded up to whole units."""
    redo: bool = False
    """Make layers anew that were made with other settings."""
    keep_rejected: bool = False
    """Keep the bytes of rejected pictures too."""
    retry: str = ""
    """Try again what ended for these reasons: `transient`, or names with commas between them."""
    only: tuple[str, ...] = ()
    """Of the slices run, these stages alone, anew where their settings are others now."""
    place: Places = field(default_factory=dict)
    """On a cluster: which workers run on nodes with which resource; see `humanverse.run.place`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    funnel: ledger.Funnel
    shards: list[Shard]
    done: int
    """Units committed by this run."""
    left: int
    """Units that still need work of these slices."""


class Watcher:
    """What a run tells while it goes; silent unless overridden."""

    def says(self, message: str) -> None:
        """A line for the user."""

    def starts(self, units: int, rows: int) -> None:
        """Work begins on so many units and rows."""

    def commits(self, commit: Commit) -> None:
        """A unit was committed."""

    def ends(self) -> None:
        """The work is over, or broke off."""


def build(
    recipe: Recipe | str | Path,
    inputs: str | Path | Sequence[str | Path] = (),
    out: str | Path = "humanverse-out",
    *,
    slices: Sequence[str] = SLICES,
    packed: bool = True,
    settings: Settings | None = None,
    watcher: Watcher | None = None,
) -> Outcome:
    """Plan new inputs, run the slices over every unit that needs them, pack what is complete.

    The same call resumes. Nothing is written before the recipe, the inputs and the root's own
    layers are known to fit together.

    Args:
        recipe: a recipe, or the file of one.
        inputs: tables or images to plan; none to go on with what is planned.
        out: the root.
        slices: which of collect, filter, annotate and encode to run. All together stream: a unit
            goes through all of them and the bytes of rejected pictures are not kept.
        packed: whether to pack afterwards.
        settings: runner, limit and the like.
        watcher: told of progress.

    Raises:
        UsageError: recipe, inputs and root do not fit together; nothing was touched.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    settings, watcher = settings or Settings(), watcher or Watcher()
    store = Store(out)
    work = prepare(store, recipe, inputs, slices, settings, watcher)
    tasks = work.tasks.up_to(settings.limit)
    for note in _notes(work.stages, tasks.needed):
        watcher.says(note)
    if tasks:
        watcher.starts(len(tasks), tasks.rows)
    done, rolled = 0, _Rolled(store)
    with _interruptible(watcher) as interrupted, ExitStack() as stack:
        stack.callback(watcher.ends)
        for commit in _run(store, tasks, work.stages, settings, watcher):
            watcher.commits(commit)
            done += 1
            rolled.add(commit)
            if interrupted():
                watcher.says("stopped as asked; the same command goes on from here")
                break
    rolled.end()
    left = len(work.tasks) - done
    # Half of the units with other labels are no dataset: what is packed stays until all have them.
    waits = bool(settings.only) and left > 0
    shards = pack_root(store, recipe) if packed and not waits else []
    return Outcome(ledger.funnel(store), shards, done, left)


def prepare(
    store: Store,
    recipe: Recipe,
    inputs: Sequence[str | Path],
    slices: Sequence[str],
    settings: Settings,
    watcher: Watcher,
) -> Work:
    """Check everything, then plan what is new and write the recipe beside the data."""
    resolved, entries = recipe.resolved(), read_tombstones(store)
    if SLICES[0] in slices:
        told_of(recipe.stages(), entries)  # refuses a recipe that would bring it all back

    def find() -> Work:
        return find_work(
            store,
            recipe,
            slices,
            redo=settings.redo,
            keep_rejected=_keeps(slices, settings),
            only=settings.only,
        )

    mine = named_stages(recipe, slices, settings.only)
    for stage in unopened(recipe.stages()):
        checks = ["check"] + ["check_online"] * plan.asks_web(store, map(plan.input_at, inputs))
        for name in checks if stage.name in mine else ():
            if check := getattr(stage, name, None):
                check()
    # Refuses a root made with other settings before anything new is planned.
    work = find() if plan.manifests(store) else None
    again = _wanted(store, settings.retry)
    if inputs:
        started = time.monotonic()
        made = plan.make_plan(store, [*map(plan.input_at, inputs)], recipe.plan)
        if made:
            seconds = time.monotonic() - started
            watcher.says(f"planned {made['rows']} rows in {seconds:.1f} s")
            work = None
    if again:
        rows = retry(store, again, recipe.plan.unit_rows)
        watcher.says(f"planned {rows} rows again" if rows else f"no row ended for {settings.retry}")
        work = None
    work = work or find()
    store.prepare()
    ledger.keep_recipe(store, to_json(resolved))
    if SLICES[0] in slices:
        work = dataclasses.replace(work, stages=told_of(work.stages, entries))
    return work


def _wanted(store: Store, reasons: str) -> set[str]:
    """What is to be tried again, judged before anything new is planned."""
    if not reasons:
        return set()
    if not plan.manifests(store) or not store.exists(ledger.RECIPE):
        raise UsageError(f"{store.root} holds no outcomes yet: nothing can be tried again")
    return named(store, reasons)


def pack_root(store: Store, recipe: Recipe) -> list[Shard]:
    """Select among the rows of all complete units, pack those that stay and write the card.

    Raises:
        UsageError: there is no plan, or the root was made with other settings.
    """
    marks, how = _marks(store, recipe), recipe.pack
    _tell(store, recipe, "select", "pack")
    selection = None
    if recipe.select.enabled:
        selection = select(store, recipe.select, marks)
    else:
        discard(store)
    shards = pack(store, marks, how.units_per_shard, caption=how.caption, selection=selection)
    write_card(store, shards)
    return shards


def select_root(store: Store, recipe: Recipe) -> Selection:
    """Select among the rows of all complete units, without packing.

    Raises:
        UsageError: there is no plan, the root was made with other settings, or the recipe selects
            nothing.
    """
    if not recipe.select.enabled:
        raise UsageError(
            "this recipe selects nothing: give it select=Select(), or --set select.enabled=true"
        )
    marks = _marks(store, recipe)
    _tell(store, recipe, "select")
    return select(store, recipe.select, marks)


def _marks(store: Store, recipe: Recipe) -> dict[str, str]:
    """The recipe's stages with their fingerprints, which are the root's own.

    With others no layer would be current: an empty selection and no shards, in place of what is
    there.

    Raises:
        UsageError: there is no plan, or the root was made with other settings.
    """
    if not plan.manifests(store):
        raise UsageError(f"{store.root} holds no plan: run `humanverse plan` on a table first")
    marks, theirs = fingerprints(recipe.stages()), ledger.stage_marks(store)
    names = [*marks, *(name for name in theirs if name not in marks)]
    if other := [name for name in names if marks.get(name) != theirs.get(name)]:
        raise UsageError(
            f"{store.root} was made with other settings of {', '.join(other)}: use those, or "
            "`humanverse build --redo` with these first"
        )
    return marks


def _tell(store: Store, recipe: Recipe, *sections: str) -> None:
    """Put these sections into the root's recipe, if they are others: status and card tell them."""
    now, resolved = ledger.recipe_of(store), recipe.resolved()
    mine = {name: resolved[name] for name in sections if name in resolved}
    told = {name: value for name, value in now.items() if name not in sections} | mine
    if to_json(told) != to_json(now):
        ledger.keep_recipe(store, to_json(told))


def _notes(stages: Sequence[Stage], needed: set[str]) -> Iterator[str]:
    for stage in stages:
        if stage.name in needed:
            yield from getattr(stage, "notes", tuple)()


def _keeps(slices: Sequence[str], settings: Settings) -> bool:
    """A slice alone must leave its bytes for the next; the whole stream need not."""
    return settings.keep_rejected or tuple(slices) != SLICES


class _Rolled:
    """Rolls up what a run commits, as it goes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fresh: list[Commit] = []
        self._knows_all = False

    def add(self, commit: Commit) -> None:
        self._fresh.append(commit)
        if len(self._fresh) >= ROLL_UP_EVERY:
            self.end()

    def end(self) -> None:
        """Also with what a run before this one left out, once."""
        if self._fresh:
            roll_up(self._store, self._fresh if self._knows_all else None)
            self._fresh, self._knows_all = [], True


def _run(
    store: Store, tasks: Tasks, stages: Sequence[Stage], settings: Settings, watcher: Watcher
) -> Iterator[Commit]:
    rows, runner = tasks.rows, settings.runner
    if not tasks:
        watcher.says("nothing to do: every unit is committed")
        return iter(())
    chosen = runner
    if runner == "auto":
        large = rows > SMALL or settings.place
        chosen = "ray" if large and importlib.util.find_spec("ray") else "local"
    why = f" (auto: {rows} rows)" if runner == "auto" else ""
    watcher.says(f"runner: {chosen}{why}")
    if chosen == "local":
        return run_local(store, tasks, stages, tasks.needed)
    from humanverse.run.ray import run_ray

    return run_ray(store, tasks, stages, tasks.needed, settings.place)


@contextmanager
def _interruptible(watcher: Watcher) -> Iterator[Callable[[], bool]]:
    """SIGTERM asks for a stop after the unit at hand; a second one for a stop now."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(*_: object) -> None:
        if asked.is_set():  # the unit at hand may take long: who asks twice means it
            raise KeyboardInterrupt
        asked.set()
        watcher.says("stopping after the unit at hand; asked again, at once")

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
