"""What failed for the moment is tried again, and nothing is lost, doubled or moved by it."""

import pytest
from shared import RECIPE, everything, kept_urls, pictures, shards

import humanverse
from humanverse.codec import encode_jpeg
from humanverse.errors import UsageError
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build, prepare
from humanverse.run.build import Watcher as Silent
from humanverse.testing.web import Row, Web, serve, status

BUSY = 12
"""Of thirty pages, those that are busy at first."""


class Moody(Web):
    """Thirty pictures; the first `BUSY` pages say 503 while `busy`, and one is gone for good."""

    busy = True

    def page(self, data):
        async def answer(request):
            return await (status(503) if self.busy else serve(data))(request)

        return answer


@pytest.fixture
def web(tmp_path):
    made = Moody({}, [])
    for number, photo in enumerate(pictures(30)):
        data, path = encode_jpeg(photo.pixels, 90), f"/{photo.name}.jpg"
        made.pages[path] = made.page(data) if number < BUSY else serve(data)
        made.rows.append(Row(path, photo.caption, None))
    made.rows.append(Row("/gone.jpg", "no more", "http_gone"))
    with made:
        made.table = tmp_path / "urls.parquet"
        made.write_table(made.table)
        yield made


def run(root, web, retry="", sets=(), **more):
    recipe = load_recipe(RECIPE, ["collect.tries=1", *sets])
    return build(recipe, [web.table], root, settings=Settings("local", retry=retry), **more)


def undisturbed(web, folder):
    web.busy = False
    run(folder, web)
    return kept_urls(folder)


def test_a_retry_brings_what_came_back_into_shards_of_its_own(web, tmp_path):
    root = tmp_path / "root"
    first = run(root, web)
    assert first.funnel.reasons["collect"] == {"http_busy": BUSY, "http_gone": 1}
    before = shards(root)
    web.busy = False
    again = run(root, web, "transient")
    assert again.funnel.reasons["collect"] == {"http_gone": 1}
    after = shards(root)
    tars = [name for name in before if name[0].isdigit()]
    assert tars and all(after[name] == before[name] for name in tars)
    assert len(after) > len(before)
    ledger = humanverse.ledger(root).to_pylist()
    assert sorted(row["row"] for row in ledger) == list(range(31))
    assert {row["generation"] for row in ledger if row["row"] < BUSY} == {1}
    assert kept_urls(root) == undisturbed(web, tmp_path / "other")
    with humanverse.open(root) as dataset:
        keys = sorted(sample["key"] for sample in dataset)
    assert keys == sorted(row["key"] for row in ledger if row["status"] == "kept")
    assert verify(Store(root)) == []


def test_what_fails_again_stays_in_the_ledger_once_and_may_be_tried_once_more(web, tmp_path):
    root = tmp_path / "root"
    run(root, web)
    for _ in range(2):
        outcome = run(root, web, "http_busy")
        assert outcome.funnel.reasons["collect"] == {"http_busy": BUSY, "http_gone": 1}
        assert humanverse.ledger(root).num_rows == 31
    web.busy = False
    assert run(root, web, "timeout").done == 0, "no row ended so"
    run(root, web, "transient")
    assert kept_urls(root) == undisturbed(web, tmp_path / "other")
    assert verify(Store(root)) == []


def test_slices_after_a_retry_give_what_a_build_gives(web, tmp_path):
    root = tmp_path / "root"
    run(root, web, slices=("collect",), packed=False)
    web.busy = False
    run(root, web, "transient", slices=("collect",), packed=False)
    assert funnel(Store(root)).pending == 30
    for name in ("filter", "annotate"):
        run(root, web, slices=(name,), packed=name == "annotate")
    assert kept_urls(root) == undisturbed(web, tmp_path / "other")
    assert funnel(Store(root)).reasons["collect"] == {"http_gone": 1}
    assert verify(Store(root)) == []


def test_a_retry_that_broke_off_goes_on_and_plans_nothing_twice(web, tmp_path):
    root = tmp_path / "root"
    run(root, web)
    recipe = load_recipe(RECIPE, ["collect.tries=1"])
    slices = ("collect", "filter", "annotate")
    prepare(Store(root), recipe, [], slices, Settings(retry="transient"), Silent())
    counts = funnel(Store(root))
    assert (counts.pending, counts.reasons["collect"]["http_busy"]) == (BUSY, 0)
    web.busy = False
    assert run(root, web, "transient").done == 2
    assert kept_urls(root) == undisturbed(web, tmp_path / "other")


def test_collecting_anew_after_a_retry_doubles_nothing(web, tmp_path):
    root = tmp_path / "root"
    run(root, web)
    web.busy = False
    run(root, web, "transient")
    recipe = load_recipe(RECIPE, ["collect.tries=1", "collect.quality=80"])
    outcome = build(recipe, [], root, settings=Settings("local", redo=True))
    ledger = humanverse.ledger(root).to_pylist()
    assert sorted(row["row"] for row in ledger) == list(range(31))
    with humanverse.open(root) as dataset:
        keys = [sample["key"] for sample in dataset]
    assert len(keys) == len(set(keys)) == outcome.funnel.kept
    counts = outcome.funnel
    assert counts.kept + sum(c.total() for c in counts.reasons.values()) == 31
    assert verify(Store(root)) == []


def test_only_known_reasons_of_a_root_with_outcomes_can_be_tried_again(web, tmp_path):
    with pytest.raises(UsageError, match="no outcomes yet"):
        build(load_recipe(RECIPE), [], tmp_path / "root", settings=Settings(retry="transient"))
    run(tmp_path / "root", web)
    with pytest.raises(UsageError, match="no reason bad_luck"):
        run(tmp_path / "root", web, "bad_luck")


def test_a_wrong_reason_leaves_new_inputs_unplanned_and_no_reason_is_none(web, tmp_path):
    root, more = tmp_path / "root", tmp_path / "more.csv"
    run(root, web)
    before = everything(root)
    more.write_text("url\nhttp://h/1\n")
    for wrong in ("bad_luck", ",", "timeout,bad_luck"):
        with pytest.raises(UsageError, match="no reason"):
            build(load_recipe(RECIPE), [more], root, settings=Settings(retry=wrong))
    assert everything(root) == before
