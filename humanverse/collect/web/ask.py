"""A request in its turn: permitted, at the host's pace, within the worker's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from yarl import URL

from humanverse.collect.web.client import MAX_URL, Answer, Client, Want, without_credentials
from humanverse.collect.web.guard import Guard, Refused
from humanverse.collect.web.manners import retry_after
from humanverse.collect.web.pace import Pace
from humanverse.collect.web.slots import Slots, Watch

FAILURES = frozenset({"timeout", "connection", "dns"})
"""Ends that speak against a host: it did not answer, or did not finish."""
BUSY_PAUSE = 1.0
"""Seconds after a 429 that does not say how long."""

Blocked = Callable[[str, str], bool]
"""Whether a URL, of a host, is on a list of what must not be asked."""


class Rules(Protocol):
    """What an origin says about being asked."""

    @property
    def delay(self) -> float:
        """Seconds that it wants between requests."""

    def refusal(self, url: URL) -> str | None:
        """The reason not to ask for a URL."""


class Budget:
    """Seconds of being served that a URL has left. Waiting for a turn costs none of them."""

    __slots__ = ("left", "whole")

    def __init__(self, seconds: float) -> None:
        self.whole = self.left = seconds


class Asker:
    """Asks for URLs with their redirects, each hop judged anew and asked in its own host's turn."""

    def __init__(
        self, client: Client, guard: Guard, pace: Pace, slots: Slots, blocked: Blocked
    ) -> None:
        self._client = client
        self._guard = guard
        self._pace = pace
        self._slots = slots
        self._blocked = blocked

    async def follow(
        self,
        start: URL,
        want: Want,
        budget: Budget,
        redirects: int,
        rules_for: Callable[[URL], Awaitable[Rules]] | None = None,
    ) -> Answer:
        """The end of a chain of redirects. `rules_for` is asked at each hop."""
        url, answer = without_credentials(start), Answer(start.host, asked=False)
        for _ in range(redirects + 1):
            delay, reason = 0.0, self._refusal(url)
            if reason is None and rules_for is not None:
                rules = await rules_for(url)
                delay, reason = rules.delay, rules.refusal(url)
            new = reason or await self._ask(url, want, budget, delay)
            if isinstance(new, str):
                answer.reason = new
                return answer
            answer = new.after(answer)
            if not answer.is_redirect:
                return answer
            target = _target(url, answer)
            if isinstance(target, str):
                answer.reason = target
                return answer
            url = target
        answer.reason = "redirects"
        return answer

    def _refusal(self, url: URL) -> str | None:
        try:
            self._guard.check(url)
        except Refused:
            return "bad_address"
        return "blocked" if self._blocked(str(url), url.raw_host or "") else None

    async def _ask(self, url: URL, want: Want, budget: Budget, delay: float) -> Answer | str:
        """One request, or the reason why there was none.

        While it waits, for its host and then for a connection, no time counts.
        """
        if budget.left <= 0:
            return "timeout"
        name = url.raw_host or ""
        if reason := await self._pace.enter(name, delay):
            return reason
        failed: bool | None = None
        late = False
        generation: int | None = None
        watch: Watch | None = None
        try:
            generation = await self._slots.take(behind=want.behind)
            watch = Watch(self._slots)
            answer, failed = await self._timed(url, want, budget, watch)
            late = answer.reason == "timeout"
            self._heed(name, answer)
            return answer
        finally:
            # A host that was failing already says nothing new about our own line.
            news = self._pace.leave(name, failed)
            if generation is not None and watch is not None:
                watch.end()
                told = late if news and failed is not None else None
                self._slots.give(generation, told, aside=watch.aside)

    async def _timed(
        self, url: URL, want: Want, budget: Budget, watch: Watch
    ) -> tuple[Answer, bool | None]:
        """An answer, and whether the host failed to give one; None where that cannot be said."""
        loop = asyncio.get_running_loop()
        began, had = loop.time(), budget.left
        answer = await self._client.get(url, want, had, watch.moved)
        budget.left -= loop.time() - began
        if answer.reason in FAILURES:
            # A host that was left little time, by whoever redirected to it, is not to blame.
            in_haste = answer.reason == "timeout" and had < budget.whole / 2
            return answer, None if in_haste else True
        return answer, None if answer.status is None else False

    def _heed(self, name: str, answer: Answer) -> None:
        """Let a host rest that says it has too much to do."""
        if answer.status not in (429, 503):
            return
        seconds = retry_after(answer.headers.get("Retry-After"))
        if seconds is None and answer.status == 429:
            seconds = BUSY_PAUSE
        if seconds:
            self._pace.pause(name, seconds)


def _target(url: URL, answer: Answer) -> URL | str:
    """Where a redirect leads, or the reason why it leads nowhere."""
    location = answer.headers.get("Location")
    if not location or len(location) > MAX_URL:
        return "redirects"
    try:
        return without_credentials(url.join(URL(location)))
    except ValueError:
        return "bad_address"
