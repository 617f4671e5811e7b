"""One build is like another: by slices or streamed, on either runner, in one go or in many."""

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from shared import HERE, RAY_WARNS, RECIPE, everything, kept_urls, shards

import humanverse
from humanverse.errors import UsageError
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build

SHARP = 550.0
USER_STAGE = HERE / "recipes" / "user_stage.py"


@pytest.fixture(scope="module")
def undisturbed(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed") / "root"
    outcome = build(RECIPE, [web.table], root, settings=Settings("local"))
    assert outcome.left == 0
    return root


@pytest.fixture(scope="session")
def ray_stopped_afterwards():
    yield
    import ray

    ray.shutdown()


def test_every_input_row_has_one_row_in_the_ledger_and_the_sums_agree(undisturbed, web):
    ledger = humanverse.ledger(undisturbed)
    assert sorted(ledger["row"].to_pylist()) == list(range(len(web.rows)))
    counts = funnel(Store(undisturbed))
    by_status = dict(pc.value_counts(ledger["status"]).to_pylist()[i].values() for i in range(2))
    assert by_status["kept"] == counts.kept > 0
    assert by_status["rejected"] == sum(c.total() for c in counts.reasons.values()) > 0
    kept = ledger.filter(pc.equal(ledger["status"], "kept"))
    assert pc.min(kept["person_area"]).as_py() >= 0.2
    assert set(kept["person_count"].to_pylist()) <= {1, 2, 3}
    rejected = ledger.filter(pc.equal(ledger["stage"], "people"))
    assert rejected["person_area"].null_count == 0


def test_slice_by_slice_gives_the_same_shards_as_streaming(undisturbed, web, tmp_path):
    recipe = load_recipe(RECIPE)
    settings = Settings("local")
    build(recipe, [web.table], tmp_path, slices=["collect"], packed=False, settings=settings)
    build(recipe, [], tmp_path, slices=["filter"], packed=False, settings=settings)
    build(recipe, [], tmp_path, slices=["annotate"], settings=settings)
    assert shards(tmp_path) == shards(undisturbed)
    assert verify(Store(tmp_path)) == []


@RAY_WARNS
def test_ray_gives_the_same_bytes_as_the_local_runner(
    undisturbed, web, tmp_path, ray_stopped_afterwards
):
    build(RECIPE, [web.table], tmp_path, settings=Settings("ray"))
    assert everything(tmp_path) == everything(undisturbed)


def test_a_build_in_parts_ends_as_one_in_one_go(undisturbed, web, tmp_path):
    for limit in (1, 20):
        outcome = build(RECIPE, [web.table], tmp_path, settings=Settings("local", limit=limit))
        assert outcome.left > 0
    assert build(RECIPE, [web.table], tmp_path, settings=Settings("local")).left == 0
    assert shards(tmp_path) == shards(undisturbed)


def test_building_again_does_nothing(undisturbed, web):
    before = everything(undisturbed)
    outcome = build(RECIPE, [web.table], undisturbed, settings=Settings("local"))
    assert outcome.done == 0
    assert everything(undisturbed) == before


def test_a_build_that_is_killed_goes_on_where_it_was(undisturbed, web, tmp_path):
    command = [sys.executable, "-m", "humanverse", "build", str(RECIPE), "--runner", "local"]
    command += ["--input", str(web.table), "--out", str(tmp_path / "root")]
    for kind in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        commits = tmp_path / "root" / "commits"
        have = len(list(commits.glob("*.json"))) if commits.is_dir() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if commits.is_dir() and len(list(commits.glob("*.json"))) > have:
                process.send_signal(kind)
                break
            time.sleep(0.01)
        process.wait(60)
    subprocess.run(command, check=True, capture_output=True)
    assert shards(tmp_path / "root") == shards(undisturbed)
    assert verify(Store(tmp_path / "root")) == []


def test_new_thresholds_redo_only_what_stands_on_them(web, tmp_path):
    recipe = load_recipe(RECIPE)
    settings = Settings("local", redo=True)
    for name in ("collect", "filter", "annotate"):
        build(
            recipe,
            [web.table] if name == "collect" else [],
            tmp_path,
            slices=[name],
            settings=settings,
        )
    before, kept = everything(tmp_path), funnel(Store(tmp_path)).kept
    stricter = recipe.override(["people.min_area=0.3"])
    build(stricter, [], tmp_path, slices=["filter"], packed=False, settings=settings)
    after = everything(tmp_path)
    for layer in ("collect", "detect"):
        assert {p for p in before if p.parts[0] == layer} == {
            p for p in after if p.parts[0] == layer
        }
    build(stricter, [], tmp_path, slices=["annotate"], settings=settings)
    assert 0 < funnel(Store(tmp_path)).kept < kept
    assert verify(Store(tmp_path)) == []
    with humanverse.open(tmp_path) as ds:
        assert min(ds.to_table(["person_area"])["person_area"].to_pylist()) >= 0.3
        assert len(ds) == funnel(Store(tmp_path)).kept


def test_rows_that_a_looser_filter_revives_without_bytes_are_deferred(undisturbed, web, tmp_path):
    recipe = load_recipe(RECIPE)
    looser = recipe.override(["people.min_area=0.0"])
    streamed = Settings("local", redo=True)
    build(recipe, [web.table], tmp_path, settings=streamed)
    build(looser, [], tmp_path, slices=["filter"], packed=False, settings=streamed)
    build(looser, [], tmp_path, slices=["annotate"], settings=streamed)
    counts = funnel(Store(tmp_path))
    assert counts.kept + sum(c.total() for c in counts.reasons.values()) == counts.rows


@RAY_WARNS
@pytest.mark.parametrize("runner", ["local", "ray"])
def test_a_stage_of_the_users_own_runs_on_both_runners(
    web, tmp_path, runner, ray_stopped_afterwards
):
    outcome = build(USER_STAGE, [web.table], tmp_path, settings=Settings(runner))
    assert outcome.funnel.reasons["sharpness"]["blurred"] > 0
    ledger = humanverse.ledger(tmp_path)
    assert "rejected" in ledger.filter(pc.equal(ledger["reason"], "blurred"))["status"].to_pylist()
    with humanverse.open(tmp_path) as ds:
        assert min(ds.to_table(["sharpness"])["sharpness"].to_pylist()) >= SHARP
        assert ds[0]["meta"]["sharpness"] >= SHARP
    assert verify(Store(tmp_path)) == []


def test_more_tables_later_add_shards_and_touch_none(undisturbed, web, tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    table = pq.read_table(web.table)
    pq.write_table(table.slice(0, 30), first)
    pq.write_table(pa.concat_tables([table.slice(20), table.slice(0, 3)]), second)
    root = tmp_path / "root"
    build(RECIPE, [first], root, settings=Settings("local"))
    before = shards(root)
    build(RECIPE, [first, second], root, settings=Settings("local"))
    after = shards(root)
    assert all(before[n] == after[n] for n in before if n[0].isdigit())
    ledger = humanverse.ledger(root)
    assert ledger.num_rows == 30 + 43
    assert ledger["reason"].to_pylist().count("duplicate") == 13
    assert kept_urls(root) == kept_urls(undisturbed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["people.min_area=0.3"], "made with other settings"),
        (["collect.quality=80"], "made with other settings"),
    ],
)
def test_a_root_made_with_other_settings_is_refused_untouched(undisturbed, web, change, message):
    before = everything(undisturbed)
    recipe = load_recipe(RECIPE, change)
    for slices in (["filter"], ["annotate"], ["collect", "filter", "annotate"]):
        if slices != ["filter"] or change != ["people.min_area=0.3"]:
            with pytest.raises(UsageError, match=message):
                build(recipe, [], undisturbed, slices=slices, settings=Settings("local"))
    assert everything(undisturbed) == before


def test_a_slice_needs_those_before_it(web, tmp_path):
    recipe = load_recipe(RECIPE)
    with pytest.raises(UsageError, match="holds no plan"):
        build(recipe, [], tmp_path / "root", slices=["collect"])
    assert not (tmp_path / "root").exists()
    from humanverse.run.build import Watcher, prepare

    prepare(Store(tmp_path / "root"), recipe, [web.table], ["collect"], Settings(), Watcher())
    with pytest.raises(UsageError, match="not through collect yet"):
        build(recipe, [], tmp_path / "root", slices=["filter"])


@pytest.mark.skipif(os.geteuid() != 0, reason="another user cannot make a folder read-only to root")
def test_a_root_that_cannot_be_written_is_refused(web):
    with pytest.raises(UsageError, match="cannot write to /proc/"):
        build(RECIPE, [web.table], "/proc/humanverse", settings=Settings("local"))


def test_images_at_hand_go_the_same_way(undisturbed, web, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    with humanverse.open(undisturbed) as ds:
        from humanverse.codec import encode_jpeg

        for sample in ds:
            (folder / f"{sample['key']}.jpg").write_bytes(encode_jpeg(sample["image"], 95))
    (folder / "broken.jpg").write_bytes(b"no picture")
    outcome = build(RECIPE, [folder], tmp_path / "root", settings=Settings("local"))
    ledger = humanverse.ledger(tmp_path / "root")
    assert ledger.num_rows == outcome.funnel.rows == len(list(folder.iterdir()))
    assert ledger["reason"].to_pylist().count("not_image") == 1
    assert verify(Store(tmp_path / "root")) == []


@pytest.mark.parametrize("change", ["people.min_area=0.05", "people.min_score=0.7"])
def test_labels_of_other_settings_are_not_packed_with_a_new_filter(
    undisturbed, web, tmp_path, change
):
    root = tmp_path / "root"
    shutil.copytree(undisturbed, root)
    other, settings = load_recipe(RECIPE, [change]), Settings("local", redo=True)
    outcome = build(other, [], root, slices=["filter"], settings=settings)
    assert (outcome.funnel.kept, outcome.shards) == (0, [])
    assert outcome.funnel.pending > 0
    assert set(humanverse.ledger(root)["status"].to_pylist()) <= {"pending", "rejected"}
    build(other, [], root, slices=["annotate"], settings=settings)
    assert verify(Store(root)) == []


def test_one_bad_address_or_picture_does_not_end_a_run(tmp_path, web):
    urls = [*pq.read_table(web.table)["url"].to_pylist()[:3], "http://a:99999/x.jpg"]
    pq.write_table(pa.table({"url": urls}), tmp_path / "t.parquet")
    build(RECIPE, tmp_path / "t.parquet", tmp_path / "root", settings=Settings("local"))
    assert "bad_address" in humanverse.ledger(tmp_path / "root")["reason"].to_pylist()


def test_a_table_without_any_usable_row_is_planned_and_done(tmp_path):
    pq.write_table(pa.table({"url": [1, 2]}), tmp_path / "t.parquet")
    outcome = build(RECIPE, [tmp_path / "t.parquet"], tmp_path / "root")
    assert (outcome.funnel.rows, outcome.left) == (2, 0)
    assert verify(Store(tmp_path / "root")) == []


def test_a_shard_that_is_gone_is_packed_again(undisturbed, web, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(undisturbed, root)
    (root / "shards" / "00000.tar").unlink()
    (root / "shards" / "00001.parquet").unlink()
    build(RECIPE, [web.table], root, settings=Settings("local"))
    assert shards(root) == shards(undisturbed)


def test_a_dataset_travels_to_spawned_workers(undisturbed, monkeypatch, tmp_path):
    monkeypatch.chdir(undisturbed.parent)
    with humanverse.open(undisturbed.name, columns=["caption"]) as ds:
        first = ds[0]
        monkeypatch.chdir(tmp_path)
        assert ds[1]["caption"] == ds[ds.key(1)]["caption"]
        with pickle.loads(pickle.dumps(ds)) as copy:
            assert copy[0] == first
        with pytest.raises(TypeError):
            ds[0:2]


def test_without_a_stage_that_looks_at_pictures_none_is_kept_whose_bytes_are_gone(web, tmp_path):
    strict, loose = (
        dataclasses.replace(load_recipe(RECIPE, [f"people.min_area={area}"]), annotate=())
        for area in (0.5, 0.1)
    )
    build(strict, [web.table], tmp_path, settings=Settings("local"))
    first = set(kept_urls(tmp_path))
    again = build(loose, [], tmp_path, settings=Settings("local", redo=True, keep_rejected=False))
    assert again.funnel.reasons["people"]["bytes_missing"] > 0
    assert kept_urls(tmp_path) == first
    with humanverse.open(tmp_path) as dataset:
        assert all("image" in sample for sample in dataset)
    assert verify(Store(tmp_path)) == []
    build(loose, [], tmp_path, settings=Settings("local", retry="bytes_missing"))
    assert len(kept_urls(tmp_path)) > len(first)
    assert verify(Store(tmp_path)) == []
