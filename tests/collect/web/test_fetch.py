"""A URL ends in bytes or a reason, within its bounds, and its host is never asked impolitely."""

import asyncio
import itertools
import socket
import time

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import PICTURE, Host, answer, fetching, never

from humanverse.schema import REASONS


def fetch_all(pages, paths, *, default=None, **settings):
    """What became of paths of one host asked for at once, and the host's record."""

    async def run():
        async with Host(pages, default=default) as host, fetching(**settings) as fetcher:
            found = await asyncio.gather(*(fetcher.fetch(host.url(path)) for path in paths))
            return found, host

    return asyncio.run(run())


def fetch_one(page, **settings):
    found, host = fetch_all({"/a.jpg": page}, ["/a.jpg"], **settings)
    return found[0], host


def then(*pages):
    """Pages one after the other, then the last for ever."""
    left = list(pages)

    async def page(request):
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return page


def redirect(target, status=302):
    return answer(status, b"", {"Location": target})


def test_a_picture_comes_with_what_it_took():
    fetched, host = fetch_one(answer())
    assert (fetched.data, fetched.reason, fetched.status) == (PICTURE, None, 200)
    assert (fetched.host, fetched.attempts) == ("127.0.0.1", 1)
    assert 0 <= fetched.ms < 5000
    assert host.asked == ["/robots.txt", "/a.jpg"]


def test_tries_and_the_last_status_are_told():
    fetched, _host = fetch_one(then(answer(500), answer()), tries=2)
    assert (fetched.data, fetched.status, fetched.attempts) == (PICTURE, 200, 2)
    assert fetched.ms >= 250
    fetched, _ = fetch_one(then(answer(500), never), tries=2, deadline=0.6)
    assert (fetched.reason, fetched.status, fetched.attempts) == ("timeout", 500, 2)


def test_what_will_not_help_is_not_tried_again():
    fetched, host = fetch_one(answer(404), tries=3)
    assert (fetched.reason, fetched.attempts, len(host.pictures)) == ("http_gone", 1, 1)


def test_nothing_is_told_to_a_host_but_who_asks():
    async def run():
        pages = {
            "/a.jpg": answer(302, b"", {"Location": "/b.jpg", "Set-Cookie": "a=b; Path=/"}),
            "/b.jpg": answer(headers={"Set-Cookie": "c=d"}),
        }
        async with Host(pages) as host, fetching(agent="humanverse/0.1 (x@y)") as fetcher:
            for _ in range(2):
                url = host.url("/a.jpg").replace("//", "//user:secret@")
                assert (await fetcher.fetch(url)).data == PICTURE
            return host

    host = asyncio.run(run())
    for headers in host.headers:
        assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
        assert headers["User-Agent"] == "humanverse/0.1 (x@y)"
        assert headers["Accept-Encoding"] == "identity"


def test_credentials_of_a_redirect_are_not_sent():
    async def run():
        async with Host({"/b.jpg": answer()}) as host, fetching() as fetcher:
            target = host.url("/b.jpg").replace("//", "//user:secret@")
            host.pages["/a.jpg"] = redirect(target)
            return await fetcher.fetch(host.url("/a.jpg")), host

    fetched, host = asyncio.run(run())
    assert fetched.data == PICTURE
    assert not any("Authorization" in headers for headers in host.headers)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, None),
        ({"X-Robots-Tag": "noai"}, "opted_out"),
        ({"X-Robots-Tag": "unavailable_after: 25 Jun 2010 15:00:00 GMT"}, "opted_out"),
        ({"X-Robots-Tag": "otherbot: noai"}, None),
        ({"tdm-reservation": "1"}, "opted_out"),
        ({"tdm-reservation": "0"}, None),
        ({"Content-Encoding": "gzip"}, "encoded"),
        ({"Content-Encoding": "IDENTITY"}, None),
    ],
)
def test_headers_decide_before_the_body(headers, reason):
    assert fetch_one(answer(headers=headers))[0].reason == reason


def test_every_header_of_a_name_is_read():
    async def page(_):
        response = web.Response(body=PICTURE)
        response.headers.add("X-Robots-Tag", "otherbot: noindex")
        response.headers.add("X-Robots-Tag", "noimageai")
        return response

    assert fetch_one(page)[0].reason == "opted_out"


def test_a_redirect_that_opts_out_is_not_followed():
    page = answer(302, b"", {"Location": "/b.jpg", "X-Robots-Tag": "noai"})
    fetched, host = fetch_all({"/a.jpg": page, "/b.jpg": answer()}, ["/a.jpg"])
    assert fetched[0].reason == "opted_out"
    assert host.pictures == ["/a.jpg"]


# Bounds -----------------------------------------------------------------------------------------


async def slow_body(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.05)


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 5000)


async def slow_redirect(request):
    await asyncio.sleep(0.2)
    return web.Response(status=302, headers={"Location": request.path + "x"})


@pytest.mark.parametrize(
    ("page", "reason", "status"),
    [
        (never, "timeout", None),
        (slow_body, "timeout", 200),
        (endless, "too_many_bytes", 200),
        (slow_redirect, "timeout", 302),
        (redirect("/a.jpg"), "redirects", 302),
        (answer(302, b""), "redirects", 302),
        (answer(body=b"x" * 10_001), "too_many_bytes", 200),
        (answer(headers={"X-Long": "x" * 9000}), "http_error", None),
        (answer(headers={f"X-{n}": "x" for n in range(200)}), "http_error", None),
        (redirect("/" + "x" * 8100), "redirects", 302),
        (redirect("http://[::1"), "bad_address", 302),
        (redirect("http://127.0.0.1:99999/"), "bad_address", 302),
        (redirect("http:///"), "redirects", 302),
        (redirect("//"), "redirects", 302),
        (redirect("javascript:alert(1)"), "bad_address", 302),
        (redirect("http://10.0.0.1/"), "bad_address", 302),
        (redirect("\udcff\udcfe://é"), "redirects", 302),
        (redirect("http://xn--/"), "bad_address", 302),
        (answer(304, b""), "http_error", 304),
        (answer(body=b""), None, 200),
    ],
)
def test_no_server_gets_beyond_the_bounds(page, reason, status):
    began = time.monotonic()
    fetched, host = fetch_one(page, default=page, deadline=0.5, tries=3)
    assert (fetched.reason, fetched.status) == (reason, status)
    assert len(host.pictures) <= 6
    assert time.monotonic() - began < 10
    assert fetched.ms <= 5000


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "x", "http://", "http:///a", "http://[", "http://a:b/", "//", "a" * 20_000),
        *("http://a:99999/", "ftp://1.1.1.1/", "http://\udcff/", "http://1.1.1.1:22/", "http://%/"),
        *(
            "http://127.0.0.1:0/",
            "http://user:pw@/",
            "http://\x00/",
            "HTTP://10.0.0.1/",
            "http://.",
        ),
        "http://127.0.0.1:80/" + "a" * 9000,
    ],
)
def test_bad_urls_end_in_a_reason_and_never_raise(url, monkeypatch):
    def nobody(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)

    async def run():
        async with fetching(deadline=0.5, robots_deadline=0.5) as fetcher:
            return await fetcher.fetch(url)

    fetched = asyncio.run(run())
    assert fetched.data is None
    assert fetched.reason in ("bad_address", "dns", "connection")


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60), min_size=5, max_size=20))
def test_no_bytes_of_a_server_raise(answers):
    async def run():
        left = list(answers)

        async def talk(_, writer):
            writer.write(b"HTTP/1.1 " + left.pop() if left else b"HTTP/1.1 404 no\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with fetching(deadline=0.5, robots=False) as fetcher:
            found = [await fetcher.fetch(f"http://127.0.0.1:{port}/") for _ in answers]
        server.close()
        return found

    for fetched in asyncio.run(run()):
        assert fetched.reason in REASONS


# Lists ------------------------------------------------------------------------------------------


def test_what_is_on_a_list_is_not_asked_and_neither_is_its_host():
    async def run():
        def blocked(url, host):
            return host == "127.1.0.2" or url.endswith("/no.jpg")

        async with Host({}, "127.1.0.2", default=answer()) as listed:
            pages = {"/a.jpg": redirect(listed.url("/b.jpg"))}
            async with Host(pages, default=answer()) as host, fetching(blocked=blocked) as fetcher:
                urls = [host.url("/a.jpg"), host.url("/no.jpg"), listed.url("/x.jpg")]
                found = [await fetcher.fetch(url) for url in urls]
                return [f.reason for f in found], listed.asked, host.pictures

    assert asyncio.run(run()) == (["blocked"] * 3, [], ["/a.jpg"])


# Pace -------------------------------------------------------------------------------------------


async def a_while(_):
    await asyncio.sleep(0.02)
    return web.Response(body=PICTURE)


def test_a_host_sees_so_many_requests_at_a_time_and_a_second():
    paths = [f"/{n}" for n in range(20)]
    found, host = fetch_all({}, paths, default=a_while, per_host=3)
    assert [f.reason for f in found] == [None] * 20
    assert 2 <= host.peak <= 3
    _, host = fetch_all({}, paths, default=answer(), per_host_rate=40.0)
    assert host.times[-1] - host.times[0] > 0.9 * 20 / 40


def test_a_worker_has_so_many_connections():
    async def run():
        names = [f"127.1.0.{n}" for n in range(1, 13)]
        hosts = [Host({}, name, default=a_while) for name in names]
        active = peak = 0

        async def page(request):
            nonlocal active, peak
            active += 1
            peak = max(peak, active)
            response = await a_while(request)
            active -= 1
            return response

        for host in hosts:
            host.default = page
            await host.__aenter__()
        async with fetching(connections=3, adaptive=False) as fetcher:
            await asyncio.gather(*(fetcher.fetch(host.url("/a.jpg")) for host in hosts))
        for host in hosts:
            await host.__aexit__()
        return peak

    assert 2 <= asyncio.run(run()) <= 3


def test_who_waits_for_a_host_or_for_another_try_holds_no_connection():
    async def run():
        slow = Host({}, default=a_while)
        failing = Host({"/f": then(answer(500), answer())}, "127.1.0.2")
        quick = Host({}, "127.1.0.3", default=answer())
        ended = []
        async with (
            slow,
            failing,
            quick,
            fetching(connections=2, per_host=1, tries=2, robots=False) as fetcher,
        ):

            async def one(name, url):
                assert (await fetcher.fetch(url)).data == PICTURE
                ended.append(name)

            urls = [("slow", slow.url(f"/{n}")) for n in range(20)]
            urls += [("failing", failing.url("/f")), ("quick", quick.url("/q"))]
            await asyncio.gather(*(one(*url) for url in urls))
        return ended

    ended = asyncio.run(run())
    assert ended.index("quick") < 5
    assert ended.index("quick") < ended.index("failing")


def test_the_deadline_of_a_url_starts_with_its_turn():
    found, _ = fetch_all(
        {}, [f"/{n}" for n in range(30)], default=a_while, per_host=1, deadline=0.3
    )
    assert [f.reason for f in found] == [None] * 30
    assert max(f.ms for f in found) < 300


def test_retry_after_makes_all_urls_of_a_host_wait():
    busy = then(answer(429, b"", {"Retry-After": "1"}), answer())
    paths = ["/a", *(f"/{n}" for n in range(5))]
    found, host = fetch_all({"/a": busy}, paths, default=answer(), per_host=1, tries=2)
    assert [f.reason for f in found] == [None] * 6
    assert (found[0].attempts, found[1].attempts) == (2, 1)
    first = host.asked.index("/a")
    assert host.times[first + 1] - host.times[first] > 0.9


def test_a_host_that_wants_a_long_rest_gets_it():
    busy = answer(503, b"", {"Retry-After": "3600"})
    found, host = fetch_all({}, [f"/{n}" for n in range(50)], default=busy, per_host=1, tries=3)
    assert [f.reason for f in found] == ["http_busy"] * 50
    assert [f.status for f in found].count(503) == 1
    assert len(host.pictures) == 1


def test_the_delay_of_robots_txt_is_kept():
    rules = answer(200, b"User-agent: *\nCrawl-delay: 0.3\n")
    found, host = fetch_all({"/robots.txt": rules}, ["/a", "/b", "/c"], default=answer())
    assert [f.reason for f in found] == [None] * 3
    times = host.times[1:]
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.25


def test_a_delay_that_is_too_long_ends_a_hosts_rows():
    rules = answer(200, b"User-agent: *\nCrawl-delay: 86400\n")
    found, host = fetch_all({"/robots.txt": rules}, ["/a", "/b", "/c"], default=answer())
    assert [f.reason for f in found] == ["http_busy"] * 3
    assert host.pictures == []


@pytest.mark.parametrize("page", [never, slow_body])
def test_a_host_that_never_ends_an_answer_is_given_up(page):
    paths = [f"/{n}" for n in range(200)]
    found, host = fetch_all({}, paths, default=page, per_host=4, deadline=0.2)
    reasons = [f.reason for f in found]
    assert reasons.count("timeout") <= 12
    assert reasons.count("host_down") >= 188
    assert len(host.pictures) <= 12


def test_errors_of_a_living_host_are_no_reason_to_give_it_up():
    pages = {f"/{n}": answer(404 if n % 2 else 500) for n in range(40)}
    found, _ = fetch_all(pages, list(pages))
    assert [f.reason for f in found] == ["http_server_error", "http_gone"] * 20


def test_a_host_that_others_leave_no_time_is_not_given_up():
    async def run():
        async def late(_):
            await asyncio.sleep(0.25)
            return web.Response(status=302, headers={"Location": victim.url("/slow")})

        victim = Host({"/slow": never}, "127.1.0.2", default=answer())
        manners = {"deadline": 0.4, "robots": False, "per_host": 20}
        async with victim, Host({}, default=late) as host, fetching(**manners) as fetcher:
            urls = [host.url(f"/{n}") for n in range(20)]
            found = await asyncio.gather(*map(fetcher.fetch, urls))
            return {f.reason for f in found}, (await fetcher.fetch(victim.url("/x"))).reason

    assert asyncio.run(run()) == ({"timeout"}, None)


def test_connections_start_low_and_grow_where_nothing_times_out():
    async def run():
        many = {"connections": 128, "per_host": 128}
        async with Host({}, default=answer()) as host, fetching(**many) as fetcher:
            before = fetcher.connections
            await asyncio.gather(*(fetcher.fetch(host.url(f"/{n}")) for n in range(600)))
            return before, fetcher.connections

    before, after = asyncio.run(run())
    assert before == 32 < after <= 128
