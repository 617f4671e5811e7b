"""Takedown: what its owners do not want in the dataset goes out of it, and stays out.

In this order, so that the same command ends what broke off: the entries are remembered, the layers
of the units concerned committed without the rows, the shards packed anew, and then whatever file
may still hold the rows is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from humanverse import plan
from humanverse.collect.blocked import Blocklist
from humanverse.errors import DataError, UsageError
from humanverse.layers.commits import Commits, are_current
from humanverse.layers.ledger import recipe_of, stage_marks, stage_names
from humanverse.layers.listed import COLUMNS, LATER, TAKEN_DOWN, Hit, Names, hits
from humanverse.layers.rolled import roll_up
from humanverse.layers.selected import (
    SELECTION,
    Selection,
    begin_takedown,
    end_takedown,
    followers,
    read_selection,
    tidy,
)
from humanverse.layers.store import Store
from humanverse.layers.takedown import former_files, remove_rows, taken_keys
from humanverse.layers.tombstones import add_tombstones, read_tombstones
from humanverse.pack.card import write_card
from humanverse.pack.listing import Shard, caption_so_far, packed_so_far, unlisted_shards
from humanverse.pack.shards import pack, ranges


@dataclass(frozen=True, slots=True)
class TakenDown:
    """What a takedown did, or in a dry run would do."""

    rows: int
    """Taken out of layers."""
    by_kind: dict[str, int]
    """The same by kind of entry; a URL counts as a key, and a row may be named in several ways."""
    waiting: int
    """Rows that are named and not collected yet; they never will be."""
    units: int
    """Committed anew."""
    shards: int
    """Packed anew."""
    freed: int
    """Bytes by which the root became smaller; 0 in a dry run."""
    unmatched: tuple[str, ...]
    """Entries that name no row here, and that no earlier takedown brought."""
    later: int
    """Entries by sha1 or md5, which can be known only while fetching."""


def takedown(root: str | Path, file: str | Path, *, dry_run: bool = False) -> TakenDown:
    """Remove from a root what a list names, and what earlier takedowns named, wherever it lies.

    The same call again ends what broke off. Not while a run writes into the root.

    Args:
        root: the dataset.
        file: a list as `collect.blocklists` takes it.
        dry_run: only tell what would be done.

    Raises:
        UsageError: there is no root, or the list cannot be read; nothing was touched.
        DataError: a file of the root is not what it should be.
    """
    store = Store(root)
    order, given = stage_names(store), Blocklist([file])
    if not given.entries():
        raise UsageError(
            f"{file} names nothing: one entry a line is wanted, such as url, host, key"
        )
    earlier, commits = read_tombstones(store), Commits.read(store)
    names, found = _found(store, {*earlier, *given.entries()}, commits, order)
    shards, freed = _packed_of(store, {hit.unit.name for hit in found if hit.left}), 0
    if not dry_run:
        add_tombstones(store, names.entries())
        begin_takedown(store, set().union(*(hit.all_keys for hit in found)), stage_marks(store))
        freed += _remove(store, found, commits, order)
        end_takedown(store, stage_marks(store))
        freed += _pack(store, found, commits, order)
        freed += _delete(store, found, commits, order)
    later = Names.of(given.entries()).lines(LATER)
    unmatched = set(given.entries()) - names.seen - later - set(earlier)
    return TakenDown(
        rows=sum(len(hit.left) for hit in found),
        by_kind=_by_kind(found),
        waiting=sum(len(h.all_keys) for h in found if not commits.layers(h.unit.name)),
        units=sum(1 for hit in found if hit.left),
        shards=len(shards),
        freed=freed,
        unmatched=tuple(sorted(unmatched)),
        later=len(later),
    )


def _found(
    store: Store, entries: Iterable[str], commits: Commits, order: Sequence[str]
) -> tuple[Names, list[Hit]]:
    """The rows that are named, and the names with the keys of rows known by their pictures alone.

    By its key a row is refused before anything is asked for, whatever its server would send now.
    """
    names = Names.of(entries)
    found = list(hits(store, names, commits, order))
    # What was left out because a row here stands for it is the same picture, and would come up now.
    same = followers(store, set().union(*(hit.all_keys for hit in found)))
    by_picture = {
        f"key {key}"
        for hit in found
        for key in hit.all_keys - hit.keys.get("key", set()) - hit.keys.get("url", set())
    }
    by_picture |= {f"key {key}" for key in same}
    if not by_picture - names.entries():
        return names, found
    seen, names = names.seen, Names.of({*names.entries(), *by_picture})
    if same or plan.read_replaced(store):  # a row that was tried again lies in another unit, too
        found = list(hits(store, names, commits, order))
    names.seen |= seen
    return names, found


def _by_kind(found: Iterable[Hit]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for hit in found:
        by: dict[str, set[str]] = {}
        for column, keys in hit.keys.items():
            by.setdefault(COLUMNS[column], set()).update(keys & hit.left)
        for kind, keys in by.items():
            counts[kind] = counts.get(kind, 0) + len(keys)
    return {kind: number for kind, number in sorted(counts.items()) if number}


def _remove(store: Store, found: Iterable[Hit], commits: Commits, order: Sequence[str]) -> int:
    """Commit the units without the rows; bytes freed, below 0, since the former files are there."""
    written = 0
    for hit in found:
        if hit.left:
            commit = remove_rows(store, hit.unit, commits, hit.left, order)
            written += sum(f.bytes for layer in commit.layers.values() for f in layer.files)
    if _concerned(commits):
        roll_up(store)
    return -written


def _concerned(commits: Commits) -> list[str]:
    """The units of which rows were taken down, now or earlier."""
    return commits.units_with(TAKEN_DOWN)


def _packed_of(store: Store, units: set[str]) -> list[int]:
    """Numbers of the shards that are made of some units."""
    before, size = packed_so_far(store)
    listed = {shard.number for shard in before}
    cut = ranges(plan.units(store), size or _units_per_shard(store))
    return [n for n, members in cut if n in listed and any(u.name in units for u in members)]


def _units_per_shard(store: Store) -> int:
    """For roots packed before shards told it themselves."""
    return int(recipe_of(store)["pack"]["units_per_shard"])


def _pack(store: Store, found: Iterable[Hit], commits: Commits, order: Sequence[str]) -> int:
    """Pack anew what is packed and concerned; bytes freed."""
    before, size = packed_so_far(store)
    # A unit whose layers are damaged is not committed without the rows, but its shard holds them.
    named = {hit.unit.name: hit.all_keys for hit in found if commits.layers(hit.unit.name)}
    if not before or not (named or _concerned(commits)):
        return 0
    size = size or _units_per_shard(store)
    marks = stage_marks(store)
    leave = _standing(store, before, named, commits, order, size)
    after = pack(store, marks, size, leave, caption_so_far(store), _selection(store))
    write_card(store, after)
    return sum(s.tar_bytes for s in before) - sum(s.tar_bytes for s in after)


def _selection(store: Store) -> Selection | None:
    """What the shards were packed by.

    Raises:
        DataError: it is gone, so near-duplicates would come back.
    """
    selection = read_selection(store)
    if selection is None and "select" in recipe_of(store):
        raise DataError(f"{SELECTION} is missing: run `humanverse pack`, then this once more")
    return selection


def _standing(
    store: Store,
    before: Sequence[Shard],
    named: Mapping[str, set[str]],
    commits: Commits,
    order: Sequence[str],
    size: int,
) -> set[int]:
    """Shards that hold nothing taken down, and whose layers are not all there or being made anew.

    Packing would take rows out of those that are for the next `pack` to judge.
    """
    marks, out = stage_marks(store), set()
    shards = {shard.number: shard for shard in before if store.exists(shard.parquet)}
    for number, units in ranges(plan.units(store), size):
        if number not in shards:
            continue
        if all(are_current(commits.layers(unit.name), marks) for unit in units):
            continue
        gone = [taken_keys(store, commits, unit.name, order) for unit in units]
        gone += [named[unit.name] for unit in units if unit.name in named]
        keys = store.read_table(shards[number].parquet, ["key"])["key"].to_pylist()
        if all(taken.isdisjoint(keys) for taken in gone):
            out.add(number)
    return out


def _delete(store: Store, found: Iterable[Hit], commits: Commits, order: Sequence[str]) -> int:
    """Delete the files that still tell of the rows; bytes freed."""
    keys = {hit.unit.name: hit.all_keys for hit in found}
    for unit in _concerned(commits):
        keys[unit] = keys.get(unit, set()) | taken_keys(store, commits, unit, order)
    if not keys:
        return 0
    # Of an attempt that a dead process left nobody can tell what it holds.
    files = [*former_files(store, commits, keys, order), *unlisted_shards(store)]
    files += store.attempts()
    tidy(store, read_selection(store))
    freed = sum(store.size(file) for file in files)
    for file in files:
        store.remove(file)
    _renew_report(store, set().union(*keys.values()))
    return freed


def _renew_report(store: Store, keys: set[str]) -> None:
    """Write the report anew if it shows any of these rows; what it shows no more is deleted."""
    from humanverse.report.page import shown_keys, write_report

    if shown_keys(store) & keys:
        write_report(store)
