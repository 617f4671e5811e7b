"""What a user types, and what comes back: an exit code and lines that say what to do."""

import json
import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import RECIPE, everything

import humanverse
from humanverse.cli import main
from humanverse.models import store as models


def run(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(scope="module")
def root(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "root"
    assert run("build", RECIPE, "--input", web.table, "--out", root) == 0
    return root


def test_a_build_tells_the_runner_it_took_and_shows_the_funnel(web, tmp_path, capsys):
    assert run("build", RECIPE, "--input", web.table, "--out", tmp_path / "r") == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in err.splitlines()]
    assert any("runner: local (auto" in e.get("message", "") for e in events)
    assert sum(e["rows"] for e in events if e["event"] == "commit") == len(web.rows)
    kept = humanverse.ledger(tmp_path / "r")["status"].to_pylist().count("kept")
    assert f"packed {kept} samples" in out
    assert "no_person" in out


def test_the_stages_one_by_one(web, tmp_path, root, capsys):
    out = tmp_path / "r"
    assert run("plan", RECIPE, "--input", web.table, "--out", out) == 0
    assert run("status", out) == 0
    assert re.search(rf"pending +{len(web.rows)}\b", capsys.readouterr().out)
    for verb in ("collect", "filter", "annotate", "pack"):
        assert run(verb, RECIPE, "--out", out) == 0
    assert run("verify", out) == 0
    assert (out / "shards" / "00000.tar").read_bytes() == (
        root / "shards" / "00000.tar"
    ).read_bytes()


def test_a_limit_ends_well_and_says_what_is_left(web, tmp_path, capsys):
    assert run("build", RECIPE, "--input", web.table, "--out", tmp_path, "--limit", 10) == 0
    assert "stopped at the limit of 10 rows: 7 units are left" in capsys.readouterr().out
    assert humanverse.ledger(tmp_path)["status"].to_pylist().count("pending") == len(web.rows) - 14


def test_verify_exits_with_1_where_it_finds_something(web, tmp_path, capsys):
    run("build", RECIPE, "--input", web.table, "--out", tmp_path)
    next((tmp_path / "people").glob("*.parquet")).unlink()
    assert run("verify", tmp_path) == 1
    assert "missing" in capsys.readouterr().out


def nothing(path):
    pass


def empty(path):
    pq.write_table(pa.table({"url": pa.array([], pa.string())}), path)


def no_url(path):
    pq.write_table(pa.table({"address": ["http://h/x"]}), path)


def bad_port(path):
    pq.write_table(pa.table({"url": ["http://a:99999/x"]}), path)


YOLOX = ["--set", "people.detector=yolox", "--set", f"people.weights={RECIPE}"]
"""A file that is no ONNX."""


@pytest.mark.parametrize(
    ("arguments", "make", "message"),
    [
        (["build", RECIPE, "--input", "TABLE", "--out", "ROOT"], nothing, "no such input"),
        (["build", RECIPE, "--input", "TABLE", "--out", "ROOT"], empty, "no rows to plan"),
        (
            ["build", RECIPE, "--input", "TABLE", "--out", "ROOT"],
            no_url,
            "found address; wanted url",
        ),
        (["build", RECIPE, "--out", "ROOT"], nothing, "holds no plan"),
        *(
            (["build", RECIPE, "--input", "TABLE", "--out", "ROOT", *more], bad_port, message)
            for more, message in (
                (["--retry", "transient"], "holds no outcomes yet"),
                (["--set", "collect.allow_hosts=http://h"], "is no host"),
                (["--set", "collect.contact=a@b\x01"], "in ASCII"),
                (["--set", "collect.contact=jürgen@beispiel.de"], "in ASCII"),
                (["--set", f"collect.contact={'a' * 200}@b.c"], "at most 200"),
                (["--set", f"plan.unit_rows={10**20}"], "at most 1,000,000"),
            )
        ),
        (["status", "r" * 300], nothing, "File name too long"),
        (["build", RECIPE, "--input", "t" * 300, "--out", "ROOT"], nothing, "name too long"),
        (["build", "no.py", "--input", "TABLE", "--out", "ROOT"], empty, "no recipe no.py"),
        (
            ["build", RECIPE, "--input", "TABLE", "--out", "ROOT", "--set", "people.x=1"],
            empty,
            "no field",
        ),
        (
            ["build", RECIPE, "--input", "TABLE", "--out", "ftp://host/x"],
            empty,
            "begins with s3://",
        ),
        (["build", RECIPE, "--input", "TABLE", "--out", "TABLE"], bad_port, "cannot write to"),
        (["build", RECIPE, "--input", "TABLE", "--out", "TABLE/x"], bad_port, "cannot write to"),
        (
            ["build", RECIPE, "--input", "TABLE", "--out", "ROOT", "--set", "people.min_area=nan"],
            bad_port,
            "float is wanted",
        ),
        (
            ["build", "demo", "--input", "TABLE", "--out", "ROOT", *YOLOX],
            bad_port,
            "cannot be read as ONNX",
        ),
        (["collect", RECIPE, "--out", "ROOT"], nothing, "holds no plan"),
        (["pack", RECIPE, "--out", "ROOT"], nothing, "holds no plan"),
        (["status", "ROOT"], nothing, "holds no dataset"),
        (["verify", "ROOT"], nothing, "holds no dataset"),
        (["report", "ROOT"], nothing, "holds no dataset"),
        (["takedown", "ROOT", "--from", "TABLE"], nothing, "holds no dataset"),
        (["explain", "0" * 32, "--recipe", RECIPE], nothing, "no file and no URL"),
        (["models", "pull", "nonsense"], nothing, "no weights called"),
    ],
)
def test_a_wrong_call_gives_one_clear_line_exits_with_2_and_touches_nothing(
    tmp_path, capsys, arguments, make, message
):
    make(tmp_path / "t.parquet")
    places = {"TABLE": tmp_path / "t.parquet", "ROOT": tmp_path / "root"}
    places["TABLE/x"] = tmp_path / "t.parquet" / "x"
    assert run(*(places.get(a, a) for a in arguments)) == 2
    err = capsys.readouterr().err.splitlines()
    assert message in err[-1]
    assert len(err) == 1
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    "line",
    ["1 / 0", "open('no such file')", "{}['x']", "assert False", "raise SystemExit", "recipe = 1"],
)
def test_a_recipe_that_fails_is_named_in_one_line_however_it_does(tmp_path, capsys, line):
    (tmp_path / "recipe.py").write_text(line)
    assert run("build", tmp_path / "recipe.py", "--out", tmp_path / "root") == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert "recipe.py" in err[0]


def test_an_input_whose_name_is_no_text_is_named(tmp_path, capsys):
    table = tmp_path / "t\udcff.csv"
    table.write_text("url\nhttp://h/x\n")
    assert run("plan", RECIPE, "--input", table, "--out", tmp_path / "root") == 2
    assert "no UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_who_stops_reading_gets_no_traceback(root):
    command = [sys.executable, "-m", "humanverse", "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("key x", ":1: 'key x' is no entry"), ("# no one", "names nothing")],
)
def test_a_takedown_by_a_bad_list_exits_with_2_and_touches_nothing(
    root, tmp_path, capsys, text, message
):
    before, file = everything(root), tmp_path / "list.txt"
    if text is not None:
        file.write_text(text)
    assert run("takedown", root, "--from", file) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1 and message in err[0]
    assert everything(root) == before


def test_a_takedown_tells_what_it_did_and_what_it_cannot_do(root, tmp_path, capsys):
    copy = shutil.copytree(root, tmp_path / "copy")
    kept = [r for r in humanverse.ledger(root).to_pylist() if r["status"] == "kept"]
    lines = [f"url {kept[0]['url']}", f"sha256 {kept[1]['sha256']}", f"md5 {'0' * 32}"]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "host nobody.example"]))
    arguments = ("takedown", copy, "--from", tmp_path / "list.txt")
    assert run(*arguments, "--dry-run") == 0
    assert "2 rows would be taken down (1 by key, 1 by sha256)" in capsys.readouterr().out
    assert everything(copy) == everything(root)
    assert run(*arguments) == 0
    out = capsys.readouterr().out
    assert "2 rows taken down (1 by key, 1 by sha256)" in out
    assert "1 entries name nothing here: host nobody.example" in out
    assert "1 entries by sha1 or md5 cannot be looked for" in out
    assert "out of reach: copies" in out
    assert run("verify", copy) == 0
    assert run("explain", kept[0]["url"], "--recipe", RECIPE, "--out", copy) == 0
    assert "-> rejected: taken_down" in capsys.readouterr().out


def test_explain_takes_a_url_that_is_longer_than_any_path(web, capsys):
    assert run("explain", web.url("/" + "x" * 5000), "--recipe", RECIPE) == 0
    assert "-> failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["build"], ["build", RECIPE, "--out", "x", "--limit", 0]]
)
def test_a_call_that_cannot_be_parsed_exits_with_2(arguments, capsys):
    assert run(*arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_explain_takes_a_photo_a_url_and_a_key_through_every_stage(web, root, tmp_path, capsys):
    row = next(r for r in humanverse.ledger(root).to_pylist() if r["status"] == "kept")
    for what in (row["url"], row["key"]):
        assert run("explain", what, "--recipe", RECIPE, "--out", root) == 0
        out = capsys.readouterr().out
        assert f"key      {row['key']}" in out
        assert f"row {row['row']}: kept" in out
        assert out.endswith("-> kept\n")
    (tmp_path / "p.jpg").write_bytes(b"no picture")
    assert run("explain", tmp_path / "p.jpg", "--recipe", RECIPE) == 0
    assert "-> failed: not_image" in capsys.readouterr().out


def test_models_are_listed_with_size_licence_and_source(capsys):
    assert run("models", "list") == 0
    out = capsys.readouterr().out
    assert all(weight.name in out for weight in models.listed().values())
    assert "Apache-2.0" in out


def test_weights_that_cannot_be_had_say_where_they_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HUMANVERSE_CACHE", str(tmp_path))
    monkeypatch.setenv("HUMANVERSE_OFFLINE", "1")
    assert run("models", "pull", "yolox_nano") == 2
    err = capsys.readouterr().err
    assert "yolox_nano.onnx" in err and str(tmp_path) in err and "sha256" in err
    assert run("models", "verify", "yolox_nano") == 1


def test_weights_put_into_place_by_hand_are_taken_only_if_they_are_the_right_ones(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HUMANVERSE_CACHE", str(tmp_path))
    weight = models.find("yolox_nano")
    weight.path.parent.mkdir(parents=True)
    weight.path.write_bytes(b"something else")
    assert not models.is_cached(weight)
