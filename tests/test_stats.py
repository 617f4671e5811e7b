"""The ledger answers questions, and what other thresholds would keep."""

import pytest
from shared import HERE, rows_of, url_table

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.filter.people import ChoosePeople
from humanverse.layers.store import Store
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.stats import QUESTIONS, THRESHOLDS, Stats

RECIPE = HERE / "recipes" / "made_up.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats")
    build(RECIPE, [url_table(folder, 200)], folder / "root", settings=Settings("local"))
    return folder / "root"


@pytest.fixture(scope="module")
def stats(root):
    return Stats(Store(root))


def test_outcomes_are_those_of_the_ledger(stats, root):
    rows = humanverse.ledger(root).to_pylist()
    told = stats.ask("outcomes").to_pylist()
    assert sum(row["rows"] for row in told) == len(rows) == 200
    for row in told:
        same = [r for r in rows if all(r[n] == row[n] for n in ("status", "stage", "reason"))]
        assert len(same) == row["rows"]


def test_hosts_and_statuses_tell_how_many_pictures_could_be_had(stats, root):
    (host,) = stats.ask("hosts").to_pylist()
    lost = sum(r["stage"] == "collect" for r in humanverse.ledger(root).to_pylist())
    assert host["host"] == "localhost"
    assert host["had_percent"] == pytest.approx(100 * (200 - lost) / 200, abs=0.01)
    assert host["kept"] == len(rows_of(root))
    assert sum(row["rows"] for row in stats.ask("statuses").to_pylist()) == 200


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_ready_question_has_an_answer(stats, name):
    table = stats.ask(name, limit=3)
    assert 1 <= table.num_rows <= 3
    assert "rows" in table.column_names


def test_what_another_threshold_would_keep_is_what_it_keeps(root, stats, tmp_path):
    # The labels that come after reject nobody, so all that return are kept.
    values = [0.1, 0.2, 0.4]
    told = stats.what_if("person_area", values).to_pylist()
    recipe = load_recipe(RECIPE)
    for value, row in zip(values, told, strict=True):
        other = load_recipe(RECIPE, [f"people.min_area={value}", "select.enabled=false"])
        assert other.name == recipe.name
        build(other, [url_table(tmp_path, 200)], tmp_path / str(value), settings=Settings("local"))
        kept = rows_of(tmp_path / str(value))
        assert row["person_area"] == value
        assert row["kept"] + row["returning"] == len(kept)
        assert row["expected"] == len(kept)
    assert told[0]["returning"] > 0
    assert told[2]["kept"] < told[1]["kept"]


def test_thresholds_are_on_scores_of_the_ledger_and_its_reasons():
    from humanverse import schema

    assert set(THRESHOLDS) <= set(schema.LEDGER)
    assert {t.reason for t in THRESHOLDS.values()} <= set(schema.REASONS)
    assert "people_too_small" in ChoosePeople.reasons


@pytest.mark.parametrize("column", THRESHOLDS)
def test_any_score_can_be_asked_about_even_if_nobody_knows_it(stats, column):
    assert stats.what_if(column, [0.5]).num_rows == 1


def test_questions_of_ones_own_are_sql(stats, root):
    table = stats.sql("SELECT count(*) AS n FROM ledger WHERE status = 'kept'")
    assert table["n"].to_pylist() == [len(rows_of(root))]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("nobody",), "no question nobody: choose of"),
        (("--sql", "SELEC 1"), "syntax error"),
        (("--what-if", "person_area"), "person_area=0.1,0.2"),
        (("--what-if", "width=3"), "no threshold on width"),
    ],
)
def test_what_cannot_be_asked_is_one_line(root, capsys, asked, said):
    assert main(["stats", str(root), *asked]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_terminal_and_programs_are_told(root, capsys):
    assert main(["stats", str(root), "people", "--what-if", "person_area=0.3"]) == 0
    out = capsys.readouterr().out
    assert "pictures by number of people" in out
    assert "other thresholds on person_area" in out
    assert main(["stats", str(root), "people", "--csv"]) == 0
    lines = capsysbinary_lines(capsys)
    assert lines[0].startswith('"person_count","rows"')
    assert len(lines) > 2


def capsysbinary_lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_an_unknown_score_is_a_usage_error(stats):
    with pytest.raises(UsageError, match="choose of person_area"):
        stats.what_if("nothing", [1])
