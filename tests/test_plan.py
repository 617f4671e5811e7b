"""A plan accounts for every row of its inputs once, and cuts units that do not change."""

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import HERE, url_table

from humanverse import plan
from humanverse.errors import DataError, UsageError
from humanverse.keys import url_key
from humanverse.layers.store import Store
from humanverse.plan import Plan, make, make_plan

URLS = st.lists(
    st.one_of(
        st.integers(0, 30).map(lambda n: f"http://host{n % 3}.example/{n}.jpg"),
        st.integers(0, 5).map(lambda n: f"HTTP://HOST{n % 3}.example:80/{n}.jpg#x"),
        st.sampled_from([None, "", "no address", "ftp://host/x"]),
    ),
    min_size=1,
    max_size=60,
)


def table(path, urls, **columns):
    pq.write_table(pa.table({"url": pa.array(urls, pa.string())} | columns), path)
    return path


def planned(store):
    return pa.concat_tables([plan.read_unit(store, u) for u in plan.units(store)]).to_pylist()


def unplanned(store):
    return [row for _, t in plan.read_unplanned(store) for row in t.to_pylist()]


@settings(max_examples=25, deadline=None)
@given(URLS, st.integers(1, 9))
def test_every_row_is_planned_or_written_down_once(urls, unit_rows):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        make_plan(store, [table(Path(folder) / "t.parquet", urls)], Plan(unit_rows=unit_rows))
        here = planned(store) if plan.units(store) else []
        rows = sorted(row["row"] for row in here + unplanned(store))
        assert rows == list(range(len(urls)))
        keys = [row["key"] for row in here]
        assert keys == sorted(set(keys))
        assert set(keys) == {url_key(url) for url in urls if url and url_key(url)}
        assert all(unit.rows <= unit_rows for unit in plan.units(store))


@settings(max_examples=10, deadline=None)
@given(URLS, URLS)
def test_a_later_table_adds_only_what_is_new(first, second):
    with tempfile.TemporaryDirectory() as folder:
        store, settings_ = Store(folder), Plan(unit_rows=5)
        make_plan(store, [table(Path(folder) / "a.parquet", first)], settings_)
        before = list(plan.units(store))
        made = make_plan(store, [table(Path(folder) / "b.parquet", second)], settings_)
        if first != second:
            assert made["rows"] == len(second)
        assert plan.units(store)[: len(before)] == before
        everything = (planned(store) if plan.units(store) else []) + unplanned(store)
        assert len(everything) == sum(m["rows"] for m in plan.manifests(store))
        keys = [row["key"] for row in planned(store)] if plan.units(store) else []
        assert len(keys) == len(set(keys))


def test_the_first_of_equal_rows_is_the_one_planned(tmp_path):
    store = Store(tmp_path)
    make_plan(
        store, [table(tmp_path / "t.parquet", ["http://a/x", "http://b/y", "http://a/x"])], Plan()
    )
    assert {row["row"] for row in planned(store)} == {0, 1}
    assert [(row["row"], row["reason"]) for row in unplanned(store)] == [(2, "duplicate")]


def test_the_same_input_again_plans_nothing(tmp_path):
    store, path = Store(tmp_path), table(tmp_path / "t.parquet", ["http://a/x"])
    assert make_plan(store, [path], Plan()) is not None
    assert make_plan(store, [path], Plan()) is None


def test_units_do_not_depend_on_the_order_of_rows(tmp_path):
    urls = [f"http://h/{n}" for n in range(50)]
    stores = []
    for name, order in (("a", urls), ("b", urls[::-1])):
        stores.append(Store(tmp_path / name))
        (tmp_path / name).mkdir()
        make_plan(stores[-1], [table(tmp_path / f"{name}.parquet", order)], Plan(unit_rows=8))
    first, second = ([row["url"] for row in planned(store)] for store in stores)
    assert first == second


@pytest.mark.parametrize("kind", ["csv", "jsonl", "tsv"])
def test_text_tables_keep_their_row_numbers(tmp_path, kind):
    urls = [f"http://h/{n}.jpg" for n in range(3000)]
    path = tmp_path / f"t.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"url": url, "text": "a\nb"}) + "\n" for url in urls))
    else:
        with path.open("w", newline="") as f:
            writer = csv.writer(f, delimiter="," if kind == "csv" else "\t")
            writer.writerows([["url", "text"], *([url, 'a "quoted", text'] for url in urls)])
    store = Store(tmp_path / "root")
    make_plan(store, [path], Plan(unit_rows=1000))
    assert {row["row"]: row["url"] for row in planned(store)} == dict(enumerate(urls))


def test_what_the_table_claims_can_bar_a_row(tmp_path):
    path = table(
        tmp_path / "t.parquet",
        [f"http://h/{n}" for n in range(4)],
        punsafe=[0.1, 0.9, None, 0.1],
        width=[100, 900, None, 900],
        height=[900, 900, None, 900],
        pwatermark=[0.0, 0.0, None, 0.95],
    )
    store = Store(tmp_path / "root")
    make_plan(store, [path], Plan(max_punsafe=0.5, min_side=200, max_pwatermark=0.8))
    found = {row["row"]: row["reason"] for row in unplanned(store)}
    assert found == {0: "hint_small", 1: "hint_unsafe", 3: "hint_watermark"}
    assert [row["row"] for row in planned(store)] == [2]


@pytest.mark.parametrize(
    ("columns", "source"),
    [
        (
            ["SAMPLE_ID", "URL", "TEXT", "HEIGHT", "WIDTH", "LICENSE", "NSFW", "similarity"],
            "laion400m",
        ),
        (
            [
                "url",
                "caption",
                "similarity",
                "hash",
                "punsafe",
                "pwatermark",
                "key",
                "status",
                "md5",
            ],
            "relaion2b_en",
        ),
        (
            ["id", "url", "text", "image_phash", "num_faces", "clip_similarity_vitl14"],
            "coyo700m",
        ),
        (["image_url", "alt"], "table"),
    ],
)
def test_published_tables_are_recognised(tmp_path, columns, source):
    path = tmp_path / "t.parquet"
    address = {"url", "URL", "image_url"}
    pq.write_table(pa.table({c: ["http://h/x" if c in address else "0"] for c in columns}), path)
    store = Store(tmp_path / "root")
    make_plan(store, [path], Plan())
    assert planned(store)[0]["source"] == source


def test_the_withdrawn_table_needs_an_explicit_word(tmp_path):
    columns = {
        c: ["http://h/x"] for c in ("URL", "TEXT", "WIDTH", "HEIGHT", "punsafe", "pwatermark")
    }
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UsageError, match="withdrawn"):
        make_plan(Store(tmp_path / "root"), [path], Plan())
    assert not (tmp_path / "root").exists()
    assert make_plan(Store(tmp_path / "root"), [path], Plan(allow_withdrawn=True))["rows"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "no such input"),
        (lambda p: table(p, []), "no rows"),
        (
            lambda p: pq.write_table(pa.table({"address": ["x"], "b": [1]}), p),
            "found address, b; wanted",
        ),
        (lambda p: p.write_bytes(b"PAR1 no table"), "cannot be read"),
        (lambda p: p.mkdir(), "holds no images"),
    ],
)
def test_an_input_that_cannot_be_planned_says_why_and_leaves_no_trace(tmp_path, make, message):
    make(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=message):
        make_plan(Store(tmp_path / "root"), [tmp_path / "t.parquet"], Plan())
    assert not (tmp_path / "root").exists()


def test_names_with_quotes_and_wildcards_are_only_names(tmp_path):
    root = tmp_path / 'it\'s [a] "root" *'
    for name in ("it's.parquet", "a*b[1].parquet", "plain; DROP TABLE x.parquet"):
        table(tmp_path / name, [f"http://h/{name}/{n}" for n in range(3)])
        assert make_plan(Store(root), [tmp_path / name], Plan())["rows"] == 3
    columns = {"url": ["http://h/x"], 'te"xt': ["a"], "alt": ["it's"]}
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    make_plan(Store(root), [tmp_path / "odd.parquet"], Plan())
    rows = planned(Store(root))
    assert len(rows) == 10
    assert {row["file"] for row in rows} >= {"it's.parquet", "a*b[1].parquet", "odd.parquet"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "source", "rows"),
    [
        ("coyo700m_readme_rows", "coyo700m", 6),
        ("laion400m_sample_rows", "laion400m", 19),
        ("test_1000", "table", 1000),
    ],
)
def test_real_rows_are_planned(tmp_path, real, name, source, rows):
    store = Store(tmp_path)
    assert make_plan(store, [real / "metadata" / f"{name}.parquet"], Plan())["rows"] == rows
    assert {row["source"] for row in planned(store)} == {source}


def test_two_plans_made_at_once_do_not_write_over_each_other(tmp_path, monkeypatch):
    store = Store(tmp_path / "root")
    first = table(tmp_path / "a.parquet", ["http://a/x", "http://a/y"])
    second = table(tmp_path / "b.parquet", ["http://b/x", "http://b/y"])
    cut = make._cut

    def slow(*arguments):
        monkeypatch.setattr(make, "_cut", cut)
        make_plan(store, [second], Plan())
        return cut(*arguments)

    monkeypatch.setattr(make, "_cut", slow)
    with pytest.raises(DataError, match="another plan"):
        make_plan(store, [first], Plan())
    assert {row["file"] for row in planned(store)} == {"b.parquet"}
    make_plan(store, [first], Plan())
    assert len(planned(store)) == 4


def test_what_a_table_does_not_say_bars_nothing_nan_neither(tmp_path):
    nan = pa.array([float("nan")], pa.float32())
    path = table(tmp_path / "t.parquet", ["http://a/x"], punsafe=nan, pwatermark=nan)
    make_plan(Store(tmp_path / "root"), [path], Plan(max_pwatermark=0.5))
    assert planned(Store(tmp_path / "root"))[0]["punsafe"] is None


def test_other_bounds_for_a_planned_input_are_refused(tmp_path):
    store, path = Store(tmp_path / "root"), table(tmp_path / "t.parquet", ["http://a/x"])
    make_plan(store, [path], Plan())
    with pytest.raises(UsageError, match="other plan settings"):
        make_plan(store, [path], Plan(min_side=300))


def test_a_root_inside_its_input_is_refused(tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"picture")
    with pytest.raises(UsageError, match="lies in the input"):
        make_plan(Store(tmp_path / "root"), [tmp_path], Plan())


def test_captions_of_a_csv_stay_text_and_odd_numbers_late_in_it_do_no_harm(tmp_path):
    lines = [f"http://a/{n},007,{n}" for n in range(30_000)]
    text = "\n".join(["url,caption,width", *lines, "http://a/last,8,wide"])
    (tmp_path / "t.csv").write_text(text)
    store = Store(tmp_path / "root")
    make_plan(store, [tmp_path / "t.csv"], Plan())
    rows = {row["row"]: row for row in planned(store)}
    assert rows[0]["caption"] == "007"
    assert rows[5]["width_hint"] == 5
    assert rows[30_000]["width_hint"] is None


def test_generations_beyond_a_hundred_leave_the_units_of_earlier_ones_as_they_are(tmp_path):
    store, known = Store(tmp_path / "root"), {}
    for number in range(102):
        table = tmp_path / f"{number}.csv"
        table.write_text(f"url\nhttp://h/{number}\n")
        make_plan(store, [table], Plan())
        units = {unit.name: unit.file for unit in plan.units(store)}
        assert units.items() >= known.items()
        known = units
    assert len(known) == 102


def test_a_value_that_is_no_text_leaves_the_other_urls_of_json_lines_as_they_are(tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text('{"url": "http://h/1", "caption": "a"}\n{"url": 5, "caption": {"b": "c"}}\n')
    store = Store(tmp_path / "root")
    made = make_plan(store, [table], Plan())
    assert made["unplanned"] == 1
    assert plan.read_unit(store, plan.units(store)[0])["url"].to_pylist() == ["http://h/1"]


def test_a_disk_that_takes_no_more_is_named_and_not_the_table(tmp_path):
    table = url_table(tmp_path, 20_000)

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    command = [sys.executable, "-m", "humanverse", "plan", str(HERE / "recipes" / "made_up.py")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "root"), "--input", str(table)],
        preexec_fn=little_room,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # it would leave modules cut short
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("; the same command goes on from here\n")
    assert "File too large" in done.stderr
    assert table.name not in done.stderr
