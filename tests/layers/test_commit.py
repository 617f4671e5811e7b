"""A commit is made once, and what it names is what was written."""

import contextlib
import tarfile
import zlib

import pyarrow as pa
import pytest

from humanverse.errors import DataError
from humanverse.layers.commit import (
    Commit,
    publish,
    read_layer,
    read_members,
    write_layer,
    write_tar,
)
from humanverse.layers.commits import Commits
from humanverse.layers.store import Store


def columns(keys, pictures):
    return pa.table(
        {"key": keys, "image": pa.array(pictures, pa.large_binary()), "width": [1] * len(keys)}
    )


def layer(store, unit="00-0000000", pictures=(b"a", None), mark="f" * 16):
    keys = [f"{n:032x}" for n in range(len(pictures))]
    reasons = pa.array([None if p else "http_gone" for p in pictures], pa.string())
    return write_layer(store, unit, "collect", columns(keys, list(pictures)), mark, reasons)


def test_a_layer_comes_back_as_it_was_written(tmp_path):
    store = Store(tmp_path)
    made = layer(store)
    assert (made.rows, made.passed, made.reasons) == (2, 1, {"http_gone": 1})
    assert read_layer(store, made)["reason"].to_pylist() == [None, "http_gone"]
    assert read_members(store, made) == {f"{0:032x}": {"jpg": b"a"}}


def test_the_same_layer_again_is_the_same_files(tmp_path):
    store = Store(tmp_path)
    assert layer(store) == layer(store)
    assert len(store.names("collect")) == 2
    assert layer(store) != layer(store, pictures=(b"b", None))


def test_only_the_first_of_two_commits_of_a_number_counts(tmp_path):
    store = Store(tmp_path)
    first = Commit("00-0000000", 0, 2, {"collect": layer(store)})
    second = Commit("00-0000000", 0, 2, {"collect": layer(store, pictures=(b"b", None))})
    assert publish(store, first)
    assert not publish(store, second)
    assert Commits.read(store).layers("00-0000000") == first.layers


def test_the_newest_commit_that_names_a_layer_is_that_layer(tmp_path):
    store = Store(tmp_path)
    old, new = layer(store), layer(store, pictures=(b"new", b"x"))
    publish(store, Commit("00-0000000", 0, 2, {"collect": old, "people": old}))
    publish(store, Commit("00-0000000", 1, 2, {"collect": new}))
    assert Commits.read(store).layers("00-0000000") == {"collect": new, "people": old}
    assert Commits.read(store).next_number("00-0000000") == 2


def test_an_attempt_that_fails_leaves_no_trace(tmp_path):
    store = Store(tmp_path)
    with contextlib.suppress(RuntimeError), store.attempt("collect") as attempt:
        attempt.file.write(b"half")
        raise RuntimeError
    assert list((tmp_path / "collect").iterdir()) == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"unit": "u"}', b'{"layers": 3}'])
def test_a_torn_receipt_is_an_error_not_a_guess(text):
    with pytest.raises(DataError):
        Commit.from_json(text)


def test_places_in_a_tar_are_where_the_bytes_lie(tmp_path):
    members = [("a.jpg", b"x" * 700), ("a.txt", b""), ("b.depth.png", b"yz")]
    with (tmp_path / "t.tar").open("w+b") as f:
        places = write_tar(f, members)
    data = (tmp_path / "t.tar").read_bytes()
    assert {name: data[o : o + n] for name, (o, n, _) in places.items()} == dict(members)
    assert {name: crc for name, (*_, crc) in places.items()} == {
        name: zlib.crc32(content) for name, content in members
    }
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert {i.name: i.mtime for i in tar} == {name: 0 for name, _ in members}
