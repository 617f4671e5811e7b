"""What a host's robots.txt disallows is never asked for, whatever the file looks like."""

import asyncio
import gzip
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import PICTURE, Host, answer, fetching, in_virtual_time, never, robots
from yarl import URL

from humanverse.collect.web.client import Answer
from humanverse.collect.web.once import Once
from humanverse.collect.web.robots import FAILURE_KEPT, MAX_BYTES, MAX_RULES, Robots, Rules, parse

ALL = "User-agent: *\n"
US = "User-agent: humanverse\n"
OTHER = "User-agent: otherbot\n"
DISALLOWED = [
    (ALL + "Disallow: /", "/a.jpg"),
    (ALL + "Disallow: /\n", "/"),
    (US + "Disallow: /", "/a.jpg"),
    ("user-AGENT: HumanVerse\ndisALLOW: /", "/a.jpg"),
    ("User-agent: humanverse/1.0\nDisallow: /", "/a.jpg"),
    ("User-agent: otherbot, humanverse\nDisallow: /", "/a.jpg"),
    (OTHER + US + "Disallow: /", "/a.jpg"),
    (ALL + "Disallow:\n" + US + "Disallow: /pic", "/pic/a.jpg"),
    (US + "Allow: /x\n" + OTHER + "Allow: /\n" + US + "Disallow: /", "/a.jpg"),
    (ALL + "Disallow: /private/", "/private/a.jpg"),
    (ALL + "Disallow: /*.jpg$", "/deep/a.jpg"),
    (ALL + "Disallow: /*.jpg", "/a.jpg?size=large"),
    (ALL + "Disallow: /*?size=", "/a.png?size=large"),
    (ALL + "Disallow: *.jpg", "/a.jpg"),
    (ALL + "Disallow: /*/a*b/", "/x/a-b/c.jpg"),
    (ALL + "Allow: /\nDisallow: /pictures/", "/pictures/a.jpg"),
    (ALL + "Disallow: /pictures/\nAllow: /pictures/free/", "/pictures/a.jpg"),
    (ALL + "Disallow: /caf%C3%A9/", "/café/a.jpg"),
    (ALL + "Disallow: /café/", "/caf%C3%A9/a.jpg"),
    (ALL + "Disallow: /%70ictures/", "/pictures/a.jpg"),
    ("\ufeff" + ALL + "Disallow: /", "/a.jpg"),
    ((ALL + "Disallow: /").replace("\n", "\r\n"), "/a.jpg"),
    ((ALL + "Disallow: /").replace("\n", "\r"), "/a.jpg"),
    ("# hello\n\n" + ALL + "\n# more\nDisallow: / # all", "/a.jpg"),
    ("   User-agent :  *  \n\tDisallow :\t/  ", "/a.jpg"),
    ("User-agent *\nDisallow /", "/a.jpg"),
    (ALL + "Dissallow: /", "/a.jpg"),
    (ALL + "Crawl-delay: 0\nDisallow: /", "/a.jpg"),
    (ALL + "Sitemap: https://x/y.xml\nDisallow: /", "/a.jpg"),
    (ALL + "Unknown: thing\nDisallow: /", "/a.jpg"),
    ("User-agent: human\nAllow: /\n" + ALL + "Disallow: /", "/a.jpg"),
    ("User-agent: humanversebot\nAllow: /\n" + ALL + "Disallow: /", "/a.jpg"),
    ("\x00\x01\xff\n" + ALL + "\x02\nDisallow: /", "/a.jpg"),
    (b"\xff\xfe\x80junk\n" + ALL.encode() + b"Disallow: /", "/a.jpg"),
    ("x: y\n" * 20_000 + ALL + "Disallow: /", "/a.jpg"),
    (ALL + "Disallow: /" + "*a" * 3000 + "b", "/" + "a" * 40 + ".jpg"),
    (ALL + "Disallow: /" + "*" * 50_000 + ".jpg", "/a.jpg"),
    (ALL + "".join(f"Disallow: /x{n}\n" for n in range(4000)) + "Disallow: /a", "/a.jpg"),
    ("".join(f"User-agent: a{n}\n" for n in range(2000)) + ALL + "Disallow: /\n" * 900, "/a.jpg"),
]
ALLOWED = [
    ("", "/a.jpg"),
    ("\n\n\n", "/a.jpg"),
    (ALL + "Disallow:", "/a.jpg"),
    (ALL + "Allow: /", "/a.jpg"),
    (OTHER + "Disallow: /", "/a.jpg"),
    ("User-agent: human\nDisallow: /", "/a.jpg"),
    ("User-agent: humanversebot\nDisallow: /", "/a.jpg"),
    ("User-agent: *bot\nDisallow: /", "/a.jpg"),
    (ALL + "Disallow: /\n" + US + "Disallow:", "/a.jpg"),
    (ALL + "Disallow: /\n" + US + "Allow: /", "/a.jpg"),
    (ALL + "Disallow: /private/", "/privately.jpg"),
    (ALL + "Disallow: /*.jpg$", "/a.jpg?size=large"),
    (ALL + "Disallow: /A.jpg", "/a.jpg"),
    (ALL + "Disallow: /pictures/\nAllow: /pictures/free/", "/pictures/free/a.jpg"),
    (ALL + "Disallow: /*.jpg\nAllow: /*free*.jpg", "/free/a.jpg"),
    ("<html><body>Disallow: /</body></html>", "/a.jpg"),
    ("Disallow: /", "/a.jpg"),
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50, "/a.jpg"),
    (ALL + "Disallow: # nothing", "/a.jpg"),
    (ALL + "Disallow: /b\n" * 4000, "/a.jpg"),
    (ALL + "Allow: /" + "*a" * 3000 + "b\nDisallow: /b", "/a.jpg"),
    # Of what is cut the last line is not read: it could be the beginning of any.
    (ALL + "#" * (MAX_BYTES - len(ALL) - 12) + "\nDisallow: /b.jpg", "/a.jpg"),
    (ALL + "#" * MAX_BYTES + "\nDisallow: /", "/a.jpg"),
]
OF_STATUS = [
    *((robots("nothing", status), None) for status in (400, 401, 403, 404, 410, 418, 451)),
    *((robots("nothing", status), "robots_unknown") for status in (429, 500, 502, 503, 504, 599)),
    (robots(ALL + "Disallow: /", 206), "robots"),
    (robots("", 204), None),
    (answer(302, b"", {"Location": "/elsewhere"}), "robots"),
    (answer(301, b"", {"Location": "/robots.txt"}), None),  # RFC 9309: after five, as if absent
    (answer(302, b""), None),
    (answer(302, b"", {"Location": "http://10.0.0.1/robots.txt"}), "bad_address"),
    (answer(302, b"", {"Location": "file:///etc/passwd"}), "bad_address"),
    (
        robots(gzip.compress((ALL + "Disallow: /").encode()), **{"Content-Encoding": "gzip"}),
        "robots",
    ),
    (robots(ALL, **{"Content-Encoding": "br"}), "robots_unknown"),
    (robots(b"no gzip", **{"Content-Encoding": "gzip"}), "robots_unknown"),
    (robots("".join([ALL, "Disallow: /x\n" * (MAX_RULES + 1)])), "robots_unknown"),
    (robots(ALL + "Disallow: /\n", **{"Content-Type": "image/png"}), "robots"),
    (never, "timeout"),
]


@pytest.fixture(scope="module")
def outcomes():
    """For each case its host's record and what the fetcher said; all at once, by one fetcher."""
    cases = [(robots(text), path) for text, path in (*DISALLOWED, *ALLOWED)]
    cases += [(page, "/a.jpg") for page, _ in OF_STATUS]

    async def one(fetcher, number, page, path):
        pages = {"/robots.txt": page, "/elsewhere": robots(ALL + "Disallow: /a.jpg")}
        address = f"127.0.0.{number + 1}"
        async with Host(pages, address, default=answer()) as host:
            return await fetcher.fetch(host.url(path)), host

    async def run():
        async with fetching(robots_deadline=1.0) as fetcher:
            tasks = [one(fetcher, n, *case) for n, case in enumerate(cases)]
            return await asyncio.gather(*tasks)

    return asyncio.run(run())


@pytest.mark.parametrize("number", range(len(DISALLOWED)))
def test_what_is_disallowed_is_not_asked_for(outcomes, number):
    fetched, host = outcomes[number]
    assert (fetched.reason, fetched.data, fetched.attempts) == ("robots", None, 0)
    assert host.asked == ["/robots.txt"]


@pytest.mark.parametrize("number", range(len(ALLOWED)))
def test_what_is_allowed_is_fetched(outcomes, number):
    fetched, host = outcomes[len(DISALLOWED) + number]
    assert (fetched.reason, fetched.data) == (None, PICTURE)
    assert host.asked[0] == "/robots.txt"


@pytest.mark.parametrize("number", range(len(OF_STATUS)))
def test_what_becomes_of_robots_txt_itself_decides(outcomes, number):
    fetched, host = outcomes[len(DISALLOWED) + len(ALLOWED) + number]
    wanted = OF_STATUS[number][1]
    assert fetched.reason == wanted
    assert ("/a.jpg" in host.asked) == (wanted is None)


def test_a_hundred_urls_of_one_host_ask_for_its_rules_once():
    async def run():
        pages = {"/robots.txt": robots(ALL + "Disallow: /no")}
        async with Host(pages, default=answer()) as host, fetching() as fetcher:
            paths = [f"/{'no' if n % 2 else 'yes'}/{n}" for n in range(100)]
            found = await asyncio.gather(*(fetcher.fetch(host.url(path)) for path in paths))
            return [f.reason for f in found], host

    reasons, host = asyncio.run(run())
    assert reasons == [None, "robots"] * 50
    assert host.asked.count("/robots.txt") == 1
    assert sorted(host.pictures) == sorted(f"/yes/{n}" for n in range(0, 100, 2))


def test_each_port_has_rules_of_its_own():
    async def run():
        one = Host({"/robots.txt": robots(ALL + "Disallow: /")}, default=answer())
        async with one, Host({}, default=answer()) as other, fetching() as fetcher:
            return [(await fetcher.fetch(host.url("/a.jpg"))).reason for host in (one, other)]

    assert asyncio.run(run()) == ["robots", None]


def test_the_rules_of_the_host_to_which_a_picture_is_redirected_count_too():
    async def run():
        closed = Host({"/robots.txt": robots(ALL + "Disallow: /")}, "127.1.0.2", default=answer())
        async with closed:
            pages = {"/a.jpg": answer(302, b"", {"Location": closed.url("/b.jpg")})}
            async with Host(pages) as host, fetching() as fetcher:
                return await fetcher.fetch(host.url("/a.jpg")), closed

    fetched, closed = asyncio.run(run())
    assert (fetched.reason, fetched.status, fetched.attempts) == ("robots", 302, 1)
    assert closed.asked == ["/robots.txt"]


def test_a_host_without_robots_manners_is_not_asked_for_rules():
    async def run():
        pages = {"/robots.txt": robots(ALL + "Disallow: /")}
        async with Host(pages, default=answer()) as host, fetching(robots=False) as fetcher:
            return (await fetcher.fetch(host.url("/a.jpg"))).reason, host.asked

    assert asyncio.run(run()) == (None, ["/a.jpg"])


def test_rules_that_were_not_to_be_had_are_asked_for_again():
    async def run():
        asked = 0

        async def page(request):
            nonlocal asked
            asked += 1
            return await robots("", 500 if asked == 1 else 200)(request)

        async with Host({"/robots.txt": page}, default=answer()) as host, fetching() as fetcher:
            return (await fetcher.fetch(host.url("/a.jpg"))).reason, host.asked

    assert asyncio.run(run()) == (None, ["/robots.txt", "/robots.txt", "/a.jpg"])


def test_a_host_that_refuses_connections_is_named_as_such_for_all_its_urls():
    async def run():
        async with Host({}) as gone:
            pass
        async with fetching() as fetcher:
            return [(await fetcher.fetch(gone.url(f"/{n}"))).reason for n in range(20)]

    assert asyncio.run(run()) == ["connection"] * 20


@pytest.mark.parametrize(
    ("entries", "taken"),
    [
        ('[{"location": "/", "tdm-reservation": 1}]', False),
        ('[{"location": "/*.jpg", "tdm-reservation": "1", "tdm-policy": "x"}]', False),
        ('[{"location": "a.jpg", "tdm-reservation": 1}]', False),
        ('[{"location": "/", "tdm-reservation": 0}]', True),
        ('[{"location": "/b", "tdm-reservation": 1}]', True),
        ('{"location": "/", "tdm-reservation": 1}', False),
        ('[{"location": "/\\nAllow: /a", "tdm-reservation": 1}]', True),
        ("[" * 200_000, True),
        ('[1, null, {"location": 3, "tdm-reservation": 1}]', True),
        ("no json", True),
    ],
)
def test_a_tdm_file_reserves_what_it_says_where_it_is_asked_for(entries, taken):
    async def run():
        pages = {"/.well-known/tdmrep.json": robots(entries)}
        async with Host(pages, default=answer()) as host, fetching(tdm_file=True) as fetcher:
            return (await fetcher.fetch(host.url("/a.jpg"))).reason, host.asked

    reason, asked = asyncio.run(run())
    assert reason == (None if taken else "opted_out")
    assert asked == ["/robots.txt", "/.well-known/tdmrep.json"] + ["/a.jpg"] * taken


HOSTILE = {
    "wildcards": ALL + "Disallow: /*a*a*a*a*b\n" * 24_000,
    "different wildcards": ALL + "".join(f"Disallow: /*a*a*a*a*b{n}\n" for n in range(24_000)),
    "one line": ALL + "Disallow: /" + "*a" * 250_000,
    "rules": ALL + "".join(f"Disallow: /x{n}\n" for n in range(40_000)),
    "the most rules": ALL + "".join(f"Disallow: /x{n}*a*a\n" for n in range(990)),
    "agents times rules": "".join(f"User-agent: a{n}\n" for n in range(16_000))
    + "".join(f"Disallow: /{n}\n" for n in range(16_000)),
    "agents like us": "User-agent: humanverse\n" * 10_000 + "Disallow: /a\n" * 10_000,
    "groups": "".join(f"User-agent: a{n}\nDisallow: /\n" for n in range(20_000)),
    "spaces": ALL + "Disallow:" + " " * 500_000 + "/",
    "colons": ":" * 500_000,
    "rates": ALL + "Request-rate: 1/" + "9" * 400_000 + "\nCrawl-delay: " + "9" * 4000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_file_takes_long_to_read_or_to_match(text):
    body = text.encode()[:MAX_BYTES]
    began = time.process_time()
    rules = parse(body, whole=False)
    read = time.process_time()
    for n in range(10):
        rules.refusal(URL(f"http://h/{n}" + "a" * 4000 + ".jpg"))
    matched = time.process_time()
    assert read - began < 2.0
    assert (matched - read) / 10 < 0.05
    assert rules.weight < 2 * MAX_RULES


def test_the_loop_goes_on_while_a_long_file_is_read():
    async def run():
        gaps, last = [], time.perf_counter()

        async def tick():
            nonlocal last
            while True:
                await asyncio.sleep(0.005)
                gaps.append(time.perf_counter() - last)
                last = time.perf_counter()

        ticking = asyncio.create_task(tick())
        pages = {"/robots.txt": robots(HOSTILE["groups"])}
        async with Host(pages, default=answer()) as host, fetching() as fetcher:
            fetched = await fetcher.fetch(host.url("/a.jpg"))
        ticking.cancel()
        return fetched.reason, len(gaps)

    reason, ticks = asyncio.run(run())
    assert reason is None
    assert ticks >= 3


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["User-agent: *", "User-agent: humanverse", "User-agent: x", "Allow: /a"])
        | st.builds("{}: {}".format, st.sampled_from(["Disallow", "Allow", "?"]), st.text()),
        max_size=30,
    ),
    st.text(),
)
def test_no_file_and_no_path_confuse_the_reader(lines, path):
    rules = parse("\n".join(lines).encode("utf-8", "replace"))
    assert rules.refusal(URL.build(scheme="http", host="h", path="/" + path)) in (None, "robots")


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        (ALL + "Crawl-delay: 2.5", 2.5),
        (US + "Crawl-delay: 1\n" + ALL + "Crawl-delay: 9", 1),
        (ALL + "Request-rate: 1/5", 5),
        (ALL + "Request-rate: 2/1m", 30),
        (ALL + "Crawl-delay: 1\nRequest-rate: 1/5", 5),
        (ALL + "Crawl-delay: -1", 0),
        (ALL + "Crawl-delay: nan", 0),
        (ALL + "Crawl-delay: inf", 0),
        (ALL + "Crawl-delay: soon", 0),
        (OTHER + "Crawl-delay: 9", 0),
        (ALL + "Request-rate: 0/0", 0),
    ],
)
def test_the_delay_is_the_longer_of_both_ways_to_ask_for_one(text, delay):
    assert parse(text.encode()).delay == delay


def made(answers, **more):
    """The rules of hosts that answer one after the other, in virtual time; and what was asked."""
    asked = []

    async def follow(url, _):
        asked.append(str(url))
        await asyncio.sleep(1)
        return answers(url)

    return Robots(follow, **more), asked


def test_rules_hold_for_a_day_and_failures_for_minutes():
    async def run():
        good, asked = made(lambda _: Answer("h", status=200, data=b""))
        bad, asked_in_vain = made(lambda _: Answer("h", reason="http_server_error", status=500))
        for rules in (good, bad):
            await rules.rules(URL("http://h/a"))
        await asyncio.sleep(FAILURE_KEPT - 10)
        for rules in (good, bad):
            await rules.rules(URL("http://h/b"))
        counts = [(len(asked), len(asked_in_vain))]
        for wait in (20, 24 * 3600):
            await asyncio.sleep(wait)
            for rules in (good, bad):
                await rules.rules(URL("http://h/c"))
            counts.append((len(asked), len(asked_in_vain)))
        return counts

    assert in_virtual_time(run()) == [(1, 1), (1, 2), (2, 3)]


def test_no_more_rules_are_remembered_than_there_is_room_for():
    text = (ALL + "Disallow: /x\n" * 90).encode()

    async def run():
        rules, asked = made(lambda _: Answer("h", status=200, data=text), room=1000)
        for n in range(50):
            await rules.rules(URL(f"http://h{n}/"))
        known = len(rules)
        await rules.rules(URL("http://h49/"))
        await rules.rules(URL("http://h0/"))
        return known, len(asked)

    assert in_virtual_time(run()) == (10, 51)


def test_what_was_used_last_is_forgotten_last():
    async def run():
        asked = []

        async def find(key):
            asked.append(key)
            return Rules(weight=1)

        once = Once(find, room=3)
        for key in "abcadae":
            await once.get(key)
        return "".join(asked)

    assert in_virtual_time(run()) == "abcde"


def test_who_asked_first_may_leave_and_the_others_still_hear():
    async def run():
        rules, asked = made(lambda _: Answer("h", status=200, data=b""))
        tasks = [asyncio.create_task(rules.rules(URL("http://h/"))) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return [type(f).__name__ for f in found], len(asked)

    assert in_virtual_time(run()) == (["CancelledError", "Rules", "Rules"], 1)
