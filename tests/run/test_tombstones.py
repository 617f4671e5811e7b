"""What was taken down stays away, whatever is run on the root afterwards."""

import collections
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import RAY_WARNS, RECIPE, everything, listed, pictures, rows_of

import humanverse
from humanverse.codec import encode_jpeg
from humanverse.errors import DataError, UsageError
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.tombstones import add_tombstones, read_tombstones, told_of
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, Watcher, build, prepare
from humanverse.run.local import run_local
from humanverse.run.takedown import takedown
from humanverse.testing.web import ANY, Row, Web, redirect, serve, status

SLICES = ("collect", "filter", "annotate")
BEFORE = load_recipe(RECIPE)
ANEW = load_recipe(RECIPE, ["collect.quality=80"])
"""Collects everything once more."""
REDO = Settings("local", redo=True)


LATE = ("/picture-001.jpg", "/picture-002.jpg")


class Counting(Web):
    """A web that counts how often each page is asked for; two pages say 503 while it is busy."""

    asked: collections.Counter
    busy = False

    async def _answer(self, request):
        self.asked[request.path] += 1
        return await super()._answer(request)

    def late(self, page):
        async def answer(request):
            return await (status(503) if self.busy else page)(request)

        return answer


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    counting = Counting({}, [])
    counting.asked = collections.Counter()
    for photo in pictures(30):
        counting.pages[f"/{photo.name}.jpg"] = serve(encode_jpeg(photo.pixels, 92))
        counting.rows.append(Row(f"/{photo.name}.jpg", photo.caption, ANY))
    for path in LATE:
        counting.pages[path] = counting.late(counting.pages[path])
    target = "/picture-009.jpg"
    counting.pages["/moved.jpg"] = redirect(lambda: f"http://localhost:{counting.port}{target}")
    counting.rows.append(Row("/moved.jpg", "it moved", ANY))
    with counting:
        counting.table = tmp_path_factory.mktemp("web") / "urls.parquet"
        counting.write_table(counting.table)
        yield counting


@pytest.fixture(scope="module")
def built(web, tmp_path_factory):
    root = tmp_path_factory.mktemp("built") / "root"
    build(BEFORE, [web.table], root, settings=Settings("local"))
    return root


@pytest.fixture
def root(built, tmp_path, web):
    web.asked.clear()
    return shutil.copytree(built, tmp_path / "root")


def path_of(row):
    return "/" + row["url"].rpartition("/")[2]


def assert_away(root, rows):
    gone = {row["key"] for row in rows}
    ledger = [row for row in humanverse.ledger(root).to_pylist() if row["key"] in gone]
    ledger = [row for row in ledger if row["unit"]]  # a doubled row of another table has none
    assert {row["reason"] for row in ledger} == {"taken_down"}
    with humanverse.open(root) as dataset:
        assert gone.isdisjoint(dataset.to_table(["key"])["key"].to_pylist())
    assert verify(Store(root)) == []


@pytest.mark.parametrize("kind", ["url", "sha256", "phash"])
def test_nothing_asks_for_it_again(root, web, tmp_path, kind):
    row = rows_of(root)[2]
    takedown(root, listed(tmp_path, f"{kind} {row[kind]}"))
    build(BEFORE, [web.table], root, settings=Settings("local"))
    assert not web.asked
    build(ANEW, [], root, settings=REDO)
    assert len(web.asked) > 25 and path_of(row) not in web.asked
    assert_away(root, [row])
    build(ANEW, [], root, settings=Settings("local", retry="taken_down"))
    assert path_of(row) not in web.asked
    assert_away(root, [row])


def test_another_table_that_names_it_does_not_bring_it_back(root, web, tmp_path):
    row = rows_of(root)[2]
    copy = "/copy.jpg"
    web.pages[copy] = web.pages[path_of(row)]
    takedown(root, listed(tmp_path, f"sha256 {row['sha256']}", "host localhost"))
    urls = [row["url"], web.url(copy), f"http://localhost:{web.port}/picture-000.jpg"]
    pq.write_table(pa.table({"url": urls}), tmp_path / "more.parquet")
    build(BEFORE, [tmp_path / "more.parquet"], root, settings=Settings("local"))
    assert set(web.asked) == {"/robots.txt", copy}
    ledger = {r["url"]: r for r in humanverse.ledger(root).to_pylist() if r["generation"] == 1}
    assert [ledger[url]["reason"] for url in urls] == ["duplicate", "taken_down", "taken_down"]
    assert ledger[web.url(copy)]["sha256"] is None
    assert_away(root, [row])


@RAY_WARNS
@pytest.mark.slow
def test_workers_of_a_cluster_are_told_too(root, web, tmp_path):
    import ray

    rows = rows_of(root)[:2]
    takedown(root, listed(tmp_path, *(f"phash {row['phash']}" for row in rows)))
    try:
        build(ANEW, [], root, settings=Settings("ray", redo=True))
    finally:
        ray.shutdown()
    assert len(web.asked) > 25 and not {path_of(row) for row in rows} & set(web.asked)
    assert_away(root, rows)


def test_a_host_that_a_redirect_led_to_is_known(root, web, tmp_path):
    recipe = load_recipe(RECIPE, ["collect.allow_hosts=127.0.0.1,localhost"])
    other = tmp_path / "other"
    build(recipe, [web.table], other, settings=Settings("local"))
    moved = next(r for r in humanverse.ledger(other).to_pylist() if path_of(r) == "/moved.jpg")
    assert moved["final_host"] == "localhost"
    assert takedown(other, listed(tmp_path, "host localhost")).by_kind == {"host": 1}
    assert read_tombstones(Store(other)) == ("host localhost", f"key {moved['key']}")
    web.asked.clear()
    build(recipe.override(["collect.quality=80"]), [], other, settings=REDO)
    assert "/moved.jpg" not in web.asked
    assert_away(other, [moved])


def test_a_row_that_was_tried_again_is_taken_down_in_both_units(web, tmp_path):
    root, recipe = tmp_path / "root", load_recipe(RECIPE, ["collect.tries=1"])
    web.busy = True
    try:
        build(recipe, [web.table], root, settings=Settings("local"))
    finally:
        web.busy = False
    build(recipe, [], root, settings=Settings("local", retry="transient"))
    rows = [row for row in humanverse.ledger(root).to_pylist() if row["generation"] == 1]
    assert len(rows) == 2 and all(row["sha256"] for row in rows)
    told = takedown(root, listed(tmp_path, *(f"sha256 {row['sha256']}" for row in rows)))
    assert told.rows == 4, "each lies in two units"
    assert_away(root, rows)
    assert funnel(Store(root)).reasons["collect"]["taken_down"] == 2
    web.asked.clear()
    build(ANEW, [], root, settings=REDO)
    assert not set(LATE) & set(web.asked)
    assert_away(root, rows)


def test_units_that_are_not_collected_yet_need_nothing_but_the_list(web, tmp_path):
    root = tmp_path / "root"
    build(BEFORE, [web.table], root, settings=Settings("local", limit=7))
    waiting = rows_of(root, "pending")
    told = takedown(root, listed(tmp_path, *(f"url {row['url']}" for row in waiting[:4])))
    assert (told.rows, told.waiting, told.units) == (0, 4, 0)
    web.asked.clear()
    build(BEFORE, [], root, settings=Settings("local"))
    assert web.asked and not {path_of(row) for row in waiting[:4]} & set(web.asked)
    assert_away(root, waiting[:4])


@pytest.mark.parametrize("kind", ["key", "sha256", "phash"])
def test_pictures_at_hand_are_refused_by_each_kind(web, tmp_path, kind):
    folder, root = tmp_path / "photos", tmp_path / "root"
    folder.mkdir()
    for photo in pictures(8, seed=5):
        (folder / f"{photo.name}.jpg").write_bytes(encode_jpeg(photo.pixels, 95))
    build(BEFORE, [folder], root, settings=Settings("local"))
    row = next(row for row in humanverse.ledger(root).to_pylist() if row["phash"])
    file = listed(tmp_path, f"{kind} {row[kind]}")
    takedown(root, file)
    build(ANEW, [], root, settings=REDO)
    assert_away(root, [row])
    fresh = load_recipe(RECIPE, [f"collect.blocklists={root}/takedowns/000.txt"])
    build(fresh, [folder], tmp_path / "fresh", settings=Settings("local"))
    told = {r["key"]: r["reason"] for r in humanverse.ledger(tmp_path / "fresh").to_pylist()}
    assert told[row["key"]] == "blocked", "a takedown's own list is a blocklist elsewhere"


def test_the_list_that_a_takedown_keeps_takes_the_same_down_from_a_copy(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    row = rows_of(root)[1]
    takedown(root, listed(tmp_path, f"phash {row['phash']}"))
    takedown(copy, root / "takedowns" / "000.txt")
    assert everything(copy) == everything(root)


def test_a_run_that_began_before_is_found_out_and_mended(root, web, tmp_path):
    row = rows_of(root)[2]
    file = listed(tmp_path, f"sha256 {row['sha256']}")
    store = Store(root)
    work = prepare(store, ANEW, [], SLICES, REDO, Watcher())
    shutil.copytree(root, tmp_path / "other")
    add_tombstones(store, [f"sha256 {row['sha256']}", f"key {row['key']}"])
    list(run_local(store, work.tasks, work.stages, work.tasks.needed))
    build(ANEW, [], root, settings=Settings("local"))
    findings = verify(store)
    places = [finding.partition(":")[0] for finding in findings]
    assert places == [f"unit {row['unit']}", "select/selection.json", findings[2][:11]]
    assert all("humanverse takedown" in finding for finding in findings)
    takedown(root, file)
    assert_away(root, [row])


def test_a_list_that_was_changed_or_lost_stops_every_run(root, tmp_path):
    rows = rows_of(root)[:2]
    for row in rows:
        takedown(root, listed(tmp_path, f"key {row['key']}"))
    for damage in (lambda p: p.write_text(p.read_text()[:-5]), lambda p: p.unlink()):
        path = root / "takedowns" / "000.txt"
        data = path.read_bytes()
        damage(path)
        assert any("takedowns" in finding for finding in verify(Store(root)))
        with pytest.raises(DataError, match="takedowns"):
            build(ANEW, [], root, settings=REDO)
        path.write_bytes(data)
    assert verify(Store(root)) == []


def test_two_takedowns_at_once_both_count(tmp_path, monkeypatch):
    store, create = Store(tmp_path), Store.create

    def late(self, name, data):
        monkeypatch.setattr(Store, "create", create)
        add_tombstones(store, ["host b.example"])
        return create(self, name, data)

    monkeypatch.setattr(Store, "create", late)
    assert add_tombstones(store, ["host a.example"]) == "takedowns/001.txt"
    assert read_tombstones(store) == ("host a.example", "host b.example")
    assert add_tombstones(store, ["host b.example"]) is None


def test_a_recipe_whose_stages_cannot_be_told_is_refused():
    with pytest.raises(UsageError, match="no stage of the recipe has a field taken_down"):
        told_of(BEFORE.slice("annotate"), ("host a.example",))
    assert told_of(BEFORE.slice("annotate"), ()) == BEFORE.slice("annotate")
