"""What is taken down is gone from every file of a root, stays away, and nothing else changes."""

import contextlib
import io
import json
import shutil
import tarfile

import pyarrow.parquet as pq
import pytest
from shared import RECIPE, everything, listed, rows_of

import humanverse
from humanverse.layers.commits import Commits
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.tombstones import read_tombstones
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.report.page import write_report
from humanverse.run import takedown as verb
from humanverse.run.build import Settings, build
from humanverse.run.takedown import takedown

SLICES = ("collect", "filter", "annotate")


@pytest.fixture(scope="module")
def streamed(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("streamed") / "root"
    build(RECIPE, [web.table], root, settings=Settings("local"))
    return root


@pytest.fixture(scope="module")
def sliced(web, tmp_path_factory):
    """By slices, which keep the bytes of what the filter rejected."""
    root = tmp_path_factory.mktemp("sliced") / "root"
    for name in SLICES:
        inputs = [web.table] if name == "collect" else []
        build(RECIPE, inputs, root, slices=[name], settings=Settings("local"))
    return root


@pytest.fixture
def root(streamed, tmp_path):
    return shutil.copytree(streamed, tmp_path / "root")


def entry(kind, row):
    return f"{kind} {row[kind]}"


def leaves(data):
    """The bytes of a file, and of what it holds if it is a tar."""
    yield data
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            yield tar.extractfile(info).read()


def where(root, *parts):
    """The files under a root in which any of these bytes stand, in Parquet's columns too."""
    found = set()
    for path in (p for p in root.rglob("*") if p.is_file()):
        texts = [*leaves(path.read_bytes())]
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(path).to_pylist(), default=str).encode())
        if any(part in text for part in parts for text in texts):
            found.add(path.relative_to(root).as_posix())
    return found


def pictures_of(root, key):
    """Bytes of a key's members, wherever they lie."""
    out = set()
    for path in root.rglob("*.tar"):
        with tarfile.open(path) as tar:
            infos = [i for i in tar if i.name.startswith(key) and i.name.endswith((".jpg", ".png"))]
            out |= {tar.extractfile(info).read() for info in infos}
    return out


def assert_sound(root, rows):
    """All is well, and of the rows there is a reason alone."""
    assert verify(Store(root)) == []
    ledger = humanverse.ledger(root)
    counts = funnel(Store(root))
    gone = {row["key"] for row in rows}
    assert counts.kept + sum(c.total() for c in counts.reasons.values()) == counts.rows
    assert counts.kept == ledger["status"].to_pylist().count("kept")
    for row in ledger.to_pylist():
        if row["key"] in gone:
            assert (row["status"], row["reason"], row["stage"]) == (
                *("rejected", "taken_down"),
                "collect",
            )
            assert not any(row[name] for name in ("sha256", "phash", "final_host", "person_count"))
    with humanverse.open(root) as dataset:
        keys = dataset.to_table(["key"])["key"].to_pylist()
        assert gone.isdisjoint(keys)
        assert sorted(keys) == sorted(row["key"] for row in rows_of(root))
        assert all(sample["image"].size for sample in dataset)


@pytest.mark.parametrize("kind", ["url", "key", "sha256", "phash"])
def test_a_sample_is_gone_from_every_file_by_whatever_it_is_named(root, tmp_path, kind):
    row = rows_of(root)[3]
    shown = pictures_of(root, row["key"])
    assert len(shown) == 3 and where(root, *shown)
    told = takedown(root, listed(tmp_path, entry(kind, row)))
    assert (told.rows, told.units, told.shards, told.unmatched) == (1, 1, 1, ())
    assert told.by_kind == {"key" if kind == "url" else kind: 1}
    assert told.freed > 0
    assert where(root, *shown) == set()
    assert where(root, row["sha256"].encode(), row["phash"].encode()) <= {"takedowns/000.txt"}
    places = where(root, row["url"].encode(), row["key"].encode())
    assert {place.partition("/")[0] for place in places} <= {
        *("plan", "collect", "detect", "people", "labels", "telemetry", "takedowns")
    }
    assert_sound(root, [row])


def test_a_host_and_all_under_it_are_taken_down(root, tmp_path):
    count = funnel(Store(root)).rows
    told = takedown(root, listed(tmp_path, "host 127.0.0.1", "host 10.1.1.1"))
    assert (told.rows, told.by_kind) == (count, {"host": count})
    assert told.unmatched == ("host 10.1.1.1",)
    assert funnel(Store(root)).kept == 0
    assert verify(Store(root)) == []
    assert not list(root.glob("shards/0*"))


def test_only_the_shards_concerned_are_written_anew(root, tmp_path):
    def state():
        return {
            p.relative_to(root).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino)
            for p in root.rglob("*.*")
            if p.is_file()
        }

    before = state()
    row = rows_of(root)[0]
    takedown(root, listed(tmp_path, entry("key", row)))
    after = state()
    same = {name for name in before if before[name] == after.get(name)}
    index = pq.read_table(root / "shards" / "index.parquet")
    shards = set(index["shard"].to_pylist())
    changed = {name for name in before.keys() - same if name.startswith("shards/0")}
    assert len(changed) == 2 and len(shards) > 2
    layers = {name for name in before.keys() - same if name.split("/")[0] in ("collect", "people")}
    assert {name.partition("/")[2].partition(".")[0] for name in layers} == {row["unit"]}


def test_what_the_filter_rejected_goes_as_well_with_the_bytes_that_a_slice_kept(
    sliced, web, tmp_path
):
    root = shutil.copytree(sliced, tmp_path / "root")
    rows = [row for row in rows_of(root, "rejected") if row["stage"] == "people"][:3]
    shown = set().union(*(pictures_of(root, row["key"]) for row in rows))
    assert len(shown) == 3 and where(root, *shown)
    lines = [entry(kind, row) for kind, row in zip(("key", "sha256", "phash"), rows, strict=True)]
    assert takedown(root, listed(tmp_path, *lines)).rows == 3
    assert where(root, *shown) == set()
    assert_sound(root, rows)
    looser = load_recipe(RECIPE, ["people.min_area=0.0"])
    for name in SLICES[1:]:
        build(looser, [], root, slices=[name], settings=Settings("local", redo=True))
    assert_sound(root, rows)


def test_pictures_that_look_the_same_go_together(root, tmp_path):
    row = rows_of(root)[0]
    near = f"phash {int(row['phash'], 16) ^ 0b1011:016x}"
    far = f"phash {int(row['phash'], 16) ^ 0xFFFF:016x}"
    assert takedown(root, listed(tmp_path, near, far)).unmatched == (far,)
    assert_sound(root, [row])


def test_twice_is_once_and_a_dry_run_is_nothing(root, tmp_path):
    row = rows_of(root)[0]
    file = listed(tmp_path, entry("sha256", row), "md5 " + "0" * 32, "key " + "1" * 32)
    before = everything(root)
    dry = takedown(root, file, dry_run=True)
    assert everything(root) == before
    done = takedown(root, file)
    assert (dry.rows, dry.units, dry.shards) == (done.rows, done.units, done.shards) == (1, 1, 1)
    assert dry.unmatched == done.unmatched == ("key " + "1" * 32,)
    assert dry.later == done.later == 1
    after = everything(root)
    second = takedown(root, file)
    assert everything(root) == after
    assert (second.rows, second.units, second.freed, second.unmatched) == (0, 0, 0, ())
    assert f"key {row['key']}" in read_tombstones(Store(root))


STEPS = ("add_tombstones", "_remove", "remove_rows", "roll_up", "_pack", "pack", "write_card")
ENDS = ("_delete", "_renew_report")


class Killed(BaseException):
    """As a process that dies: nothing catches it."""


@pytest.mark.parametrize("late", [False, True])
def test_a_takedown_that_breaks_off_anywhere_is_ended_by_the_same_command(
    root, tmp_path, monkeypatch, late
):
    """Before or after each step, and before each file that is written, created or removed."""
    rows = rows_of(root)[:2]
    write_report(Store(root))
    file = listed(tmp_path, entry("phash", rows[0]), entry("key", rows[1]))
    whole = shutil.copytree(root, tmp_path / "whole")
    takedown(whole, file)
    wanted = everything(whole)
    for step in (*STEPS, *ENDS):
        broken = shutil.copytree(root, tmp_path / f"{step}")
        with monkeypatch.context() as patch:
            patch.setattr(verb, step, breaking(getattr(verb, step), late))
            with pytest.raises(Killed):
                takedown(broken, file)
        takedown(broken, file)
        assert everything(broken) == wanted, step
        shutil.rmtree(broken)


def breaking(step, late, after=0):
    calls = []

    def breaks(*arguments, **named):
        calls.append(step)
        if len(calls) > after and not late:
            raise Killed
        answer = step(*arguments, **named)
        if len(calls) > after:
            raise Killed
        return answer

    return breaks


@pytest.mark.parametrize("act", ["create", "replace", "remove", "attempt"])
def test_it_may_break_off_at_any_file(root, tmp_path, monkeypatch, act):
    rows = rows_of(root)[:2]
    file = listed(tmp_path, entry("sha256", rows[0]), entry("key", rows[1]))
    whole = shutil.copytree(root, tmp_path / "whole")
    takedown(whole, file)
    wanted = everything(whole)
    for number in range(100):
        broken = shutil.copytree(root, tmp_path / f"broken-{number}")
        with monkeypatch.context() as patch:
            patch.setattr(Store, act, breaking(getattr(Store, act), False, number))
            try:
                takedown(broken, file)
            except Killed:
                pass
            else:
                break
        takedown(broken, file)
        assert everything(broken) == wanted, number
        shutil.rmtree(broken)
    assert number > 1


def test_what_runs_left_behind_goes_too_wherever_it_can_tell_of_the_rows(root, tmp_path):
    row, other = rows_of(root)[:2]
    orphan = root / "labels" / f"{row['unit']}.0123456789ab.tar"
    shutil.copy(next(root.glob(f"labels/{row['unit']}.*.tar")), orphan)
    (root / "shards" / ".dead.attempt").write_bytes(b"half a tar")
    recipe = load_recipe(RECIPE, ["collect.min_side=100"])
    build(recipe, [], root, settings=Settings("local", redo=True))
    shown = pictures_of(root, row["key"])
    takedown(root, listed(tmp_path, entry("sha256", row)))
    assert where(root, *shown) == set()
    assert not list(root.rglob(".*.attempt"))
    former = {layer.parquet.name for layer in Commits.read(Store(root)).all_layers(other["unit"])}
    assert other["unit"] == row["unit"] or all((root / name).exists() for name in former)
    assert_sound(root, [row])


def test_the_report_shows_the_picture_no_more(root, tmp_path):
    write_report(Store(root))
    row = next(r for r in rows_of(root) if (root / f"report/pictures/{r['key']}.jpg").exists())
    takedown(root, listed(tmp_path, entry("key", row)))
    assert not (root / f"report/pictures/{row['key']}.jpg").exists()
    page = (root / "report" / "index.html").read_text()
    assert row["key"] not in page and row["url"] not in page and "taken_down" in page
    for folder in ("pictures", "rejected", "samples"):
        for path in (root / "report").glob(f"{folder}/*"):
            key = path.name.partition(".")[0]
            assert key != row["key"] and key in page


def test_in_the_middle_of_a_redo_other_shards_stay_readable(root, tmp_path):
    other = load_recipe(RECIPE, ["people.min_area=0.3"])
    row = rows_of(root)[0]
    with humanverse.open(root) as dataset:
        table = dataset.to_table(["key", "shard"]).to_pydict()
    shards = dict(zip(table["key"], table["shard"], strict=True))
    shard = shards[row["key"]]
    settings = Settings("local", redo=True)
    build(other, [], root, slices=["filter"], packed=False, settings=settings)
    takedown(root, listed(tmp_path, entry("key", row)))
    with humanverse.open(root) as dataset:
        left = set(dataset.to_table(["key"])["key"].to_pylist())
    assert left == {key for key, number in shards.items() if number != shard}
    assert verify(Store(root)) == []
    build(other, [], root, slices=["annotate"], settings=settings)
    assert_sound(root, [row])
