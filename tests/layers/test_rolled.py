"""Roll-ups say what the receipts say, however they were cut, merged or broken off."""

import json
import random
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.errors import DataError
from humanverse.layers import rolled
from humanverse.layers.commit import Commit, File, Layer, publish
from humanverse.layers.commits import Commits
from humanverse.layers.rolled import commits_of, read_rows, roll_up, rolled_names, to_rows
from humanverse.layers.store import Store


def layer(unit, name="collect", mark="f" * 16, tar=True, **reasons):
    files = [File(f"{name}/{unit}.{kind}", kind * 8, len(unit)) for kind in ("parquet", "tar")]
    rows = 5 + sum(reasons.values())
    return Layer(mark, rows, 5, dict(sorted(reasons.items())), files[0], files[1] if tar else None)


def made(unit, number=0, **reasons):
    name = f"00-{unit:07d}"
    layers = {"collect": layer(name, **reasons), "people": layer(name, "people", tar=False)}
    return Commit(name, number, 9, layers if number % 3 != 2 else {})


def published(store, commits):
    for commit in commits:
        publish(store, commit)


def of_receipts(root, folder):
    """The commits by the receipts alone."""
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("rolled"))
    return list(Commits.read(Store(folder)))


def test_commits_come_back_from_rows_as_they_were():
    commits = [made(1, 0, http_gone=2, timeout=1), made(1, 1), made(1, 2), made(2)]
    back = list(commits_of(to_rows(commits[::-1]).to_batches()))
    assert back == commits
    assert [c.to_json() for c in back] == [c.to_json() for c in commits]


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12))
@settings(deadline=None)
def test_roll_ups_and_the_tail_read_as_the_receipts_do(tmp_path_factory, waves):
    """Waves are rolled up by who made them, found by looking, or left in the tail."""
    root = tmp_path_factory.mktemp("waves")
    store, commits = Store(root / "root"), []
    for number, (size, told) in enumerate(waves):
        wave = [made(n % 20, n // 20) for n in range(len(commits), len(commits) + size)]
        published(store, wave)
        commits += wave
        if number % 3:
            roll_up(store, wave if told else None)
    wanted = sorted(commits, key=lambda commit: (commit.unit, commit.number))
    found = Commits.read(store)
    assert list(found) == wanted
    assert len(found) == len(wanted)
    assert found.units() == sorted({commit.unit for commit in wanted})
    for unit in found.units():
        assert found.of(unit) == [commit for commit in wanted if commit.unit == unit]
    files = {file for c in wanted for layer in c.layers.values() for file in layer.files}
    assert set(found.files()) == files


def test_the_number_of_roll_ups_grows_with_the_digits_of_the_number_of_commits(tmp_path):
    store, most = Store(tmp_path), 0
    for number in range(200):
        roll_up(store, [made(number)])
        most = max(most, len(rolled_names(store)))
    assert most <= 6
    assert read_rows(store, ["unit", "number", "layer"]).num_rows == 400


def test_two_runs_that_roll_up_the_same_do_no_harm(tmp_path):
    store, commits = Store(tmp_path / "root"), [made(n) for n in range(20)]
    published(store, commits)
    for start in (0, 5, 10):
        roll_up(store, commits[start : start + 10])
    roll_up(store)
    assert list(Commits.read(store)) == of_receipts(tmp_path / "root", tmp_path / "other")
    assert read_rows(store).num_rows == 40


def test_a_roll_up_that_another_run_merges_while_it_is_read_is_looked_for_anew(
    tmp_path, monkeypatch
):
    store, names = Store(tmp_path), rolled.rolled_names
    roll_up(store, [made(n) for n in range(9)])
    late = iter([["commits/rolled/0000000009.0123456789ab.parquet"]])
    monkeypatch.setattr(rolled, "rolled_names", lambda store: next(late, None) or names(store))
    assert len(Commits.read(store)) == 9


def test_merging_that_broke_off_leaves_every_commit_once(tmp_path, monkeypatch):
    store = Store(tmp_path)
    roll_up(store, [made(n) for n in range(3)])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            roll_up(store, [made(n) for n in range(3, 6)])
    assert len(rolled_names(store)) == 3
    assert [commit.unit for commit in Commits.read(store)] == [made(n).unit for n in range(6)]
    roll_up(store, [made(6)])
    assert len(Commits.read(store)) == 7


def test_groups_are_cut_anywhere_and_commits_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(rolled, "GROUP", 7)
    store = Store(tmp_path)
    for start in range(0, 40, 4):
        roll_up(store, [made(n) for n in range(start, start + 4)])
    assert list(Commits.read(store)) == [made(n) for n in range(40)]


def test_what_was_ever_set_aside_for_a_reason_is_found(tmp_path):
    store = Store(tmp_path)
    roll_up(store, [made(0), made(1, 0, timeout=1), made(1, 1), made(2, 0, http_gone=3, timeout=2)])
    found = Commits.read(store)
    found.add(made(3, 0, timeout=4))
    assert found.units_with("timeout") == [made(n).unit for n in (1, 2, 3)]
    assert found.units_with("http_gone") == [made(2).unit]
    assert found.units_with("none") == []
    assert found.next_number(made(1).unit) == 2


def test_receipts_that_a_roll_up_names_are_not_opened(tmp_path):
    store = Store(tmp_path)
    published(store, commits := [made(n) for n in range(5)])
    roll_up(store)
    for path in (tmp_path / "commits").glob("*.json"):
        path.write_text(json.dumps({}))
    assert list(Commits.read(store)) == commits


def test_a_flipped_bit_in_a_roll_up_is_never_read_as_a_commit(tmp_path):
    store = Store(tmp_path)
    published(store, commits := [made(n, http_gone=n) for n in range(20)])
    roll_up(store, commits)
    (name,) = rolled_names(store)
    path, whole = tmp_path / name, (tmp_path / name).read_bytes()
    told, silent = read_rows(store), 0
    draw = random.Random(0)
    for _ in range(150):
        place = draw.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        )
        try:
            assert read_rows(store).equals(told)
            silent += 1  # in what nobody reads: statistics, the writer's name
        except DataError:
            continue
    assert silent < 100  # most of so small a file is its footer
