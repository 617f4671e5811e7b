"""Near-duplicates of a whole build: in the ledger, in shards, while it grows and when rows go."""

import dataclasses
import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from shared import HERE, everything, listed, rows_of, shards

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.layers import failpoints, selected
from humanverse.layers.failpoints import Armed, Failed
from humanverse.layers.ledger import funnel
from humanverse.layers.repair import repair
from humanverse.layers.selected import SELECTION, read_selection
from humanverse.layers.store import Store
from humanverse.layers.verify import sweep, verify
from humanverse.recipe import load_recipe
from humanverse.run import takedown as verb
from humanverse.run.build import Settings, build, pack_root, select_root
from humanverse.run.takedown import takedown
from humanverse.select import Select
from humanverse.testing.stages import HashEmbed, is_gone

RECIPE = HERE / "recipes" / "copies.py"
COPIES = ("", "?1", "?3", "?9")
"""Of each picture: the second is 1 bit away from the first, the third 3 from it and 2 from the
second; the fourth is 6 from the third, and each is larger than the one before."""
LOCAL = Settings("local")


def table(path, numbers, copies=COPIES):
    urls = [f"http://localhost/{n}.jpg{copy}" for n in numbers for copy in copies]
    pq.write_table(pa.table({"url": urls}), path)
    return path


class SomeEmbed(HashEmbed):
    """No vector of every third picture."""

    writes = pa.schema([("embedding", pa.list_(pa.float16()))])

    def __call__(self, batch):
        found = super().__call__(batch)
        lost = [int(phash[0], 16) % 3 == 0 for phash in batch["phash"].to_pylist()]
        vectors = pc.if_else(pa.array(lost), None, found["embedding"])
        return found.set_column(1, "embedding", vectors)


def url_of(row):
    return row["url"].removeprefix("http://localhost/")


def verdicts(root):
    """URL to reason, of what could be had."""
    rows = humanverse.ledger(root).to_pylist()
    return {url_of(row): row["reason"] for row in rows if row["reason"] != "http_gone"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return table(tmp_path_factory.mktemp("table") / "urls.parquet", range(8))


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "root"
    build(RECIPE, inputs, root, settings=LOCAL)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "root")


def selection_of(root):
    store = Store(root)
    return store.read_table(read_selection(store).table.name)


def test_of_each_picture_the_largest_stays_and_the_ledger_says_what_became_of_the_others(made):
    had = [n for n in range(8) if not is_gone(f"http://localhost/{n}.jpg")]
    wanted = {f"{n}.jpg{copy}": None for n in had for copy in ("?3", "?9")}
    wanted |= {f"{n}.jpg{copy}": "near_duplicate" for n in had for copy in ("", "?1")}
    assert verdicts(made) == wanted
    assert {r["status"] for r in rows_of(made, "rejected")} == {"rejected"}
    assert {row["stage"] for row in rows_of(made, "rejected")} == {"select"}
    counts = funnel(Store(made))
    assert counts.reasons["select"] == {"near_duplicate": 2 * len(had)}
    assert counts.kept == 2 * len(had) == len(rows_of(made))
    assert counts.kept + sum(c.total() for c in counts.reasons.values()) == counts.rows
    assert verify(Store(made)) == []


def test_samples_tell_split_and_cluster_and_a_split_opens_alone(made):
    told = {row["key"]: row for row in selection_of(made).to_pylist()}
    with humanverse.open(made) as dataset:
        for sample in dataset:
            row = told[sample["key"]]
            assert sample["meta"]["split"] == row["split"]
            assert sample["meta"]["cluster"] == (row["cluster"] or row["key"])
    opened = {name: humanverse.open(made, split=name) for name in ("train", "test")}
    keys = [set(ds.to_table(["key"])["key"].to_pylist()) for ds in opened.values()]
    assert keys[0].isdisjoint(keys[1]) and all(keys)
    assert keys[0] | keys[1] == {row["key"] for row in rows_of(made)}
    card = (made / "shards" / "README.md").read_text()
    assert all(f"| {name} | {len(ds)} |" in card for name, ds in opened.items())
    with pytest.raises(UsageError, match=r"no split dev in .*: choose of test, train"):
        humanverse.open(made, split="dev")


def test_kept_near_duplicates_share_a_split_and_a_cluster(made, inputs, tmp_path):
    recipe = load_recipe(RECIPE, ["select.near_duplicates=keep"])
    build(recipe, inputs, tmp_path, settings=LOCAL)
    kept = rows_of(tmp_path)
    with humanverse.open(tmp_path) as dataset:
        metas = {url_of(s["meta"]): s["meta"] for s in dataset}
    assert len(metas) == len(kept) == 2 * len(rows_of(made))
    for url in (url for url in metas if "?" not in url):
        alike = [metas[url + copy] for copy in COPIES[:3]]
        assert len({meta["cluster"] for meta in alike}) == len({m["split"] for m in alike}) == 1
        assert metas[url + "?9"]["cluster"] == metas[url + "?9"]["key"]
    assert verify(Store(tmp_path)) == []


def test_embeddings_of_a_stage_find_near_duplicates_too(made, inputs, tmp_path):
    changes = ["select.by=embedding", "select.min_cosine=0.9"]
    recipe = load_recipe(RECIPE)
    embeds = dataclasses.replace(recipe, filter=[HashEmbed(), *recipe.filter])
    build(embeds.override(changes), inputs, tmp_path, settings=LOCAL)
    assert verdicts(tmp_path) == verdicts(made)
    assert verify(Store(tmp_path)) == []


@pytest.mark.parametrize("unit_rows", [3, 50])
def test_how_units_are_cut_decides_nothing(made, inputs, tmp_path, unit_rows):
    recipe = load_recipe(RECIPE, [f"plan.unit_rows={unit_rows}"])
    build(recipe, inputs, tmp_path, settings=LOCAL)
    without = [selection_of(r).drop_columns("unit").sort_by("key") for r in (made, tmp_path)]
    assert without[0].equals(without[1])


def test_in_parts_by_slices_or_again_it_is_the_same_to_the_byte(made, inputs, tmp_path):
    for limit in (1, 20, None):
        build(RECIPE, inputs, tmp_path / "parts", settings=Settings("local", limit=limit))
    for name in ("collect", "filter", "annotate"):
        build(RECIPE, inputs, tmp_path / "slices", slices=[name], packed=False, settings=LOCAL)
        inputs = ()
    assert main(["select", str(RECIPE), "--out", str(tmp_path / "slices")]) == 0
    assert main(["pack", str(RECIPE), "--out", str(tmp_path / "slices")]) == 0
    for other in ("parts", "slices"):
        files = [
            f"{folder}/{p.name}"
            for folder in ("select", "shards")
            for p in sorted((tmp_path / other / folder).iterdir())
        ]
        assert all((tmp_path / other / f).read_bytes() == (made / f).read_bytes() for f in files)
        assert shards(tmp_path / other) == shards(made)
        assert humanverse.ledger(tmp_path / other).equals(humanverse.ledger(made))


def test_while_layers_have_changed_since_rows_are_kept_until_it_is_made_anew(root, capsys):
    looser = load_recipe(RECIPE, ["people.min_people=1"])
    build(looser, slices=["filter"], out=root, packed=False, settings=Settings("local", redo=True))
    build(
        looser, slices=["annotate"], out=root, packed=False, settings=Settings("local", redo=True)
    )
    former = read_selection(Store(root))
    assert "select" not in funnel(Store(root)).reasons
    assert main(["status", str(root)]) == 0
    assert "near-duplicates count as kept" in capsys.readouterr().out
    assert set(verdicts(root).values()) == {None, "no_person"}
    made_anew = select_root(Store(root), looser)
    assert made_anew.layers != former.layers
    assert made_anew.rows < former.rows
    assert funnel(Store(root)).reasons["select"].total() > 0


def test_new_tables_touch_no_shard_though_they_bring_larger_copies(inputs, tmp_path):
    first = table(tmp_path / "first.parquet", range(6), ("", "?9"))
    second = table(tmp_path / "second.parquet", range(8), ("?1", "?3"))
    root = tmp_path / "root"
    build(RECIPE, first, root, settings=LOCAL)
    before, kept = shards(root), {row["key"] for row in rows_of(root)}
    build(RECIPE, [first, second], root, settings=LOCAL)
    after = shards(root)
    assert all(after[name] == before[name] for name in before if name[0].isdigit())
    assert kept < {row["key"] for row in rows_of(root)}
    told = verdicts(root)
    assert {told[url] for url in told if url.endswith(("?1", "?3"))} == {None, "near_duplicate"}
    assert verify(Store(root)) == []


def test_turned_off_all_are_back_and_the_shards_as_if_it_had_never_been(root, inputs, tmp_path):
    off = load_recipe(RECIPE, ["select.enabled=false"])
    build(off, inputs, tmp_path / "never", settings=LOCAL)
    build(off, [], root, settings=LOCAL)
    assert shards(root) == shards(tmp_path / "never")
    assert not Store(root).names("select")
    assert verify(Store(root)) == []
    with pytest.raises(UsageError, match="has no splits"):
        humanverse.open(root, split="train")


def test_only_shards_whose_rows_are_judged_otherwise_are_written_anew(root):
    def state():
        return {p.name: p.stat().st_mtime_ns for p in (root / "shards").glob("0*")}

    before = state()
    pack_root(Store(root), load_recipe(RECIPE, ["select.max_distance=5"]))
    assert state() == before
    pack_root(Store(root), load_recipe(RECIPE, ["select.max_distance=2"]))
    changed = {name for name in state() if before.get(name) != state()[name]}
    assert changed
    assert verify(Store(root)) == []


# Benchmarks


def test_pictures_of_a_benchmark_and_what_they_stand_for_are_left_out(root, tmp_path, capsys):
    row = next(r for r in rows_of(root) if r["url"].endswith("?3"))
    listed_hashes = tmp_path / "coco.parquet"
    near = int(row["phash"], 16) ^ (0b111 << 40)
    pq.write_table(pa.table({"phash": [f"{near:016X}", "f" * 16]}), listed_hashes)
    change = ["--set", f"select.benchmarks={listed_hashes}"]
    assert main(["select", str(RECIPE), "--out", str(root), *change]) == 0
    assert "held against 2 pictures of benchmarks" in capsys.readouterr().out
    gone = {url for url, reason in verdicts(root).items() if reason == "benchmark"}
    assert gone == {url_of(row).replace("?3", copy) for copy in COPIES[:3]}
    assert "coco.parquet/0" in selection_of(root)["benchmark"].to_pylist()
    recipe = load_recipe(RECIPE, [change[1]])
    pack_root(Store(root), recipe)
    assert verify(Store(root)) == []
    listed_hashes.touch()
    before = everything(root)
    pack_root(Store(root), recipe)
    assert everything(root) == before


def test_a_folder_of_pictures_is_hashed_as_collect_does_it(tmp_path):
    from shared import pictures

    from humanverse.codec import encode_jpeg
    from humanverse.collect.picture import normalise
    from humanverse.select.known import BOUNDS, known

    for photo in pictures(3):
        (tmp_path / "coco").mkdir(exist_ok=True)
        (tmp_path / "coco" / f"{photo.name}.jpg").write_bytes(encode_jpeg(photo.pixels, 90))
    (tmp_path / "coco" / "broken.jpg").write_bytes(b"no picture")
    found = known(Store(tmp_path / "root"), [tmp_path / "coco"], None)
    assert (found.pictures, found.unreadable) == (4, 1)
    data = (tmp_path / "coco" / "picture-001.jpg").read_bytes()
    place = found.hashes.tolist().index(int(normalise(data, BOUNDS).phash, 16))
    assert found.names[place] == "coco/picture-001.jpg"


# What goes wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("select.by=embedding", "needs a stage that writes the column embedding"),
        ("select.benchmarks=nowhere", "there is no nowhere"),
        ("select.splits=train=0.5", "add up to 1"),
        ("select.splits=train", "written as train=0.9,test=0.1"),
        ("select.max_distance=20", "max_distance is 0 to 8"),
        ("select.near_duplicates=maybe", "choose one of keep, drop"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    inputs, tmp_path, capsys, change, message
):
    root = tmp_path / "root"
    arguments = ["build", str(RECIPE), "--input", str(inputs), "--out", str(root)]
    assert main([*arguments, "--set", change]) == 2
    assert message in capsys.readouterr().err
    assert not root.exists()


def test_a_recipe_that_selects_nothing_is_told_how_to(inputs, tmp_path, capsys):
    arguments = ["select", str(RECIPE), "--out", str(tmp_path), "--set", "select.enabled=false"]
    assert main(arguments) == 2
    assert "--set select.enabled=true" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["selection.json", "*.parquet"])
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_selection_that_is_lost_is_found_and_made_again(root, which, how):
    store, wanted = Store(root), everything(root)
    (file,) = (root / "select").glob(which)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20])
    assert any("select/" in finding for finding in verify(store))
    assert list(repair(store)) == ["the selection will be made again"]
    pack_root(store, load_recipe(RECIPE))
    assert verify(store) == []
    assert everything(root) == wanted


def test_shards_that_do_not_hold_what_is_selected_are_found(root):
    store = Store(root)
    selection = read_selection(store)
    rows = store.read_table(selection.table.name)
    other = pc.replace_substring(rows["split"], "train", "test")
    at = rows.column_names.index("split")
    file = selected.put(store, "", rows.set_column(at, "split", other))
    body = json.loads((root / "shards/dataset.json").read_text())
    forged = dataclasses.replace(
        selection, table=file, **selected.summed(store.read_table(file.name), selection.splits)
    )
    selected.write_selection(store, forged)
    body["selection"] = file.sha256
    (root / "shards/dataset.json").write_text(json.dumps(body))
    assert any("are not as selected" in finding for finding in verify(store))


@pytest.mark.parametrize("point", ["synced", "named", "removed"])
def test_selecting_that_breaks_off_leaves_the_former_or_the_new_one(root, point):
    store, recipe = Store(root), load_recipe(RECIPE, ["select.max_distance=2"])
    former = (root / SELECTION).read_bytes()
    whole = shutil.copytree(root, root.parent / "whole")
    select_root(Store(whole), recipe)
    new = (whole / SELECTION).read_bytes()
    number, there = 1, set()
    while True:
        failpoints.arm(Armed(point, number, "raise"))
        try:
            select_root(store, recipe)
        except Failed:
            there.add((root / SELECTION).read_bytes())
            read_selection(store)
            assert verify(store) == []
        else:
            break
        finally:
            failpoints.arm(None)
        number += 1
    assert number > 1
    assert there <= {former, new}
    select_root(store, recipe)
    assert everything(root / "select") == everything(whole / "select")


def test_a_sweep_removes_what_no_selection_names(root):
    (root / "select" / "0123456789ab.parquet").write_bytes(b"left over")
    assert sweep(Store(root)) == ["select/0123456789ab.parquet"]
    assert verify(Store(root)) == []


# Takedown


def test_a_near_duplicate_of_what_is_taken_down_does_not_come_up_in_its_place(root, tmp_path):
    row = next(r for r in rows_of(root) if r["url"].endswith("?3"))
    alike = [url_of(row).replace("?3", copy) for copy in COPIES[:3]]
    others = {url: reason for url, reason in verdicts(root).items() if url not in alike}
    file = listed(tmp_path, f"key {row['key']}")
    assert takedown(root, file, dry_run=True).rows == 3
    assert takedown(root, file).rows == 3
    told = verdicts(root)
    assert {told[url] for url in alike} == {"taken_down"}
    assert {url: told[url] for url in others} == others
    store = Store(root)
    assert verify(store) == []
    assert row["key"] not in json.dumps(selection_of(root).to_pylist())
    before = everything(root)
    assert takedown(root, file).rows == 0
    pack_root(store, load_recipe(RECIPE))
    assert everything(root).keys() == before.keys()
    assert verdicts(root) == told


def test_a_near_duplicate_that_was_left_out_goes_alone(root, tmp_path):
    row = next(r for r in rows_of(root, "rejected") if r["url"].endswith("?1"))
    before = shards(root)
    assert takedown(root, listed(tmp_path, f"key {row['key']}")).rows == 1
    told = verdicts(root)
    assert told[url_of(row)] == "taken_down"
    assert told[url_of(row).replace("?1", "?3")] is None
    assert row["key"] not in selection_of(root)["key"].to_pylist()
    after = shards(root)
    with humanverse.open(root) as dataset:
        assert row["key"] not in dataset.to_table(["key"])["key"].to_pylist()
    assert after.keys() == before.keys()
    assert verify(Store(root)) == []


def test_of_kept_near_duplicates_only_the_one_that_is_named_goes(inputs, tmp_path):
    root = tmp_path / "root"
    recipe = load_recipe(RECIPE, ["select.near_duplicates=keep"])
    build(recipe, inputs, root, settings=LOCAL)
    row = next(r for r in rows_of(root) if r["url"].endswith("?3"))
    named = next(r for r in selection_of(root).to_pylist() if r["key"] == row["key"])["cluster"]
    for key in {row["key"], named}:
        takedown(root, listed(tmp_path, f"key {key}"))
    assert verify(Store(root)) == []
    assert verdicts(root)[url_of(row).replace("?3", "?1")] in (None, "taken_down")
    assert named not in json.dumps(selection_of(root).to_pylist())


@pytest.mark.parametrize("step", ["begin_takedown", "_remove", "end_takedown", "_pack"])
def test_a_takedown_that_breaks_off_is_ended_by_the_same_command(root, tmp_path, monkeypatch, step):
    row = next(r for r in rows_of(root) if r["url"].endswith("?3"))
    file = listed(tmp_path, f"key {row['key']}")
    whole = shutil.copytree(root, tmp_path / "whole")
    takedown(whole, file)
    wanted = everything(whole)
    for late in (False, True):
        broken = shutil.copytree(root, tmp_path / f"late-{late}")
        act = getattr(verb, step)

        def breaks(*arguments, act=act, late=late):
            if late:
                act(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(verb, step, breaks)
            with pytest.raises(KeyboardInterrupt):
                takedown(broken, file)
        takedown(broken, file)
        assert everything(broken) == wanted


def test_explain_tells_whose_near_duplicate_a_row_is(root, capsys):
    row = next(r for r in rows_of(root, "rejected") if r["stage"] == "select")
    stays = next(r for r in selection_of(root).to_pylist() if r["key"] == row["key"])
    arguments = ["explain", row["key"], "--recipe", str(RECIPE), "--out", str(root)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert f"select   near_duplicate: duplicate_of {stays['duplicate_of']}" in out


def test_shares_of_splits_are_read_in_order():
    assert Select(splits=("a=0.25", "b=.75")).shares() == {"a": 0.25, "b": 0.75}
    assert Select(splits=("all=1",)).shares() == {"all": 1.0}


@pytest.mark.parametrize("verb", ["select", "pack"])
def test_with_other_settings_than_the_roots_nothing_is_selected_or_packed(root, capsys, verb):
    before = everything(root)
    arguments = [verb, str(RECIPE), "--out", str(root), "--set", "people.max_people=5"]
    assert main(arguments) == 2
    assert "was made with other settings of people" in capsys.readouterr().err
    assert everything(root) == before


def test_status_and_card_tell_what_was_last_selected_and_packed_by(root, capsys):
    pack_root(Store(root), load_recipe(RECIPE, ["select.enabled=false"]))
    assert main(["status", str(root)]) == 0
    assert "near-duplicates" not in capsys.readouterr().out
    card = (root / "shards" / "README.md").read_text()
    assert "near_duplicates" not in card
    select_root(Store(root), load_recipe(RECIPE, ["select.max_distance=2"]))
    recipe = json.loads((root / "recipe.json").read_text())
    assert recipe["select"]["max_distance"] == 2


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([["00ff"]]), "phash cannot be read"),
        (pa.array([b"\xff" * 16]), "phash cannot be read"),
        (pa.array([], pa.string()), "holds no pictures"),
        (None, "holds no pictures"),
    ],
)
def test_benchmarks_that_say_nothing_are_refused(root, tmp_path, capsys, column, message):
    path = tmp_path / "benchmark.parquet"
    path.mkdir() if column is None else pq.write_table(pa.table({"phash": column}), path)
    arguments = ["select", str(RECIPE), "--out", str(root)]
    assert main([*arguments, "--set", f"select.benchmarks={path}"]) == 2
    assert message in capsys.readouterr().err


def test_embeddings_are_compared_though_some_units_have_none(tmp_path, inputs):
    recipe = load_recipe(RECIPE, ["plan.unit_rows=1"])
    embed = dataclasses.replace(recipe, collect=[*recipe.collect, SomeEmbed()])
    recipe = dataclasses.replace(embed, select=Select(by="embedding", min_cosine=0.95))
    build(recipe, inputs, tmp_path / "root", settings=LOCAL)
    assert verify(Store(tmp_path / "root")) == []
    assert "near_duplicate" in verdicts(tmp_path / "root").values()
