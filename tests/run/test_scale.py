"""The bookkeeping stays small when the units are many."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE

from humanverse import plan
from humanverse.layers.commit import Commit, File, Layer, publish
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import funnel, keep_recipe
from humanverse.layers.rolled import roll_up, rolled_names
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe, to_json
from humanverse.run import build as verb
from humanverse.run.build import Settings, build
from humanverse.run.work import find_work
from humanverse.stage import fingerprints

SOAK = HERE.parent / "scripts" / "soak.py"
MADE_UP = HERE / "recipes" / "made_up.py"
ALL = ("collect", "filter", "annotate")
SMOOTH = 400
"""Units over which it is watched here: 5,000, and 100,000, are for `make soak`, which also tells of
memory. That of so few units is all warming up."""
GROWTH = 5000
"""Objects per 10,000 units: anything kept of each would be 10,000."""


def table(folder, rows):
    path = folder / f"{rows}.parquet"
    pq.write_table(pa.table({"url": [f"http://h.example/{n}" for n in range(rows)]}), path)
    return path


def planned(folder, rows, *sets):
    """A root with a plan and its recipe."""
    store, recipe = Store(folder / "root"), load_recipe(MADE_UP, sets)
    plan.make_plan(store, [table(folder, rows)], recipe.plan)
    keep_recipe(store, to_json(recipe.resolved()))
    return store, recipe


def commit(unit, marks, number=0, gone=0):
    """A receipt of layers that were never written."""
    file = File("x", "y", 1)
    reasons = {"collect": {"http_gone": gone}} if gone else {}
    told = {name: reasons.get(name, {}) for name in marks}
    layers = {
        name: Layer(mark, unit.rows, unit.rows - sum(told[name].values()), told[name], file)
        for name, mark in marks.items()
    }
    return Commit(unit.name, number, unit.rows, layers)


def test_units_are_the_same_by_place_by_turn_and_all_at_once(tmp_path):
    store, recipe = planned(tmp_path, 103, "plan.unit_rows=4")
    plan.make_plan(store, [table(tmp_path, 210)], recipe.plan)
    units = plan.units(store)
    listed = list(units)
    assert len(units) == len(listed) > 50
    assert [units[n] for n in range(len(units))] == listed == units[:]
    assert units[-1] == listed[-1] and units[5:9] == listed[5:9]
    assert units.names().to_pylist() == [unit.name for unit in listed]
    assert units.sizes().tolist() == [unit.rows for unit in listed]
    with pytest.raises(IndexError):
        units[len(listed)]


def test_a_plan_of_many_units_is_cut_into_files_with_short_footers(tmp_path, monkeypatch):
    whole, _ = planned(tmp_path, 95)
    monkeypatch.setattr(plan.make, "UNITS_PER_FILE", 7)
    (tmp_path / "cut").mkdir()
    cut, _ = planned(tmp_path / "cut", 95)
    assert len(plan.manifests(cut)[0]["parts"]) == 4
    names = [unit.name for unit in plan.units(cut)]
    assert names == [unit.name for unit in plan.units(whole)]
    for one, other in zip(plan.units(cut), plan.units(whole), strict=True):
        assert plan.read_unit(cut, one).equals(plan.read_unit(whole, other))
    assert [finding for finding in verify(cut) if "plan" in finding] == []


def test_work_is_what_the_newest_commits_leave_to_do(tmp_path):
    store, recipe = planned(tmp_path, 400)
    units, marks = plan.units(store), fingerprints(recipe.stages())
    old = marks | {"people": "0" * 16, "labels": "0" * 16}
    for number, unit in enumerate(units):
        if number % 4:
            publish(store, commit(unit, marks if number % 4 == 1 else old))
        if number % 4 == 3:
            publish(store, commit(unit, {n: marks[n] for n in ("people", "labels")}, 1))
        if number == 60:
            roll_up(store)
    work = find_work(store, recipe, ALL, redo=True, keep_rejected=False)
    tasks, commits = list(work.tasks), Commits.read(store)
    assert len(tasks) == len(work.tasks) == 50 and work.finished == 50
    assert work.tasks.rows == sum(task.unit.rows for task in tasks)
    assert work.tasks.needed == set(marks)
    assert [task.unit for task in tasks] == [u for n, u in enumerate(units) if n % 4 in (0, 2)]
    for task in tasks:
        layers = commits.layers(task.unit.name)
        assert task.number == commits.next_number(task.unit.name)
        assert list(task.todo) == [n for n in marks if n not in layers or old[n] != marks[n]]
        assert task.done == {name: layers[name] for name in marks if name not in task.todo}


@pytest.mark.parametrize("limit", [1, 4, 5, 40, 399, 400, 4000, None])
def test_a_limit_takes_the_first_units_that_hold_so_many_rows(tmp_path, limit):
    store, recipe = planned(tmp_path, 397)
    tasks = find_work(store, recipe, ALL, redo=False, keep_rejected=False).tasks
    some, wanted = tasks.up_to(limit), []
    for task in tasks:
        if limit is not None and sum(unit.rows for unit in wanted) >= limit:
            break
        wanted.append(task.unit)
    assert [task.unit for task in some] == wanted
    assert (len(some), some.rows) == (len(wanted), sum(unit.rows for unit in wanted))


def test_the_funnel_counts_by_column_what_it_would_count_by_unit(tmp_path):
    store, recipe = planned(tmp_path, 398)
    marks, draw = fingerprints(recipe.stages()), np.random.default_rng(3)
    counted = {"kept": 0, "pending": 0, "http_gone": 0}
    for unit in plan.units(store):
        gone, kind = int(draw.integers(0, unit.rows + 1)), draw.integers(0, 3)
        stale = marks | {"people": "0" * 16} if kind == 1 else marks
        if kind:
            publish(store, commit(unit, stale, gone=gone))
        counted["http_gone"] += gone * bool(kind)
        counted["kept" if kind == 2 else "pending"] += unit.rows - gone * bool(kind)
    roll_up(store)
    told = funnel(store)
    assert told.kept == counted["kept"] and told.pending == counted["pending"]
    assert told.reasons["collect"] == {"http_gone": counted["http_gone"]}


def test_what_runs_made_and_left_unrolled_is_rolled_up_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(verb, "ROLL_UP_EVERY", 4)
    path, settings, root = table(tmp_path, 60), Settings("local", limit=24), tmp_path / "root"
    build(MADE_UP, [path], root, settings=settings)
    for rolled in rolled_names(Store(root)):  # as if that run had been killed
        Store(root).remove(rolled)
    build(MADE_UP, [path], root, settings=Settings("local"))
    assert sum(int(name.split("/")[2].split(".")[0]) for name in rolled_names(Store(root))) == 15
    assert verify(Store(root)) == []


@pytest.mark.slow
def test_the_driver_keeps_nothing_of_units_that_are_done(tmp_path):
    told = tmp_path / "soak.json"
    program = [sys.executable, str(SOAK), "--units", str(SMOOTH), "--roll-up", "40", "--verify"]
    program += ["--json", str(told)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    grown = next(row["value"] for row in json.loads(told.read_text()) if "objects" in row["name"])
    assert grown < GROWTH


@pytest.mark.slow
def test_a_root_that_is_nearly_done_tells_its_status_and_goes_on(tmp_path):
    told = tmp_path / "soak.json"
    program = [sys.executable, str(SOAK), "--synthetic", "2000", "--json", str(told)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    assert len(json.loads(told.read_text())) == 3
