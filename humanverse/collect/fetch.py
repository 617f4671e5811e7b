"""One URL to its bytes: redirects followed by hand, every byte and second bounded.

A failure is a value with a reason of the schema, never an exception.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from weakref import WeakValueDictionary

import aiohttp
from yarl import URL

from humanverse.collect.guard import Guard, GuardedResolver, Refused
from humanverse.collect.manners import opted_out

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({"timeout", "connection", "dns", "http_busy", "http_server_error"})
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one URL, whatever its server does."""

    deadline: float
    """Seconds for everything: redirects, body, tries and the waits between them."""
    max_bytes: int
    max_redirects: int
    tries: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: bytes, or a reason why none did."""

    data: bytes | None
    reason: str | None
    status: int | None = None
    host: str | None = None
    retry_after: float | None = None


class Fetcher:
    """A session with one TLS context, keep-alive and a guarded resolver, for many URLs."""

    def __init__(
        self, guard: Guard, limits: Limits, *, connections: int, per_host: int, agent: str
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._slots = asyncio.Semaphore(connections)
        self._per_host = per_host
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        connector = aiohttp.TCPConnector(
            limit=connections,
            ttl_dns_cache=300,
            resolver=GuardedResolver(guard),
            socket_factory=guard.socket,
            ssl=ssl.create_default_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline below covers all of it
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def fetch(self, url: str) -> Fetched:
        """The bytes behind a URL. The deadline starts when it is its turn, at its host too."""
        try:
            host = URL(url).raw_host or ""
        except ValueError:  # such as a port beyond 65535
            return Fetched(None, "bad_address")
        async with self._hosts.setdefault(host, asyncio.Semaphore(self._per_host)), self._slots:
            last = Fetched(None, "timeout")
            try:
                async with asyncio.timeout(self._limits.deadline):
                    for attempt in range(self._limits.tries):
                        if attempt:
                            await asyncio.sleep(last.retry_after or 0.25 * 4**attempt)
                        last = await self._follow(url)
                        if last.reason not in TRANSIENT:
                            break
            except TimeoutError:
                # A server that answered and then kept us waiting is known by its answer.
                return last if last.status else Fetched(None, "timeout")
            return last

    async def _follow(self, start: str) -> Fetched:
        """One try: the chain of redirects to its end."""
        try:
            url = URL(start)
            for _ in range(self._limits.max_redirects + 1):
                self._guard.check(url)
                async with self._session.get(url, allow_redirects=False) as response:
                    if response.status not in REDIRECTS:
                        return await self._read(response)
                    target = response.headers.get("Location")
                    if not target:
                        return Fetched(None, "redirects", response.status, url.host)
                    url = url.join(URL(target))
            return Fetched(None, "redirects", host=url.host)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Fetched(None, _reason_of(error))

    async def _read(self, response: aiohttp.ClientResponse) -> Fetched:
        status, host, headers = response.status, response.url.host, response.headers
        reason = status_reason(status)
        if reason is None and opted_out(
            headers.getall("X-Robots-Tag", []), headers.get("tdm-reservation")
        ):
            reason = "opted_out"
        if reason is None and headers.get("Content-Encoding", "identity").lower() != "identity":
            reason = "encoded"
        if reason is None and (response.content_length or 0) > self._limits.max_bytes:
            reason = "too_many_bytes"
        if reason is not None:
            # The rest of a refused body is not waited for: the connection goes.
            response.close()
            return Fetched(None, reason, status, host, _retry_after(headers.get("Retry-After")))
        parts, size = [], 0
        async for chunk in response.content.iter_chunked(CHUNK):
            size += len(chunk)
            if size > self._limits.max_bytes:
                response.close()
                return Fetched(None, "too_many_bytes", status, host)
            parts.append(chunk)
        return Fetched(b"".join(parts), None, status, host)


def status_reason(status: int) -> str | None:
    """The reason that an HTTP status is; None for success."""
    if status in (404, 410):
        return "http_gone"
    if status in (401, 402, 403, 451):
        return "http_refused"
    if status in (429, 503):
        return "http_busy"
    if status >= 500:
        return "http_server_error"
    return None if 200 <= status < 300 else "http_error"


def _reason_of(error: Exception) -> str:
    """The reason of an error. aiohttp wraps what resolver and socket raise: causes are followed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Refused):
            return "bad_address"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientResponseError):
        return "http_error"
    if isinstance(error, ValueError):
        return "bad_address"
    return "connection"


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait. A date is not read here; the usual back-off serves."""
    return float(value) if value and value.strip().isdecimal() else None
