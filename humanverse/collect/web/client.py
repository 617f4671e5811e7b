"""One request and its answer: no redirect followed, every byte and second bounded.

A failure is a value with a reason of the schema, never an exception.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from humanverse.collect.web.guard import Guard, Refused
from humanverse.collect.web.names import GuardedResolver

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_URL = 8_000
"""Characters of the longest URL that is asked or followed to."""
MAX_HEADER = 8_190
"""Bytes of one header."""
MAX_HEADERS = 128
KEEP_ALIVE = 5.0
"""Seconds for which an idle connection is kept. Most hosts are asked for two things, robots.txt
and a picture, at once; each idle connection of the others is a file descriptor."""
CHUNK = 1 << 16

Headers = CIMultiDictProxy[str]
NO_HEADERS: Headers = CIMultiDictProxy(CIMultiDict())


@dataclass(frozen=True, slots=True)
class Want:
    """What is asked for, and how much of it is taken."""

    max_bytes: int
    judge: Callable[[int, Headers], str | None]
    """Status and headers to the reason why the body is not wanted; None for wanted."""
    cut: bool = False
    """Whether a longer body is cut, instead of being refused."""
    headers: Mapping[str, str] | None = None
    behind: bool = False
    """Whether others go first where connections are scarce."""


@dataclass(slots=True)
class Answer:
    """What came of a request: a body, or a reason why there is none, or a redirect (neither)."""

    host: str | None
    reason: str | None = None
    status: int | None = None
    headers: Headers = field(default_factory=lambda: NO_HEADERS, repr=False)
    data: bytes | None = field(default=None, repr=False)
    whole: bool = True
    """False for a body that was cut."""
    asked: bool = True
    """False where no request was made."""

    @property
    def is_redirect(self) -> bool:
        """Whether it sends elsewhere."""
        return self.reason is None and self.status in REDIRECTS

    def after(self, former: Answer) -> Answer:
        """Itself, with the last status that came where it brought none."""
        if self.status is None:
            self.status, self.host = former.status, former.host
        return self


class Client:
    """A session with one TLS context, keep-alive and a guarded resolver. No cookies, no proxies."""

    def __init__(self, guard: Guard, *, agent: str, connections: int) -> None:
        self._guard = guard
        connector = aiohttp.TCPConnector(
            limit=connections,
            use_dns_cache=False,
            resolver=GuardedResolver(guard),
            socket_factory=guard.socket,
            ssl=_tls(),
            keepalive_timeout=KEEP_ALIVE,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline of `get` covers all of it
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(
        self, url: URL, want: Want, seconds: float, tell: Callable[[int], None] | None = None
    ) -> Answer:
        """The answer to one request, all of it within `seconds`; `tell` hears of its bytes."""
        answer = Answer(url.host)
        try:
            self._guard.check(url)
            async with (
                asyncio.timeout(seconds),
                self._session.get(url, allow_redirects=False, headers=want.headers) as response,
            ):
                await _receive(response, want, answer, tell)
        except TimeoutError:
            answer.reason = "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            answer.reason = _reason_of(error)
        return answer


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


def without_credentials(url: URL) -> URL:
    """The URL without the user and password in it, which would be sent."""
    if url.raw_user is None and url.raw_password is None:
        return url
    return url.with_user(None)


@functools.cache
def _tls() -> ssl.SSLContext:
    """The one context of this process: it takes 35 ms to make."""
    return ssl.create_default_context()


async def _receive(
    response: aiohttp.ClientResponse,
    want: Want,
    answer: Answer,
    tell: Callable[[int], None] | None,
) -> None:
    """Fill an answer from a response, as far as it is wanted."""
    answer.status, answer.headers = response.status, response.headers
    answer.reason = want.judge(response.status, response.headers)
    if answer.is_redirect:
        return
    too_long = (response.content_length or 0) > want.max_bytes and not want.cut
    if answer.reason is None and too_long:
        answer.reason = "too_many_bytes"
    if answer.reason is not None:
        # The rest of a refused body is not waited for: the connection goes.
        response.close()
        return
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if tell is not None:
            tell(len(chunk))
        if size > want.max_bytes:
            response.close()
            answer.whole = False
            break
    if answer.whole or want.cut:
        answer.data = b"".join(parts)[: want.max_bytes]
    else:
        answer.reason = "too_many_bytes"


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
