"""The verb on small tables: what it tells is what a whole build then does, and what it refuses."""

import json
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE, url_table

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.estimate import thin
from humanverse.estimate.sample import take_sample
from humanverse.estimate.thin import thinned
from humanverse.estimate.whole import Machines, Prices, whole
from humanverse.keys import url_key
from humanverse.plan import Plan
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, Watcher, build
from humanverse.simulate.cluster import START

RECIPE = HERE / "recipes" / "made_up.py"


def run(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def told(capsys, *arguments):
    assert run("estimate", RECIPE, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return url_table(tmp_path_factory.mktemp("estimate"), 120)


@pytest.fixture(scope="module")
def sample(table, tmp_path_factory):
    root = tmp_path_factory.mktemp("estimate") / "root"
    return take_sample(load_recipe(RECIPE), [table], root, 10, 0, Watcher())


def test_of_all_units_the_estimate_is_what_a_build_does(table, tmp_path, capsys):
    said = told(capsys, "--input", table, "--units", 1000)
    recipe = load_recipe(RECIPE, ["select.enabled=false"])
    done = build(recipe, [table], tmp_path / "root", settings=Settings("local"))
    kept = said["kept"]
    assert kept["value"] == kept["low"] == kept["high"] == pytest.approx(done.funnel.kept)
    assert (said["rows"], said["planned"], said["units"]) == (120, 120, 30)
    reasons = {}
    for counter in done.funnel.reasons.values():
        reasons |= counter
    assert {name: round(of["value"]) for name, of in said["ends"].items()} == reasons
    layers = sum(f.stat().st_size for f in (tmp_path / "root" / "labels").iterdir())
    assert said["bytes"]["labels"]["value"] == pytest.approx(layers)


def test_a_seed_draws_the_same_units_and_another_one_others(table, capsys):
    same = [told(capsys, "--input", table, "--units", 6, "--seed", 5)["kept"] for _ in range(2)]
    other = [told(capsys, "--input", table, "--units", 6, "--seed", s)["kept"] for s in (6, 7)]
    assert same[0] == same[1]
    assert same[0] not in other or other[0] != other[1]


def test_hours_sizes_and_costs_belong_together(sample):
    whole_table = whole(sample, Prices(cpu_hour=2.0, gpu_hour=5.0, gb_month=0.5), None)
    hours = sum(one.cpu_hours.value for one in whole_table.needed)
    assert hours > 0
    assert whole_table.cost["CPUs"].value == pytest.approx(2 * hours)
    assert whole_table.cost["GPUs"].value == 0
    sizes = sum(size.value for size in whole_table.bytes.values())
    assert whole_table.cost["disk, a month"].value == pytest.approx(sizes / 1e9 * 0.5)
    assert {one.stage for one in whole_table.needed} == {
        "collect", "detect", "people", "labels", "commit",
    }  # fmt: skip
    assert whole(sample, Prices(), None).cost == {}


def test_what_a_build_tells_has_bounds_on_both_sides(sample):
    told = whole(sample, Prices(), Machines(2, 4))
    for figure in (told.kept, told.here.seconds, told.there.seconds, *told.bytes.values()):
        assert 0 <= figure.low <= figure.value <= figure.high
    assert told.there.seconds.value > START
    assert sum(told.there.workers.values()) <= 8


def test_more_nodes_never_take_longer(sample):
    times = [whole(sample, Prices(), Machines(n, 4)).there.seconds.value for n in (1, 2, 8)]
    assert times == sorted(times, reverse=True)


def test_it_shows_a_table_and_says_what_is_not_known(table, capsys):
    prices = ("--cpu-hour", 0.05, "--gb-month", 0.02, "--nodes", 2, "--cpus", 4)
    assert run("estimate", RECIPE, "--input", table, "--units", 5, *prices) == 0
    out = capsys.readouterr().out
    assert "5 of 30 units were built" in out
    for line in ("kept", "shards", "labels, CPU", "on the cluster", "disk, a month"):
        assert line in out
    assert "near-duplicates, which the recipe leaves out, are still among the kept" in out


def test_of_nothing_kept_it_tells_the_most_that_there_may_be(table, capsys):
    nobody = ("--input", table, "--units", 5, "--set", "people.min_area=1.0")
    said = told(capsys, *nobody)
    assert said["kept"]["value"] == 0
    assert said["share"]["high"] == pytest.approx(3 / 20)
    assert run("estimate", RECIPE, *nobody) == 0
    assert "none of the rows drawn was kept" in capsys.readouterr().out


def test_what_was_built_is_kept_where_it_is_asked_for(table, tmp_path, capsys):
    root = tmp_path / "kept"
    assert run("estimate", RECIPE, "--input", table, "--units", 5, "--keep", root) == 0
    states = humanverse.ledger(root)["status"].to_pylist()
    assert states.count("pending") == 100
    assert run("verify", root) == 0
    capsys.readouterr()
    assert run("estimate", RECIPE, "--input", table, "--keep", root) == 2
    assert "holds something" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--units", 1), "two of them"),
        (("--cpu-hour", -1), "--cpu-hour"),
        (("--cpu-hour", "nan"), "--cpu-hour"),
        (("--nodes", 3), "--cpus"),
        (("--cpus", 0), "--cpus"),
        (("--seed", -1), "--seed"),
        (("--set", "people.nothing=1"), "nothing"),
        (("--set", "plan.min_faces=1"), "no row"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_a_line(arguments, said, tmp_path, capsys):
    path = tmp_path / "urls.parquet"
    rows = {"url": [f"http://localhost/{n}.jpg" for n in range(20)], "num_faces": [0] * 20}
    pq.write_table(pa.table(rows), path)
    assert run("estimate", RECIPE, "--input", path, *arguments) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert len(err) == 1
    assert said in err[0]


def test_an_input_that_is_missing_is_refused(tmp_path, capsys):
    assert run("estimate", RECIPE, "--input", tmp_path / "none.parquet") == 2
    assert "no such input" in capsys.readouterr().err


def test_a_large_table_loses_whole_keys_and_no_copies_of_those_that_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "WANTED", 50)
    urls = [f"http://h/{n % 700}.jpg" for n in range(1400)] + [None, "no url"] * 50
    random.Random(0).shuffle(urls)
    (tmp_path / "x").mkdir()
    pq.write_table(pa.table({"url": urls[:800], "text": ["it's"] * 800}), tmp_path / "a.parquet")
    lines = "".join(f"{url or ''},t\n" for url in urls[800:])
    (tmp_path / "b.csv").write_text("url,text\n" + lines)
    inputs = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    left = thinned(inputs, Plan(), 0, tmp_path / "x")
    assert (left.rows, left.part) == (1500, 1 / 16)
    found = [
        url
        for path in left.inputs
        for (url,) in duckdb.sql(f"SELECT url FROM '{path}' WHERE url LIKE 'http%'").fetchall()
    ]
    prefixes = {url_key(url)[0] for url in found}
    assert len(prefixes) == 1
    whole_of_it = [u for u in urls if u and u.startswith("http") and url_key(u)[0] in prefixes]
    assert sorted(found) == sorted(whole_of_it)


def test_a_thinned_table_tells_of_the_whole_one(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "WANTED", 100)
    path = tmp_path / "urls.parquet"
    urls = [f"http://localhost/{n % 1800}.jpg" for n in range(2000)]
    pq.write_table(pa.table({"url": urls}), path)
    sample = take_sample(load_recipe(RECIPE), [path], tmp_path / "root", 4, 0, Watcher())
    assert (sample.rows, sample.part) == (2000, 1 / 16)
    assert 1200 < sample.planned < 2400
    assert sample.units == pytest.approx(sample.planned / 4, rel=0.1)


def test_images_at_hand_are_planned_as_they_are(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert thinned([tmp_path], Plan(), 0, tmp_path).part == 1
    with pytest.raises(UsageError, match="no such input"):
        thinned([tmp_path / "none"], Plan(), 0, tmp_path)
