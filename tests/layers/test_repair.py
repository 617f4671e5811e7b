"""Whatever is damaged is found, named, and made again by the same command."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import HERE, listed, rows_of, url_table

import humanverse
from humanverse.cli import main
from humanverse.layers import failpoints
from humanverse.layers.failpoints import Armed, Failed
from humanverse.layers.repair import repair
from humanverse.layers.rolled import roll_up, rolled_names
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build, pack_root
from humanverse.run.takedown import takedown
from humanverse.testing.chaos import Job, contents, run

RECIPE = HERE / "recipes" / "made_up.py"
BITS = 200
MADE_AGAIN = ("collect", "people", "labels", "shards", "rolled")
"""Folders whose files can be made again."""
OUTSIDE = ("telemetry", "report", "inflight")
"""What a dataset does not rest on."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return url_table(tmp_path_factory.mktemp("table"), 18)


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


def receipts(job):
    return {p.name: p.read_bytes() for p in (Store(job.root).folder / "commits").glob("*.json")}


def with_a_wrong_number(rolled):
    """A roll-up that is readable, but not what was written."""
    table = pq.read_table(rolled)
    passed = pa.array([number + 1 for number in table["passed"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(table.column_names.index("passed"), "passed", passed), rolled)


def test_a_damaged_roll_up_is_not_merged_and_does_not_become_the_truth(job, table):
    store, before = Store(job.root), receipts(job)
    (name,) = rolled_names(store)
    with_a_wrong_number(store.folder / name)
    roll_up(store, [])
    second = table.parent / "second.parquet"
    pq.write_table(pa.table({"url": [f"http://localhost/more/{n}.jpg" for n in range(18)]}), second)
    build(RECIPE, second, job.root, settings=Settings("local"))
    assert name in rolled_names(store)
    assert any(name in line for line in repair(store))
    assert before.items() <= receipts(job).items()
    assert verify(store) == []


def test_a_sealed_receipt_counts_against_a_roll_up_that_looks_whole(job):
    store, before = Store(job.root), receipts(job)
    (name,) = rolled_names(store)
    with_a_wrong_number(store.folder / name)
    digest = store.sha256(name)[:12]
    (store.folder / name).rename(store.folder / f"commits/rolled/0000000005.{digest}.parquet")
    assert len(list(repair(store))) == 1
    assert receipts(job) == before
    assert verify(store) == []


def test_a_damaged_receipt_without_a_copy_has_its_unit_made_again(job):
    store, wanted = Store(job.root), contents(job.root)
    for name in rolled_names(store):
        store.remove(name)
    victim = store.folder / "commits" / sorted(receipts(job))[1]
    victim.write_bytes(victim.read_bytes()[:40])
    assert list(repair(store)) == [
        f"commits/{victim.name} was removed: what it named will be made again"
    ]
    run(job)
    assert verify(store) == []
    assert contents(job.root) == wanted


def test_a_damaged_list_of_former_shards_does_not_stop_packing_for_ever(job):
    store, wanted = Store(job.root), contents(job.root)
    store.remove("shards/dataset.json")
    store.replace("shards/dataset.former.json", b"{")
    assert list(repair(store)) == ["all shards will be packed again"]
    run(job)
    assert verify(store) == []
    assert contents(job.root) == wanted


def test_a_damaged_layer_that_the_recipe_has_no_more_is_marked_once(job, tmp_path):
    store, shorter = Store(job.root), tmp_path / "shorter.py"
    shorter.write_text(RECIPE.read_text().replace("annotate=[HashLabels()]", "annotate=[]"))
    build(shorter, (), job.root, settings=Settings("local"))
    next((store.folder / "labels").glob("*.parquet")).unlink()
    (line,) = repair(store)
    assert line.endswith(": labels will be made again")
    assert verify(store) == []
    assert list(repair(store)) == []


@pytest.mark.parametrize("verb", [["status"], ["pack", str(RECIPE), "--out"], ["takedown"]])
@pytest.mark.parametrize("folder", ["commits/rolled", "collect", "shards"])
def test_damage_is_told_in_a_line_by_every_verb(job, verb, folder, tmp_path, capsys):
    store = Store(job.root)
    for name in store.names(folder):
        (store.folder / folder / name).write_bytes(b"{")
    end = ["--from", str(listed(tmp_path, "host example.org"))] if verb == ["takedown"] else []
    code = main([*verb, job.root, *end])
    told = capsys.readouterr().err
    assert code == bool(told)
    assert told.count("\n") == code
    assert not told or "verify --repair" in told


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_takedown_between_repair_and_build_leaves_nothing_of_the_row(job, how, tmp_path):
    store, row = Store(job.root), rows_of(job.root)[0]
    victim = next((store.folder / "collect").glob(f"{row['unit']}.*.parquet"))
    if how == "cut":
        victim.write_bytes(victim.read_bytes()[:-9])
    else:
        victim.unlink()
    assert list(repair(store))
    takedown(job.root, listed(tmp_path, f"key {row['key']}", f"sha256 {row['sha256']}"))
    for folder in ("collect", "labels", "shards"):
        for path in (store.folder / folder).iterdir():
            assert f"{row['key']}.".encode() not in path.read_bytes()
    assert humanverse.ledger(job.root).num_rows == 18
    assert verify(store) == []


def test_takedown_after_the_first_packing_broke_off_leaves_no_shard_of_the_row(table, tmp_path):
    root = tmp_path / "root"
    build(RECIPE, table, root, packed=False, settings=Settings("local"))
    row = rows_of(root)[0]
    failpoints.arm(Armed("named", 5, "raise"))
    with pytest.raises(Failed):
        pack_root(Store(root), load_recipe(RECIPE))
    failpoints.arm(None)
    assert any(row["key"].encode() in p.read_bytes() for p in (root / "shards").iterdir())
    takedown(root, listed(tmp_path, f"key {row['key']}"))
    assert not any(row["key"].encode() in p.read_bytes() for p in (root / "shards").iterdir())
    pack_root(Store(root), load_recipe(RECIPE))
    assert verify(Store(root)) == []


def test_without_the_list_of_what_was_taken_down_nothing_runs(job, tmp_path, capsys):
    row = rows_of(job.root)[0]
    takedown(job.root, listed(tmp_path, f"key {row['key']}"))
    Store(job.root).remove("takedowns/000.txt")
    assert any("no list is there" in finding for finding in verify(Store(job.root)))
    assert main(["build", str(RECIPE), "--out", job.root]) == 1
    assert "the list of them is missing" in capsys.readouterr().err


def test_a_damaged_recipe_is_written_again_by_the_same_command(job):
    store, wanted = Store(job.root), contents(job.root)
    store.replace("recipe.json", b"{}")
    assert "recipe.json will be written again" in "".join(repair(store))
    run(job)
    assert verify(store) == []
    assert contents(job.root) == wanted
