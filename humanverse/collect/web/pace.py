"""When a host's next request may go: its turns, its pauses, and when it is given up.

A host that waits costs nothing but the memory of its queue: whoever waits here holds no connection.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from humanverse.collect.web.manners import Manners

HOSTS = 20_000
"""Hosts remembered although nothing waits for them; some 10 MB."""


@dataclass(slots=True, eq=False)
class _Host:
    active: int = 0
    waiting: deque[asyncio.Future[str | None]] = field(default_factory=deque)
    delay: float = 0.0
    """Seconds between requests by the host's own wish."""
    next_at: float = 0.0
    paused_until: float = 0.0
    paused: float = 0.0
    """Seconds of all pauses since the host was last idle."""
    closed_until: float = 0.0
    closed_as: str = ""
    failures: int = 0
    """In a row."""
    timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        return not self.active and not self.waiting


class Pace:
    """The turns of all hosts. Belongs to one event loop, whose clock it goes by."""

    def __init__(self, manners: Manners, hosts: int = HOSTS) -> None:
        self._manners = manners
        self._interval = 1 / manners.per_host_rate if manners.per_host_rate else 0.0
        self._most = hosts
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    async def enter(self, name: str, delay: float = 0.0) -> str | None:
        """Wait for a turn at a host; `leave` ends it. A reason is returned where none will come.

        `delay` is the host's own interval between requests in seconds. With one, it is asked one
        thing at a time.
        """
        loop = asyncio.get_running_loop()
        host, now = self._host(name), loop.time()
        host.delay = max(host.delay, delay)
        if refusal := self._refusal(host, now):
            return refusal
        if not host.waiting and self._may_start(host) and self._ready_at(host) <= now:
            self._start(host, now)
            return None
        turn: asyncio.Future[str | None] = loop.create_future()
        host.waiting.append(turn)
        self._hand_on(host)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result() is None:
                host.active -= 1
                self._hand_on(host)
            raise

    def leave(self, name: str, failed: bool | None) -> bool:
        """End a turn. Returns whether it was no failure of a host that was failing before.

        `failed`: whether no answer came in time; any answer, a 404 too, shows that a host lives.
        None where nothing can be said of the host.
        """
        host, now = self._hosts[name], asyncio.get_running_loop().time()
        host.active -= 1
        if host.delay:
            host.next_at = now + host.delay
        news = not (failed and host.failures)
        if failed:
            host.failures += 1
            if 0 < self._manners.give_up_after <= host.failures:
                self._close(host, "host_down", now + self._manners.give_up_for)
        elif failed is not None:
            host.failures = 0
            if host.closed_as == "host_down":
                host.closed_until = 0.0
        self._hand_on(host)
        if host.idle:
            host.paused = 0.0
        return news

    def pause(self, name: str, seconds: float) -> None:
        """Let all the URLs of a host wait as it asked; end them where that would be too long."""
        host, now = self._hosts[name], asyncio.get_running_loop().time()
        until = now + seconds
        host.paused += max(0.0, until - max(now, host.paused_until))
        host.paused_until = max(host.paused_until, until)
        if seconds > self._manners.max_pause:
            self._close(host, "http_busy", until)
        elif host.paused > self._manners.patience:
            self._close(host, "http_busy", now + self._manners.give_up_for)

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            self._forget()
            host = self._hosts[name] = _Host()
        else:
            self._hosts.move_to_end(name)
        return host

    def _forget(self) -> None:
        """Make room for one: the host that was idle for longest goes. Busy ones stay."""
        # Two looks for each newcomer: what could not go at once, with many busy, goes later.
        for _ in range(min(2, len(self._hosts) - self._most + 1)):
            name, host = next(iter(self._hosts.items()))
            if host.idle:
                del self._hosts[name]
            else:
                self._hosts.move_to_end(name)

    def _refusal(self, host: _Host, now: float) -> str | None:
        if host.closed_until > now:
            return host.closed_as
        ahead = len(host.waiting) + host.active
        if host.delay > self._manners.max_pause or ahead * host.delay > self._manners.patience:
            return "http_busy"
        return None

    def _may_start(self, host: _Host) -> bool:
        return host.active < (1 if host.delay else self._manners.per_host)

    def _ready_at(self, host: _Host) -> float:
        return max(host.next_at, host.paused_until)

    def _start(self, host: _Host, now: float) -> None:
        host.active += 1
        if self._interval:
            # Counted from the turn that was due, so that late timers do not slow the host down.
            on_time = now - host.next_at < self._interval
            host.next_at = (host.next_at if on_time else now) + self._interval

    def _hand_on(self, host: _Host) -> None:
        """Give the turns that are due, and come back when the next one is."""
        loop = asyncio.get_running_loop()
        while host.waiting and self._may_start(host):
            if host.waiting[0].done():
                host.waiting.popleft()
                continue
            now, ready = loop.time(), self._ready_at(host)
            if ready > now:
                if host.timer is None:
                    host.timer = loop.call_at(ready, self._come_back, host)
                return
            self._start(host, now)
            host.waiting.popleft().set_result(None)

    def _come_back(self, host: _Host) -> None:
        host.timer = None
        self._hand_on(host)

    def _close(self, host: _Host, reason: str, until: float) -> None:
        host.closed_as, host.closed_until = reason, max(host.closed_until, until)
        while host.waiting:
            turn = host.waiting.popleft()
            if not turn.done():
                turn.set_result(reason)
