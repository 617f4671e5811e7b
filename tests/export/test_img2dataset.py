"""An export reads like img2dataset's own output, and loses nothing of what was collected."""

import gc
import hashlib
import io
import json
import shutil
import tarfile

import pyarrow.parquet as pq
import pytest
from PIL import Image
from shared import RECIPE, pictures

import humanverse
from humanverse import plan, schema
from humanverse.cli import main
from humanverse.collect import Collect
from humanverse.export import img2dataset
from humanverse.layers.commit import read_members
from humanverse.layers.commits import Commits
from humanverse.layers.store import Store
from humanverse.plan import Plan, make_plan
from humanverse.sources import images
from humanverse.testing.web import Row, picture_web, serve, status

SHARD = 7
"""Rows of a unit in the doubles' recipe."""
KINDS = ("jpg", "json", "txt")
STATS = (
    *("count", "successes", "failed_to_download", "failed_to_resize"),
    *("duration", "start_time", "end_time", "status_dict"),
)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def export(root, folder):
    return run("export", root, "--as", "img2dataset", "--to", folder)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """Twenty pictures, a page that is gone, one that is no picture, and a thumbnail."""
    thumbnail = io.BytesIO()
    Image.new("RGB", (40, 40), "teal").save(thumbnail, "JPEG")
    odd = {
        "/gone": status(404),
        "/page": serve(b"<html>", "text/html"),
        "/small": serve(thumbnail.getvalue()),
    }
    with picture_web(pictures(20)) as made:
        made.pages |= odd
        made.rows += [Row(path, f"odd {path}", None) for path in odd]
        made.table = tmp_path_factory.mktemp("web") / "urls.parquet"
        made.write_table(made.table)
        yield made


@pytest.fixture(scope="module")
def collected(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("collected") / "root"
    assert run("plan", RECIPE, "--input", web.table, "--out", root) == 0
    assert run("collect", RECIPE, "--out", root) == 0
    return root


@pytest.fixture
def root(collected, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(collected, tmp_path / "root")


@pytest.fixture(scope="module")
def ours(collected, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours") / "export"
    assert export(collected, folder) == 0
    return folder


@pytest.fixture(scope="module")
def theirs(web, tmp_path_factory):
    """The same table by img2dataset itself: its reader, its downloader, its writer."""
    folder = tmp_path_factory.mktemp("theirs")
    for shard in sharded(web.table, folder):
        their_downloader(folder).download_shard(shard)
    return folder


def sharded(table, folder):
    """Its reader over the shards that its own resuming would still do."""
    from img2dataset.reader import Reader

    # The line of its `main` that finds what is done.
    done = {int(path.name.split("_")[0]) for path in folder.glob("*.json")}
    spare = folder.parent / f"{folder.name}-spare"
    spare.mkdir()
    named = ("parquet", "url", "caption", None, None, None)
    return Reader(str(table), *named, SHARD, done, str(spare))


def their_downloader(folder):
    from img2dataset.downloader import Downloader
    from img2dataset.resizer import Resizer
    from img2dataset.writer import WebDatasetSampleWriter

    return Downloader(
        sample_writer_class=WebDatasetSampleWriter,
        resizer=Resizer(1024, "keep_ratio", resize_only_if_bigger=True, min_image_size=64),
        thread_count=4,
        save_caption=True,
        extract_exif=True,
        output_folder=str(folder),
        column_list=["caption", "url"],
        timeout=10,
        number_sample_per_shard=10_000,
        oom_shard_count=5,
        compute_hash="sha256",
        verify_hash_type=None,
        encode_format="jpg",
        retries=0,
        user_agent_token=None,
        disallowed_header_directives=None,
    )


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """albumentations asks the web for its newest version unless told not to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        yield


THEIRS_WARN = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def shards(folder):
    return sorted(path.name.removesuffix(".tar") for path in folder.glob("*.tar"))


def rows(folder):
    return [row for shard in shards(folder) for row in table(folder, shard).to_pylist()]


def table(folder, shard):
    return pq.read_table(folder / f"{shard}.parquet")


def members(folder):
    out = {}
    for shard in shards(folder):
        with tarfile.open(folder / f"{shard}.tar") as tar:
            out |= {info.name: tar.extractfile(info).read() for info in tar}
    return out


def layer_pictures(root):
    """Our key to the bytes that collect keeps."""
    store = Store(root)
    commits = Commits.read(store)
    out = {}
    for unit in plan.units(store):
        found = read_members(store, commits.layers(unit.name)["collect"])
        out |= {key: files["jpg"] for key, files in found.items()}
    return out


@THEIRS_WARN
def test_files_schema_members_json_and_stats_are_those_of_img2dataset(ours, theirs):
    assert sorted(p.name for p in ours.iterdir()) == sorted(p.name for p in theirs.iterdir())
    for shard in shards(theirs):
        assert table(ours, shard).schema.equals(table(theirs, shard).schema)
        stats = [json.loads((f / f"{shard}_stats.json").read_text()) for f in (ours, theirs)]
        assert [*stats[0]] == [*stats[1]] == [*STATS]
        assert [type(value) for value in stats[0].values()] == [
            type(value) for value in stats[1].values()
        ]
    mine, other = members(ours), members(theirs)
    assert {len(name) for name in mine} == {len(name) for name in other}
    described = [
        [[*json.loads(data)] for name, data in files.items() if name.endswith(".json")]
        for files in (mine, other)
    ]
    assert described[0] == described[1]
    with tarfile.open(theirs / "00000.tar") as tar:
        order = [name.partition(".")[2] for name in tar.getnames()]
    with tarfile.open(ours / "00000.tar") as tar:
        assert [name.partition(".")[2] for name in tar.getnames()][:3] == order[:3] == [*KINDS]


@THEIRS_WARN
def test_every_row_ends_as_it_does_by_img2dataset(ours, theirs):
    fields = ("caption", "status", "width", "height", "original_width", "original_height", "sha256")
    mine, other = (
        {row["url"]: [row[f] for f in fields] for row in rows(f)} for f in (ours, theirs)
    )
    assert mine == other
    assert {row["exif"] for row in rows(ours)} == {None}


@THEIRS_WARN
def test_keys_are_those_that_img2dataset_computes(ours):
    from img2dataset.downloader import compute_key

    for number, shard in enumerate(shards(ours)):
        keys = table(ours, shard)["key"].to_pylist()
        assert keys == [compute_key(row, number, 4, 5) for row in range(len(keys))]


@THEIRS_WARN
def test_img2dataset_takes_an_export_for_its_own_finished_work(web, collected, ours, tmp_path):
    folder = shutil.copytree(ours, tmp_path / "export")
    assert list(sharded(web.table, folder)) == []
    (folder / "00001_stats.json").unlink()
    shutil.rmtree(tmp_path / "export-spare")
    assert [number for number, _ in sharded(web.table, folder)] == [1]


def test_messages_tell_our_reasons_and_stats_count_them(ours):
    by_url = {row["url"].rpartition("/")[2]: row for row in rows(ours)}
    for name, reason in (("gone", "http_gone"), ("page", "not_image"), ("small", "too_small")):
        row = by_url[name]
        assert row["error_message"] == f"{reason}: {schema.REASONS[reason].doc}"
        assert row["status"] == img2dataset.STATUSES[reason]
    stats = [json.loads((ours / f"{shard}_stats.json").read_text()) for shard in shards(ours)]
    assert sum(s["successes"] for s in stats) == 20
    assert sum(s["status_dict"].get("success", 0) for s in stats) == 20
    assert sum(s["failed_to_download"] for s in stats) == 1
    assert sum(s["failed_to_resize"] for s in stats) == 2
    assert (
        sum(sum(s["status_dict"].values()) for s in stats) == sum(s["count"] for s in stats) == 23
    )


def test_every_reason_of_collect_has_a_status_of_img2dataset():
    assert set(img2dataset.STATUSES) == set(Collect.reasons)
    assert set(img2dataset.STATUSES.values()) == {"failed_to_download", "failed_to_resize"}


# webdataset leaves the files it read to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_webdataset_reads_it_with_the_pictures_that_were_collected(collected, ours):
    import webdataset

    paths = [str(ours / f"{shard}.tar") for shard in shards(ours)]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False))
    gc.collect()
    ledger = {row["url"]: row["key"] for row in humanverse.ledger(collected).to_pylist()}
    kept = layer_pictures(collected)
    assert len(samples) == 20
    for sample in samples:
        meta = json.loads(sample["json"])
        assert sample["jpg"] == kept[ledger[meta["url"]]]
        assert sample["txt"].decode() == meta["caption"]
        with Image.open(io.BytesIO(sample["jpg"])) as image:
            assert image.size == (meta["width"], meta["height"])


def test_it_can_be_planned_again_without_losing_a_row_or_a_bit(collected, ours, tmp_path):
    store = Store(tmp_path / "again")
    make_plan(store, [ours], Plan())
    again = [row for unit in plan.units(store) for row in plan.read_unit(store, unit).to_pylist()]
    others = [row for _, t in plan.read_unplanned(store) for row in t.to_pylist()]
    assert len(again) + len(others) == humanverse.ledger(collected).num_rows == 23
    assert {row["reason"] for row in others} == {"not_at_hand"}
    kept = layer_pictures(collected)
    found = {row["key"]: sha256(images.read(row["location"])) for row in again}
    assert found == {key: sha256(data) for key, data in kept.items()}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_what_a_table_tells_stands_in_front_as_additional_columns_do(web, tmp_path):
    table = pq.read_table(web.table)
    for name, values in (("similarity", 0.3), ("punsafe", None), ("LICENSE", "?")):
        table = table.append_column(name, [[values] * table.num_rows])
    pq.write_table(table, tmp_path / "laion.parquet")
    root, folder = tmp_path / "root", tmp_path / "export"
    run("plan", RECIPE, "--input", tmp_path / "laion.parquet", "--out", root)
    run("collect", RECIPE, "--out", root)
    export(root, folder)
    names = pq.read_schema(folder / "00000.parquet").names
    assert names == ["similarity", "license", *img2dataset.COLUMNS.names]
    again = next(images.rows(folder))
    assert again["similarity"] == pytest.approx(0.3) and again["license"] == "?"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_same_root_gives_the_same_bytes_and_whole_shards_are_left_alone(root, ours, capsys):
    folder = root.parent / "export"
    export(root, folder)
    assert contents(folder) == contents(ours)
    before = times(folder)
    capsys.readouterr()
    assert export(root, folder) == 0
    assert times(folder) == before
    assert "20 pictures of 23 rows in 4 shards" in capsys.readouterr().out


@pytest.mark.parametrize("lost", ["00002_stats.json", "00002.tar"])
def test_a_shard_that_is_not_whole_is_written_anew_alone(root, ours, lost):
    folder = root.parent / "export"
    export(root, folder)
    before = times(folder)
    (folder / lost).unlink()
    export(root, folder)
    assert contents(folder) == contents(ours)
    after = times(folder)
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.startswith("00002")
    }


def test_units_collected_anew_are_handed_on_anew(root, capsys):
    folder = root.parent / "export"
    export(root, folder)
    widths = {row["width"] for row in rows(folder)}
    run("collect", RECIPE, "--out", root, "--set", "collect.max_side=128", "--redo", "--limit", 7)
    capsys.readouterr()
    export(root, folder)
    assert "3 units are not collected yet" in capsys.readouterr().out
    assert shards(folder) == ["00000"]
    run("collect", RECIPE, "--out", root, "--set", "collect.max_side=128", "--redo")
    export(root, folder)
    assert max(row["width"] or 0 for row in rows(folder)) == 128 < max(w or 0 for w in widths)
    assert len(rows(folder)) == 23


def test_rows_that_were_tried_again_are_handed_on_once(web, root, tmp_path, capsys):
    folder = tmp_path / "export"
    export(root, folder)
    before = {row["url"]: row["key"] for row in rows(folder)}
    assert run("collect", RECIPE, "--out", root, "--retry", "http_gone,not_image") == 0
    export(root, folder)
    after = {row["url"]: row["key"] for row in rows(folder)}
    assert len(rows(folder)) == len(after) == 23
    changed = {url.rpartition("/")[2] for url in after if after[url] != before[url]}
    assert changed == {"gone", "page"}


def test_pictures_that_a_build_did_not_keep_say_so_and_count_as_no_success(web, tmp_path, capsys):
    run("build", RECIPE, "--input", web.table, "--out", tmp_path / "root")
    capsys.readouterr()
    assert export(tmp_path / "root", tmp_path / "export") == 0
    ledger = humanverse.ledger(tmp_path / "root").to_pylist()
    kept = sum(row["status"] == "kept" for row in ledger)
    assert f"{20 - kept} pictures were collected but not kept" in capsys.readouterr().out
    found = rows(tmp_path / "export")
    assert sum(row["status"] == "success" for row in found) == kept < 20
    silent = [row for row in found if row["error_message"] == img2dataset.NOT_KEPT]
    assert len(silent) == 20 - kept
    assert {row["status"] for row in silent} == {"failed_to_resize"}


def nothing(_):
    pass


def collected_nothing(place):
    place["ROOT"].mkdir()
    shutil.copy(place["COLLECTED"] / "recipe.json", place["ROOT"])
    shutil.copytree(place["COLLECTED"] / "plan", place["ROOT"] / "plan")


def whole(place):
    shutil.copytree(place["COLLECTED"], place["ROOT"])


def beside_other_shards(place):
    whole(place)
    place["TO"].mkdir()
    pq.write_table(
        pq.read_table(next((place["ROOT"] / "plan").glob("*.0000.*.parquet"))),
        place["TO"] / "00000.parquet",
    )


def beside_a_folder_like_a_shard(place):
    whole(place)
    (place["TO"] / "00000.parquet").mkdir(parents=True)


def beside_other_json(place):
    whole(place)
    place["TO"].mkdir()
    (place["TO"] / "notes.json").write_text("{}")


def onto_a_file(place):
    whole(place)
    place["TO"].write_text("a file")


@pytest.mark.parametrize(
    ("target", "make", "message"),
    [
        ("TO", nothing, "holds no dataset"),
        ("TO", collected_nothing, "nothing is collected yet"),
        ("ROOT", whole, "must lie apart"),
        ("ROOT/collect", whole, "must lie apart"),
        ("ROOT/..", whole, "must lie apart"),
        ("TO", beside_other_shards, "holds 00000.parquet, which is not of this export"),
        ("TO", beside_a_folder_like_a_shard, "holds 00000.parquet, which is not of this export"),
        ("TO", beside_other_json, "holds notes.json, which is not of this export"),
        ("TO", onto_a_file, "cannot write to"),
        ("ftp://host/x", whole, "begins with s3://"),
    ],
)
def test_a_wrong_call_gives_one_clear_line_exits_with_2_and_touches_nothing(
    collected, tmp_path, capsys, target, make, message
):
    place = {"ROOT": tmp_path / "d" / "root", "TO": tmp_path / "to", "COLLECTED": collected}
    place["ROOT"].parent.mkdir()
    make(place)
    before = sorted(tmp_path.rglob("*"))
    head, slash, tail = target.partition("/")
    to = f"{place[head]}{slash}{tail}" if head in place else target
    assert export(place["ROOT"], to) == 2
    err = capsys.readouterr().err.splitlines()
    assert message in err[-1] and len(err) == 1
    assert sorted(tmp_path.rglob("*")) == before
