"""Whatever is damaged is found, named, and made again by the same command."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE

from humanverse.cli import main
from humanverse.layers.repair import repair
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.testing.chaos import Job, contents, run

RECIPE = HERE / "recipes" / "made_up.py"
BITS = 200
MADE_AGAIN = ("collect", "people", "labels", "shards", "rolled")
"""Folders whose files can be made again."""
OUTSIDE = ("telemetry", "report", "inflight")
"""What a dataset does not rest on."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "urls.parquet"
    pq.write_table(pa.table({"url": [f"http://localhost/{n}.jpg" for n in range(18)]}), path)
    return path


@pytest.fixture
def job(table, tmp_path):
    made = Job(RECIPE, (table,), str(tmp_path / "root"))
    run(made)
    return made


def files(job):
    found = (path for path in Store(job.root).folder.rglob("*") if path.is_file())
    root = Store(job.root).folder
    return sorted(p for p in found if p.relative_to(root).parts[0] not in OUTSIDE)


def names(findings, path):
    """Whether a finding names the file, its unit or its shard."""
    return any(path.name in f or path.name.partition(".")[0] in f for f in findings)


def test_two_hundred_flipped_bits_anywhere_are_two_hundred_findings(job):
    draw, store, found = random.Random(0), Store(job.root), 0
    everything = files(job)
    assert verify(store) == []
    for number in range(BITS):
        path = everything[number % len(everything)]
        data = bytearray(path.read_bytes())
        place, bit = draw.randrange(len(data)), 1 << draw.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        findings = verify(store)
        assert names(findings, path), (path, place, bit, findings)
        found += 1
        data[place] ^= bit
        path.write_bytes(data)
    assert found == BITS
    assert len(everything) > 40


def test_every_missing_or_cut_file_is_a_finding(job):
    store = Store(job.root)
    for path in files(job):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert verify(store), path
        path.unlink()
        if path.parent.name != "rolled":  # a copy: without it the receipts are read
            assert verify(store), path
        path.write_bytes(data)
    assert verify(store) == []


@pytest.mark.parametrize("folder", MADE_AGAIN)
def test_what_is_damaged_is_made_again_by_the_same_command(job, folder):
    store, wanted = Store(job.root), contents(job.root)
    for path in [p for p in files(job) if p.parent.name == folder][::2]:
        path.write_bytes(path.read_bytes()[:-1])
    done = list(repair(store))
    assert done
    run(job)
    assert verify(store) == []
    assert contents(job.root) == wanted
    assert list(repair(store)) == []


def test_a_receipt_is_restored_from_its_roll_up(job):
    store, wanted = Store(job.root), contents(job.root)
    receipts = sorted((store.folder / "commits").glob("*.json"))
    receipts[0].unlink()
    receipts[1].write_bytes(receipts[1].read_bytes()[:30])
    assert len(list(repair(store))) == 2
    assert verify(store) == []
    assert contents(job.root) == wanted


def test_only_what_was_damaged_and_what_stands_on_it_is_made_again(job):
    store = Store(job.root)
    victim = sorted((store.folder / "people").glob("*.parquet"))[1]
    before = {path: path.stat().st_mtime_ns for path in files(job)}
    victim.unlink()
    (line,) = repair(store)
    unit = victim.name.partition(".")[0]
    assert line == f"unit {unit}: people, labels will be made again"
    run(job)
    touched = {path for path in files(job) if before.get(path) != path.stat().st_mtime_ns}
    layers = {path for path in touched if path.parent.name in ("collect", "detect")}
    assert layers == set()
    assert {p.name.partition(".")[0] for p in touched if p.parent.name == "labels"} == {unit}


def test_the_command_says_what_it_found_and_did_and_what_to_do(job, capsys):
    victim = next((Store(job.root).folder / "labels").glob("*.tar"))
    victim.write_bytes(b"")
    assert main(["verify", job.root, "--repair"]) == 1
    told = capsys.readouterr().out
    assert "has 0 bytes of" in told
    assert "labels will be made again" in told
    assert "run the same build again" in told
    run(job)
    assert main(["verify", job.root, "--repair"]) == 0


def test_a_damaged_plan_cannot_be_made_again_and_is_said_to_be(job, capsys):
    plan = next((Store(job.root).folder / "plan").glob("00.0000.*.parquet"))
    plan.write_bytes(plan.read_bytes()[:-9])
    assert main(["verify", job.root, "--repair"]) == 1
    assert "none of it can be made again" in capsys.readouterr().out
