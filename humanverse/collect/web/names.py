"""Names to addresses: each asked for once in a while, by few threads, and every answer judged.

All of it is bounded, for names come from strangers: the names kept, the addresses of each, the
threads, and the questions that wait for one, which go when nobody waits for them any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

from humanverse.collect.web.guard import Guard

MOST_ADDRESSES = 64
"""A name with more of them counts as a failure; the answers of large sites hold a dozen."""

Ask = Callable[[str], Sequence[str]]
"""Asks for a name and blocks: all its addresses in canonical text, or OSError or UnicodeError."""


class GuardedResolver(AbstractResolver):
    """Resolves names for one event loop and refuses a name if any of its addresses is refused.

    The only cache of names there should be: a connector's own would keep an answer longer. Times
    are in seconds.
    """

    def __init__(
        self,
        guard: Guard,
        ask: Ask | None = None,
        *,
        names: int = 20_000,
        threads: int = 64,
        ttl: float = 300.0,
        failure_ttl: float = 30.0,
    ) -> None:
        self._guard = guard
        self._ask = ask or addresses_of
        self._names = names
        self._free = threads
        self._ttl = ttl
        self._failure_ttl = failure_ttl
        self._kept: OrderedDict[str, _Answer] = OrderedDict()  # the longest unused first
        self._open: dict[str, _Question] = {}
        self._waiting: dict[_Question, None] = {}  # those without a thread, in order

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host, judged, whether they were known or asked for.

        Raises:
            Refused: one of them must not be asked.
            socket.gaierror: it has none.
        """
        host = host.lower()
        # Without a domain at its end the name could mean another one of our own network.
        name = host if host in self._guard.allow_hosts else host.rstrip(".") + "."
        answer = self._known(name) or await self._asked(name)
        for address in answer.addresses:
            self._guard.check_answer(host, address)
        fitting = [a for a in answer.addresses if family in (socket.AF_UNSPEC, _family(a))]
        if not fitting:
            raise socket.gaierror(socket.EAI_NONAME, answer.failure or "no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=_family(address),
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in fitting
        ]

    async def close(self) -> None:
        """Tell all who wait that there is no answer. Threads that hang are left to themselves."""
        for question in self._open.values():
            if not question.future.done():
                question.future.set_result(_Answer((), "the resolver was closed"))
        self._open.clear()
        self._waiting.clear()

    def _known(self, name: str) -> _Answer | None:
        answer = self._kept.get(name)
        if answer is None or answer.until <= time.monotonic():
            return None
        self._kept.move_to_end(name)
        return answer

    async def _asked(self, name: str) -> _Answer:
        question = self._open.get(name)
        if question is None:
            question = _Question(name, asyncio.get_running_loop())
            self._open[name] = question
            self._waiting[question] = None
            self._start_threads()
        question.askers += 1
        try:
            return await asyncio.shield(question.future)
        finally:
            question.askers -= 1
            if not question.askers and question in self._waiting:
                del self._waiting[question], self._open[name]

    def _start_threads(self) -> None:
        # A thread for each question: 0.1 ms dearer than a pool, and none is left behind. Daemons,
        # because nothing ends a getaddrinfo that hangs, and the process must not wait for it.
        while self._free and self._waiting:
            question = next(iter(self._waiting))
            del self._waiting[question]
            self._free -= 1
            threading.Thread(
                target=self._in_thread, args=(question,), name="names", daemon=True
            ).start()

    def _in_thread(self, question: _Question) -> None:
        addresses: tuple[str, ...] = ()
        failure: str | None = "the resolver failed"
        try:
            addresses, failure = tuple(self._ask(question.name)), None
            if len(addresses) > MOST_ADDRESSES:
                addresses, failure = (), f"{len(addresses)} addresses"
        except (OSError, UnicodeError) as error:
            failure = getattr(error, "strerror", None) or str(error)
        finally:
            answer = _Answer(addresses, failure)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                question.loop.call_soon_threadsafe(self._settle, question, answer)

    def _settle(self, question: _Question, answer: _Answer) -> None:
        self._free += 1
        ttl = self._ttl if answer.addresses else self._failure_ttl
        answer.until = time.monotonic() + ttl
        self._kept[question.name] = answer
        self._kept.move_to_end(question.name)
        while len(self._kept) > self._names:
            self._kept.popitem(last=False)
        if self._open.get(question.name) is question:
            del self._open[question.name]
        if not question.future.done():
            question.future.set_result(answer)
        self._start_threads()


def addresses_of(name: str) -> list[str]:
    """All addresses that the system knows for a name; blocks.

    Raises:
        OSError, UnicodeError: it knows none.
    """
    infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


@dataclass(slots=True)
class _Answer:
    # A failure is kept as text: an exception raised again and again grows its traceback.
    addresses: tuple[str, ...]
    failure: str | None
    until: float = 0.0


class _Question:
    """One look-up under way, however many ask."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.loop = loop
        self.future: asyncio.Future[_Answer] = loop.create_future()
        self.askers = 0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
