"""What kills a stage is set aside alone, and nobody else with it."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE

import humanverse
from humanverse.errors import DataError
from humanverse.layers.failpoints import Armed
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.run.judge import Judge
from humanverse.run.suspects import FOLDER, Answers, Suspects
from humanverse.run.unit import apply
from humanverse.testing.chaos import Job, contents, fail, run, survives
from humanverse.testing.deadly import Deadly
from humanverse.testing.stages import is_gone

RECIPE = HERE / "recipes" / "deadly.py"
FATAL = ("crash", "abort", "hang", "eat")
MADE_UP = HERE / "recipes" / "made_up.py"


def urls(number, odd):
    """Addresses, some of them deadly: place to kind."""
    return [f"http://localhost/{n}/{odd.get(n, 'fine')}" for n in range(number)]


def table_of(path, addresses):
    pq.write_table(pa.table({"url": addresses}), path)
    return path


def state(addresses):
    keys = [f"{n:032x}" for n in range(len(addresses))]
    nulls = pa.nulls(len(keys), pa.string())
    columns = {"key": keys, "url": addresses, "reason": nulls, "stage": nulls}
    return pa.table(columns)


@pytest.mark.slow
def test_twenty_deadly_rows_of_four_kinds_among_five_thousand_are_set_aside_alone(tmp_path):
    draw, odd = random.Random(0), {}
    while len(odd) < 20:
        place, kind = draw.randrange(5000), FATAL[len(odd) % 4]
        if not is_gone(urls(place + 1, {place: kind})[place]):
            odd.setdefault(place, kind)
    addresses = urls(5000, odd)
    job = Job(RECIPE, (table_of(tmp_path / "urls.parquet", addresses),), str(tmp_path / "root"))
    died = 0
    while not survives(job):
        died += 1
        assert died <= len(odd)
    assert died > 3
    ledger = humanverse.ledger(job.root)
    rows = zip(ledger["url"].to_pylist(), ledger["reason"].to_pylist(), strict=True)
    gone = {url for url, reason in rows if reason == "poison"}
    assert gone == {address for address in addresses if not address.endswith("fine")}
    assert len(gone) == 20
    assert ledger.num_rows == 5000
    assert verify(Store(job.root)) == []
    assert Store(job.root).names(FOLDER) == []


def test_a_row_at_which_a_stage_raises_is_set_aside_and_its_neighbours_are_answered(tmp_path):
    table = state(urls(100, {3: "fail", 70: "fail"}))
    after = apply(table, Deadly(), Suspects(Store(tmp_path), "00-0000000"))
    assert [n for n, reason in enumerate(after["reason"].to_pylist()) if reason] == [3, 70]
    assert set(after["reason"].to_pylist()) == {None, "poison"}
    assert after["letters"].null_count == 2
    assert Store(tmp_path).names(FOLDER) == []


def test_a_stage_that_raises_at_every_row_is_broken_and_says_so(tmp_path):
    table = state(urls(3, dict.fromkeys(range(3), "fail")))
    with pytest.raises(RuntimeError, match="cannot bear"):
        apply(table, Deadly(), Suspects(Store(tmp_path), "00-0000000"))


def test_a_broken_stage_condemns_nobody_in_the_next_run_either(tmp_path):
    table = state(urls(3, dict.fromkeys(range(3), "fail")))
    suspects = Suspects(Store(tmp_path), "00-0000000")
    with pytest.raises(RuntimeError):
        apply(table, Deadly(), suspects)
    with pytest.raises(DataError, match="each of 3 rows of unit 00-0000000"):
        apply(table, Deadly(), suspects)


def test_whom_a_kill_by_chance_makes_suspect_is_acquitted(tmp_path):
    suspects = Suspects(Store(tmp_path), "00-0000000")
    table = state(urls(6, {4: "crash"}))
    with suspects.noted(Deadly(), table.slice(0, 3)):
        pass  # as if it had died there
    safe = table.slice(0, 4)
    answers = pa.concat_tables(Answers(Deadly(), suspects)(safe.select(["key", "url"])))
    assert answers.num_rows == 4
    assert answers["reason"].null_count == 4
    assert answers.sort_by("key")["letters"].to_pylist() == [len(u) for u in urls(4, {})]


def test_a_child_judges_each_row_by_itself():
    table = state(urls(5, {1: "crash", 3: "hang"})).select(["key", "url"])
    with Judge(Deadly(), 4.0) as judge:
        answers = [judge.answer(table.slice(n, 1)) for n in range(5)]
    assert [answer is None for answer in answers] == [False, True, False, True, False]
    assert [answers[n]["letters"].to_pylist() for n in (0, 2, 4)] == [[23], [23], [23]]


def test_notes_are_left_by_the_dead_alone(tmp_path):
    table = table_of(tmp_path / "t.parquet", urls(9, {}))
    job = Job(RECIPE, (table,), str(tmp_path / "root"))
    assert fail(job, Armed("answered", 2, "kill"))
    run(job)
    assert Store(job.root).names(FOLDER) == []
    whole = Job(RECIPE, (table,), str(tmp_path / "whole"))
    run(whole)
    assert contents(job.root) == contents(whole.root)


def test_a_stage_that_dies_of_every_row_condemns_none_but_says_that_it_does_not_run(tmp_path):
    suspects = Suspects(Store(tmp_path), "00-0000000")
    table = state(urls(9, dict.fromkeys(range(9), "crash"))).select(["key", "url"])
    with suspects.noted(Deadly(), table):
        pass  # as if it had died there
    with pytest.raises(DataError, match="died of each of 9 rows"):
        list(Answers(Deadly(), suspects)(table))
