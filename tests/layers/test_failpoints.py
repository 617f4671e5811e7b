"""Wherever a run fails, by an error or by a kill, the same command ends with the same dataset."""

import re
from pathlib import Path

import pytest
from shared import HERE, url_table

import humanverse
from humanverse.layers import failpoints
from humanverse.layers.failpoints import POINTS, Armed
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.testing.chaos import Job, contents, fail, passages, run

RECIPE = HERE / "recipes" / "made_up.py"
AT_LEAST = 50
"""Places in which a process is killed, of all there are."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return url_table(tmp_path_factory.mktemp("table"), 7)


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    """How often a run passes each failpoint, and what it makes."""
    job = Job(RECIPE, (table,), str(tmp_path_factory.mktemp("undisturbed")))
    passed = passages(job)
    return passed, contents(job.root)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "kill"])
@pytest.mark.parametrize("point", POINTS)
def test_failing_at_any_passage_of_any_failpoint_changes_nothing_in_the_end(
    point, how, table, undisturbed, tmp_path
):
    passed, wanted = undisturbed
    assert passed[point]
    for number in range(1, passed[point] + 1):
        job = Job(RECIPE, (table,), str(tmp_path / str(number)))
        assert fail(job, Armed(point, number, how)), number
        run(job)
        assert contents(job.root) == wanted, number
        assert verify(Store(job.root)) == []


def test_there_are_enough_places_to_be_killed_at(undisturbed):
    assert undisturbed[0].total() >= AT_LEAST


def test_a_run_that_fails_at_every_other_step_of_its_resumption_too_ends_the_same(
    table, undisturbed, tmp_path
):
    job = Job(RECIPE, (table,), str(tmp_path))
    number = 1
    while fail(job, Armed("synced", number, "raise")):
        number += 1
    assert number > 5
    assert contents(job.root) == undisturbed[1]


def test_every_failpoint_of_the_code_is_listed_and_every_listed_one_is_passed():
    package = Path(humanverse.__file__).parent
    texts = [path.read_text() for path in package.rglob("*.py") if path.stem != "failpoints"]
    used = {name for text in texts for name in re.findall(r'failpoints\.here\("(\w+)"\)', text)}
    assert used == set(POINTS)


def test_a_failpoint_that_is_not_set_does_nothing_and_a_strange_one_is_refused(monkeypatch):
    assert failpoints.here("named") is None
    assert not failpoints.passed
    monkeypatch.setenv(failpoints.VARIABLE, "nowhere:1:kill")
    with pytest.raises(ValueError, match="wanted answered, begun"):
        failpoints._of_environment()
