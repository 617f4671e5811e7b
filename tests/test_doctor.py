"""What the doctor finds, and what it says to do about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse import doctor
from humanverse.cli import main
from humanverse.layers.store import Store


def test_this_machine_is_examined_and_its_root_left_as_it_was(tmp_path, capsys):
    root = tmp_path / "root"
    main(["doctor", "--out", str(root)])
    told = capsys.readouterr().out
    for what in ("python", "pillow", "cpus", "memory", "disk", "dns", "store", "clock"):
        assert f" {what} " in told
    assert "localhost is" in told
    assert Store(root).names("telemetry") == []


def test_something_bad_is_named_and_the_exit_code_tells(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--out", str(tmp_path / "file" / "root")]) == 1
    assert "bad  store        cannot write to" in capsys.readouterr().out


def test_names_are_looked_up_only_if_wanted(capsys):
    assert main(["doctor", "--resolve", "a..b"]) == 1  # no name, so nobody is asked for it
    assert "bad  dns          a..b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "floor", "level"),
    [
        ("12.3", "12.3", "ok"),
        ("12.10.1", "12.3", "ok"),
        ("12.2.9", "12.3", "bad"),
        ("2.9.1+cu128", "2.10", "bad"),
        ("2.10.0+cu128", "2.10", "ok"),
        ("2.52.0rc1", "2.52", "ok"),
    ],
)
def test_releases_are_compared_by_their_numbers(found, floor, level):
    finding = doctor.judged("it", found, floor)
    assert finding.level == level
    assert (f"pip install 'it>={floor}'" in finding.told) == (level == "bad")


@given(st.floats(-1e6, 1e6))
def test_a_clock_is_judged_by_how_far_it_is_off_either_way(skew):
    levels = [doctor.clock(sign * skew).level for sign in (1, -1)]
    assert levels[0] == levels[1] == ["ok", "warn", "bad"][(abs(skew) > 5) + (abs(skew) > 300)]


def test_little_disk_is_worth_a_word_and_hardly_any_is_bad(tmp_path):
    sizes = (1 << 20, 2 << 30, 11 << 30)
    assert [doctor._disk(tmp_path, size).level for size in sizes] == ["bad", "warn", "ok"]
