"""robots.txt by RFC 9309: asked for once for each origin, read and matched within bounds.

Of a file only the lines that are meant for us go to the parser, and no more of them than can be
matched in a few milliseconds: whoever writes the file may mean us ill.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from humanverse.collect.web import tdm
from humanverse.collect.web.client import REDIRECTS, Answer, Headers, Want, status_reason
from humanverse.collect.web.manners import AGENT
from humanverse.collect.web.once import Once

PATH = "/robots.txt"
MAX_BYTES = 500 << 10
"""RFC 9309 wants at least 500 KiB to be read; what comes after is not."""
ROOM = 400_000
"""Weight of all that is remembered: some 120 MB, enough for 20,000 usual origins."""
KEPT = 24 * 3600.0
"""Seconds for which rules hold; RFC 9309 sets a day as the most."""
FAILURE_KEPT = 300.0
INLINE = 8 << 10
"""Bytes that are parsed at once; more go to a thread, for they take up to 0.2 s."""
MAX_RULES = 5_000
MAX_STARS = 2_000
MAX_PATTERN = 2_000
MAX_PATTERN_STARS = 16

Follow = Callable[[URL, Want], Awaitable[Answer]]

_FIELDS = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), "agent"),
    **dict.fromkeys(
        ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"), "disallow"
    ),
    "allow": "allow",
    **dict.fromkeys(("crawl-delay", "crawl delay"), "crawl-delay"),
    **dict.fromkeys(("request-rate", "request rate"), "request-rate"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin lets us ask for, or the reason why nothing of it is asked."""

    reason: str | None = None
    robots: Protego | None = None
    reserved: Protego | None = None
    """Matches what a TDM file reserves."""
    delay: float = 0.0
    """Seconds between requests."""
    weight: int = 10
    seconds: float = KEPT

    def refusal(self, url: URL) -> str | None:
        """The reason why a URL of this origin is not to be asked."""
        if self.reason is not None:
            return self.reason
        for rules, reason in ((self.robots, "robots"), (self.reserved, "opted_out")):
            # The host plays no part, and some hosts would be refused by the parser of URLs.
            if rules is not None and not rules.can_fetch(f"http://h{url.raw_path_qs}", AGENT):
                return reason
        return None


OPEN = Rules()


class Robots:
    """The rules of all origins. Belongs to one event loop.

    `follow` asks for a URL with its redirects and tries, within a deadline of its own.
    """

    def __init__(self, follow: Follow, *, tdm_file: bool = False, room: int = ROOM) -> None:
        self._follow = follow
        self._tdm_file = tdm_file
        self._known: Once[URL, Rules] = Once(self._find, room)

    def __len__(self) -> int:
        return len(self._known)

    async def rules(self, url: URL) -> Rules:
        """The rules of a URL's origin: its scheme, host and port."""
        return await self._known.get(url.origin())

    async def close(self) -> None:
        """Give up what is being asked."""
        await self._known.close()

    async def _find(self, origin: URL) -> Rules:
        answer = await self._follow(origin.with_path(PATH), WANTED)
        rules = await _rules_of(answer)
        if not self._tdm_file or rules.reason is not None:
            return rules
        answer = await self._follow(origin.with_path(tdm.PATH), WANTED)
        body, whole = _body(answer)
        if body is None or not whole:
            return rules  # a TDM file that cannot be had, or is cut, reserves nothing
        # Its locations are patterns like those of robots.txt.
        held = await _aside(lambda: parse(tdm.as_robots(body)), len(body))
        weight = rules.weight + held.weight
        return Rules(held.reason, rules.robots, held.robots, rules.delay, weight)


def parse(body: bytes, whole: bool = True) -> Rules:
    """Rules out of the body of a robots.txt. Of one that was cut the last line is left out."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("[\r\n]+", text)
    ours = list(_bounded(_for_us(lines if whole else lines[:-1])))
    if not ours:
        return OPEN
    stars = sum(value.count("*") for _, value in ours)
    if len(ours) > MAX_RULES or stars > MAX_STARS:
        return Rules("robots_unknown")  # what cannot be judged is not taken for allowed
    robots = Protego.parse("\n".join(["User-agent: *", *(f"{k}: {v}" for k, v in ours)]))
    rate = robots.request_rate(AGENT)
    delay = max(robots.crawl_delay(AGENT) or 0.0, rate.seconds / rate.requests if rate else 0.0)
    return Rules(robots=robots, delay=delay, weight=10 + len(ours))


def _judge(status: int, _: Headers) -> str | None:
    return None if status in REDIRECTS else status_reason(status)


WANTED = Want(MAX_BYTES, _judge, cut=True, headers={"Accept": "text/plain,*/*;q=0.5"}, behind=True)


async def _rules_of(answer: Answer) -> Rules:
    """RFC 9309, 2.3.1: rules, or everything for 4xx, or nothing where it cannot be had."""
    reason, status = answer.reason, answer.status or 0
    if reason in ("dns", "connection", "timeout", "tls", "bad_address"):
        return Rules(reason, seconds=FAILURE_KEPT)
    if not answer.asked and reason in ("host_down", "http_busy"):
        return Rules(reason, seconds=0.0)  # the host's turns know for how long
    if reason == "redirects" or (reason and 400 <= status < 500 and reason != "http_busy"):
        return OPEN
    body, whole = _body(answer)
    if body is None:
        return Rules("robots_unknown", seconds=FAILURE_KEPT)
    return await _aside(lambda: parse(body, whole), len(body))


async def _aside(make: Callable[[], Rules], size: int) -> Rules:
    """In a thread if it is long work."""
    return make() if size <= INLINE else await asyncio.to_thread(make)


def _body(answer: Answer) -> tuple[bytes | None, bool]:
    """A body, and whether it is whole. Some servers pack these files whatever one asks for."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    data, whole = answer.data, answer.whole
    if data is not None and encoding in ("gzip", "x-gzip", "deflate"):
        try:
            data = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, MAX_BYTES)
        except zlib.error:
            return None, False
        return data, whole and len(data) < MAX_BYTES
    return (data, whole) if encoding in ("identity", "") else (None, False)


def _for_us(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Fields and values of the groups that name us, or else of those for everyone.

    Groups are told apart here: given 64 KiB of 2,000 agents and 2,000 rules, Protego makes four
    million of them, and it takes `human` for a name of `humanverse`.
    """
    groups: dict[str, list[tuple[str, str]]] = {"*": []}
    current: list[list[tuple[str, str]]] = []
    heading = False
    for line in lines:
        name, value = _field(line)
        if name == "agent":
            if not heading:
                current = []
            heading = True
            for agent in _agents(value):
                group = groups.setdefault(agent, [])
                if not any(group is known for known in current):
                    current.append(group)
        elif name:
            heading = False
            for group in current:
                group.append((name, value))
    return groups.get(AGENT, groups["*"])


def _field(line: str) -> tuple[str, str]:
    """Name and value of a line; the name is empty where it is none that we know."""
    line = line.partition("#")[0].strip()
    name, colon, value = line.partition(":")
    if colon and (known := _FIELDS.get(name.strip().lower())):
        return known, value.strip()
    name, _, value = line.partition(" ")  # the colon is sometimes forgotten
    return _FIELDS.get(name.lower(), ""), value.strip()


def _agents(value: str) -> Iterator[str]:
    """Those of the agents in a line that are us: by name, or as everyone."""
    for name in value.lower().split(","):
        token = re.match(r"\s*([a-z_-]+|\*(?!\S))", name)
        if token and token[1] in (AGENT, "*"):
            yield token[1]


def _bounded(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Rules of bearable length. A shortened one forbids more than it said; none allows more."""
    for name, value in fields:
        if name not in ("allow", "disallow"):
            yield name, value[:64]
            continue
        pattern = re.sub(r"\*+", "*", value[: 2 * MAX_PATTERN])
        parts = pattern.split("*")
        if len(value) <= MAX_PATTERN and len(parts) <= MAX_PATTERN_STARS:
            if pattern:
                yield name, pattern
        elif name == "disallow":
            short = "*".join(parts[:MAX_PATTERN_STARS])[:MAX_PATTERN]
            yield name, re.sub(r"%.?$", "", short)
