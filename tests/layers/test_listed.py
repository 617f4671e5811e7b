"""Entries are held against whole columns, and each finds what it names and nothing else."""

import random
import time

import pyarrow as pa
import pytest
from shared import RECIPE, listed, rows_of

from humanverse.collect.blocked import Blocklist
from humanverse.layers.listed import Names
from humanverse.run.build import Settings, build
from humanverse.run.takedown import takedown

KEYS = [f"{n:032x}" for n in range(4)]


def found(table, *entries):
    names = Names.of(entries)
    columns = {c: sorted(KEYS.index(k) for k in keys) for c, keys in names.find(pa.table(table))}
    return columns, sorted(names.seen)


@pytest.mark.parametrize("column", ["key", "sha256"])
def test_equal_values_are_found_and_nulls_are_not(column):
    values = KEYS if column == "key" else ["a" * 64, None, "b" * 64, "a" * 64]
    entry = f"{column} {values[0]}"
    rows = [0] if column == "key" else [0, 3]
    got = found({"key": KEYS, column: values}, entry, f"{column} {'c' * len(values[0])}")
    assert got == ({column: rows}, [entry])


def test_hosts_are_found_in_urls_and_where_they_ended_however_they_are_spelled():
    table = {
        "key": KEYS,
        "url": ["http://a.example.org/1", "https://bücher.example:8080/x", "http://[::1]/y", None],
        "final_host": ["example.org", None, "www.example.org", "notexample.org"],
    }
    named = ("host example.org", "host xn--bcher-kva.example", "host ::1")
    assert found(table, *named) == ({"url": [0, 1, 2], "final_host": [0, 2]}, sorted(named))


def test_looks_are_compared_as_the_collector_compares_them():
    draw = random.Random(1)
    phashes = [f"{draw.getrandbits(64):016x}" for _ in range(3)]
    table = {"key": KEYS, "phash": [phashes[0], None, phashes[1], phashes[2]]}
    for bits in range(8):
        near = int(phashes[1], 16) ^ ((1 << bits) - 1)
        entries = [f"phash {near:016x}"] + [f"phash {draw.getrandbits(64):016x}"] * 2000
        alike = Blocklist(entries=entries[:1]).has_picture(phashes[1])
        assert found(table, *entries) == (({"phash": [2]}, entries[:1]) if alike else ({}, []))


def test_ten_thousand_entries_take_a_second_or_two(web, tmp_path):
    build(RECIPE, [web.table], tmp_path / "root", settings=Settings("local"))
    row, draw = rows_of(tmp_path / "root")[0], random.Random(2)
    digits = {"key": 32, "sha256": 64, "phash": 16}
    lines = [f"{k} {draw.getrandbits(4 * n):0{n}x}" for k, n in digits.items() for _ in range(2500)]
    lines += [f"host h{n}.example" for n in range(1250)]
    lines += [f"url http://Example.org/{n}.jpg" for n in range(1250)]
    file = listed(tmp_path, *lines, f"sha256 {row['sha256']}")
    started = time.monotonic()
    told = takedown(tmp_path / "root", file)
    assert time.monotonic() - started < 10, "it takes one on a machine at rest"
    assert (told.rows, len(told.unmatched)) == (1, 10_000)
