"""One URL to its bytes: by the rules of its host, with tries, within a deadline.

A failure is a value with a reason of the schema, never an exception.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from yarl import URL

from humanverse.collect.web.ask import Asker, Blocked, Budget
from humanverse.collect.web.client import (
    MAX_URL,
    REDIRECTS,
    Answer,
    Client,
    Headers,
    Want,
    status_reason,
)
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.manners import Manners, opted_out
from humanverse.collect.web.pace import Pace
from humanverse.collect.web.robots import Robots
from humanverse.collect.web.slots import Slots

AGAIN = frozenset({"timeout", "connection", "http_busy", "http_server_error"})
"""Reasons for which a URL is tried again at once. A name that is not found is looked up for long
already, and remembered as such for a while."""
BACK_OFF = 0.25
"""Seconds before the second try; four times as many before each further one."""
ROBOTS_TRIES = 2
ROBOTS_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one URL, whatever its server does."""

    deadline: float
    """Seconds for all of it but the waiting for a turn: redirects, body, tries and the waits
    between them."""
    max_bytes: int
    max_redirects: int
    tries: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: bytes, or a reason why none did."""

    data: bytes | None
    reason: str | None
    status: int | None = None
    """The last HTTP status."""
    host: str | None = None
    """The host that gave it."""
    attempts: int = 0
    """Tries in which something was asked; 0 where rules or a list spoke against it."""
    ms: int = 0
    """Milliseconds of the deadline that it took; waiting for turns is not among them."""


class Fetcher:
    """One session, and what is known of its hosts, for many URLs. Belongs to one event loop.

    `connections` is the most at a time that bring something; as many more may stand still. With
    `adaptive` there are as many as the line bears.
    """

    def __init__(
        self,
        guard: Guard,
        limits: Limits,
        manners: Manners | None = None,
        *,
        connections: int,
        adaptive: bool = True,
        blocked: Blocked = lambda _url, _host: False,
    ) -> None:
        self._limits = limits
        self._manners = manners or Manners()
        self._want = Want(limits.max_bytes, _judge)
        self._slots = Slots(connections, adaptive=adaptive)
        # As many again may stand aside.
        self._client = Client(guard, agent=self._manners.agent, connections=2 * connections)
        self._asker = Asker(self._client, guard, Pace(self._manners), self._slots, blocked)
        self._robots = Robots(self._follow_for_rules, tdm_file=self._manners.tdm_file)

    @property
    def connections(self) -> int:
        """How many there may be at present."""
        return self._slots.limit

    def hold(self, held: bool) -> None:
        """Begin no requests, or go on, while what came is still being worked on."""
        self._slots.hold(held)

    async def close(self) -> None:
        """Close all connections."""
        await self._robots.close()
        await self._client.close()

    async def fetch(self, url: str) -> Fetched:
        """The bytes behind a URL. The deadline starts when it is its turn, at its host too."""
        try:
            if len(url) > MAX_URL:
                return Fetched(None, "bad_address")
            start = URL(url)
        except ValueError:  # such as a port beyond 65535
            return Fetched(None, "bad_address")
        limits = self._limits
        rules = self._robots.rules if self._manners.robots else None
        budget = Budget(limits.deadline)
        answer, attempts = Answer(None), 0
        for attempt in range(limits.tries):
            if attempt and not await _back_off(attempt, budget):
                break
            new = await self._asker.follow(start, self._want, budget, limits.max_redirects, rules)
            if attempts and not new.asked:
                break  # the host was given up meanwhile; what it said itself tells more
            answer, attempts = new.after(answer), attempts + new.asked
            if answer.reason not in AGAIN or not answer.asked:
                break
        host = answer.host if answer.status is not None else None
        ms = round(1000 * (limits.deadline - budget.left))
        return Fetched(answer.data, answer.reason, answer.status, host, attempts, ms)

    async def _follow_for_rules(self, url: URL, want: Want) -> Answer:
        """Ask for a file of rules. That of a redirect's target holds for the origin asked first."""
        budget = Budget(self._manners.robots_deadline)
        answer = await self._asker.follow(url, want, budget, ROBOTS_REDIRECTS)
        for attempt in range(1, ROBOTS_TRIES):
            if answer.reason not in AGAIN or not await _back_off(attempt, budget):
                break
            answer = await self._asker.follow(url, want, budget, ROBOTS_REDIRECTS)
        return answer


async def _back_off(attempt: int, budget: Budget) -> bool:
    """Wait before another try, holding nothing. False where the deadline leaves no time for one."""
    seconds = BACK_OFF * 4 ** (attempt - 1)
    if budget.left <= seconds:
        return False
    budget.left -= seconds
    await asyncio.sleep(seconds)
    return True


def _judge(status: int, headers: Headers) -> str | None:
    """The reason why the body of a picture's answer is not wanted."""
    if status not in REDIRECTS and (reason := status_reason(status)):
        return reason
    if opted_out(headers.getall("X-Robots-Tag", ()), headers.get("tdm-reservation")):
        return "opted_out"
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        return None if status in REDIRECTS else "encoded"
    return None
