"""Every page of a web that misbehaves ends in the reason planned for it."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from shared import pictures

from humanverse import schema
from humanverse.collect import Collect
from humanverse.collect.by_img2dataset import reason_of
from humanverse.run.unit import apply
from humanverse.testing.web import ANY, SHOWN, Row, demo_web, picture_web


@pytest.fixture(scope="module")
def odd_web():
    with demo_web(pictures=6) as made:
        yield made


def rows_of(web, rows, hints=None):
    addresses = {
        "key": [f"{n:032x}" for n in range(len(rows))],
        "url": [web.url(row.path) for row in rows],
    }
    known = addresses | (hints or {})
    kind = pa.schema([*schema.schema_of(schema.PLAN), ("reason", pa.string())])
    kind = kind.append(pa.field("stage", pa.string()))
    columns = {f.name: known.get(f.name, pa.nulls(len(rows), f.type)) for f in kind}
    return pa.table(columns, schema=kind)


def stage_of(**settings):
    defaults = {"per_host_rate": 0, "timeout": 3.0, "max_bytes": 4 << 20}
    return Collect(allow_hosts=("127.0.0.1",), **defaults | settings)


def collected(web, rows, hints=None, **settings):
    stage = stage_of(**settings)
    stage.open()
    try:
        return apply(rows_of(web, rows, hints), stage).to_pylist()
    finally:
        stage.close()


def test_every_misbehaviour_has_its_reason_and_no_private_address_is_contacted(odd_web):
    rows = [row for row in odd_web.rows if row.fate != "duplicate"]
    found = collected(odd_web, rows)
    wanted = [None if row.fate in (ANY, SHOWN, "near_duplicate") else row.fate for row in rows]
    assert [row["reason"] for row in found] == wanted
    assert odd_web.canary_contacts == 0
    for row in found:
        assert (row["image"] is None) == (row["reason"] is not None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_img2dataset_as_backend_gives_the_same_pictures(odd_web):
    names = ("gone", "forbidden", "html", "truncated", "opted-out", "cmyk", "rotated", "bomb")
    rows = [r for r in odd_web.rows if r.fate == ANY or r.path.split("/")[-1][:-2] in names]
    rows = [r for r in rows if r.fate != "duplicate"]
    ours = collected(odd_web, rows)
    theirs = collected(odd_web, rows, backend="img2dataset", tries=1)
    fields = ("reason", "sha256", "width", "height", "image")
    assert [[r[f] for f in fields] for r in ours] == [[r[f] for f in fields] for r in theirs]


def test_fetching_waits_for_decoders_that_cannot_keep_up(monkeypatch):
    monkeypatch.setattr("humanverse.collect.stage.BACKLOG", 100_000)
    slow, asked = threading.Event(), []

    def counted(page):
        async def answer(request):
            asked.append(request.path)
            return await page(request)

        return answer

    with picture_web(pictures(60)) as web:
        web.pages = {path: counted(page) for path, page in web.pages.items()}
        stage = stage_of(connections=4)
        stage.open()
        decode = stage._decoders.decode
        monkeypatch.setattr(stage._decoders, "decode", lambda data: slow.wait() and decode(data))
        with ThreadPoolExecutor(1) as thread:
            try:
                answer = thread.submit(apply, rows_of(web, web.rows), stage)
                deadline = time.monotonic() + 20
                while stage._waiting <= 100_000 and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(0.5)  # for those that would come in spite of it
                while_waiting = len(asked)
                slow.set()
                reasons = answer.result()["reason"].to_pylist()
            finally:
                slow.set()
                stage.close()
    assert while_waiting < 40
    assert len(asked) == 60
    assert reasons == [None] * 60


def test_a_picture_that_is_not_what_the_table_saw_is_not_stored(odd_web):
    rows = [row for row in odd_web.rows if row.fate == ANY]
    honest = collected(odd_web, rows)
    apart = [f"{int(row['phash'], 16) ^ (1 << 64) - 1:016x}" for row in honest]
    for row in collected(odd_web, rows, {"phash_hint": apart}):
        assert (row["reason"], row["image"]) == ("changed", None)
        assert row["phash"] is not None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("HTTP Error 404: Not Found", "http_gone"),
        ("HTTP Error 503: Busy", "http_busy"),
        ("<urlopen error [Errno -2] Name or service not known>", "dns"),
        ("<urlopen error timed out>", "timeout"),
        ("Use of image disallowed by X-Robots-Tag directive", "opted_out"),
        ("Remote end closed connection without response", "connection"),
    ],
)
def test_messages_of_img2dataset_become_our_reasons(message, reason):
    assert reason_of(message)[0] == reason


def test_what_is_left_when_a_units_time_is_over_is_deferred_and_the_rest_is_kept():
    with picture_web(pictures(6)) as web:
        web.pages["/never.jpg"] = endless
        rows = [*web.rows, Row("/never.jpg", "", ANY)]
        found = collected(web, rows, unit_seconds=2.0, timeout=60.0)
    assert [row["reason"] for row in found] == [None] * 6 + ["late"]
    assert schema.REASONS["late"].status == "deferred"
    assert schema.REASONS["late"].transient


async def endless(_):
    await asyncio.sleep(3600)
