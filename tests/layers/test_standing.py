"""How a root stands is told from plan and commits alone: how far, how large, how fast."""

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from shared import HERE, url_table

from humanverse.cli import main
from humanverse.layers.commit import FOLDER as RECEIPTS
from humanverse.layers.standing import QUIET, WINDOW, pace_of, standing, watched
from humanverse.layers.store import Store
from humanverse.run.build import Settings, build
from humanverse.terminal_status import follow, sized, spanned, status

RECIPE = HERE / "recipes" / "made_up.py"
T = 1_000_000_000.0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two of four units are done, a minute apart."""
    folder = tmp_path_factory.mktemp("standing")
    table, root = url_table(folder, 16), folder / "root"
    build(RECIPE, [table], root, settings=Settings("local", limit=8), packed=False)
    receipts = sorted((root / RECEIPTS).glob("*.json"))
    assert len(receipts) == 2
    for number, path in enumerate(receipts):
        os.utime(path, (T + 60 * number, T + 60 * number))
    return Store(root)


def text_of(told, width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    status(told, console)
    return console.export_text()


def test_what_is_left_follows_from_the_pace_of_late(root):
    told = standing(root, now=T + 70)
    assert told.pace.running
    assert told.pace.since == pytest.approx(10)
    assert told.rows_a_second == pytest.approx(4 / 60)
    assert told.seconds_left == pytest.approx(2 * 60)
    assert set(told.funnel.through.values()) == {2}
    said = text_of(told)
    assert "2 of 4" in said
    assert "2 min 0 s left" in said


def test_who_is_quiet_for_long_seems_to_be_gone(root):
    told = standing(root, now=T + 60 + 5 * 60 + 1)
    assert not told.pace.running
    assert told.seconds_left is None
    assert "nobody seems to be at work: the last commit was 5 min 1 s ago" in text_of(told)


def test_sizes_are_those_of_the_files(root):
    told = standing(root)
    for stage, size in told.bytes.items():
        files = [f for f in (root.folder / stage).iterdir() if not f.name.startswith(".")]
        assert size == sum(f.stat().st_size for f in files)
    assert told.free > 0


def test_a_run_is_watched_until_it_is_over(root, tmp_path, capsys):
    table = url_table(tmp_path, 8)
    build(RECIPE, [table], tmp_path / "r", settings=Settings("local"))
    looks = list(watched(Store(tmp_path / "r"), every=0))
    assert len(looks) == 1
    assert looks[0].bytes["shards"] == sum(
        f.stat().st_size for f in (tmp_path / "r" / "shards").glob("*.tar")
    )
    follow(looks)
    assert "nothing is left to do" in capsys.readouterr().out


def test_programs_read_it_as_json(root, capsys):
    assert main(["status", str(root.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["units"], told["units_done"]) == (16, 4, 2)
    counted = sum(n for reasons in told["reasons"].values() for n in reasons.values())
    assert told["kept"] + told["pending"] + counted == 16


@given(st.lists(st.integers(0, 1_000_000), min_size=2, max_size=30), st.integers(0, 100_000))
def test_the_pace_is_of_the_last_minutes_alone(dates, later):
    dates = sorted(dates)
    told = pace_of(dates, dates[-1] + later, "x")
    late = [date for date in dates if date > dates[-1] - WINDOW]
    assert told.units_a_second >= 0
    assert told.units_a_second * (late[-1] - late[0]) == pytest.approx(
        len(late) - 1 if late[-1] > late[0] else 0
    )
    assert told.running == (told.since < max(QUIET, 5 / (told.units_a_second or 1e9)))


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2.5e12, "2.5 TB")]
)
def test_bytes_are_for_people(number, said):
    assert sized(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(3, "3 s"), (61, "1 min 1 s"), (3600 * 5 + 120, "5 h 2 min"), (86400 * 3, "3 d 0 h")],
)
def test_spans_are_for_people(seconds, said):
    assert spanned(seconds) == said
