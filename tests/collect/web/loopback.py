"""What tests of the fetcher share: hosts on loopback that keep a record, a clock of our own."""

import asyncio
import contextlib

from aiohttp import web

from humanverse.collect.web.fetch import Fetcher, Limits
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.manners import Manners

PICTURE = b"a picture"
EVERYONE = tuple(f"127.{a}.0.{b}" for a in range(5) for b in range(1, 101))


def answer(status=200, body=PICTURE, headers=None):
    """A page that always answers the same."""

    async def page(_):
        return web.Response(status=status, body=body, headers=headers)

    return page


def robots(text, status=200, **headers):
    """A robots.txt."""
    return answer(status, text.encode() if isinstance(text, str) else text, headers)


async def never(_):
    """A page that takes the request and says nothing."""
    await asyncio.sleep(3600)


class Host:
    """Pages at an address of 127.0.0.0/8, and a record of what was asked for, when and how."""

    def __init__(self, pages, address="127.0.0.1", default=None):
        self.pages, self.address, self.default = pages, address, default
        self.asked, self.times, self.headers = [], [], []
        self.active = self.peak = 0

    def url(self, path):
        return f"http://{self.address}:{self.port}{path}"

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _answer(self, request):
        path = request.raw_path.partition("?")[0]
        self.asked.append(request.raw_path)
        self.times.append(asyncio.get_running_loop().time())
        self.headers.append(request.headers)
        page = self.pages.get(path, None if path == "/robots.txt" else self.default)
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            return await (page or answer(404))(request)
        finally:
            self.active -= 1

    @property
    def pictures(self):
        """Paths asked for that are no files of rules."""
        return [path for path in self.asked if path != "/robots.txt"]


@contextlib.asynccontextmanager
async def fetching(*, deadline=5.0, tries=1, connections=32, redirects=5, max_bytes=10_000, **more):
    """A fetcher that may ask loopback; more settings are manners, or its own."""
    own = {name: more.pop(name) for name in ("adaptive", "blocked") if name in more}
    manners = Manners(**({"per_host_rate": 0.0} | more))
    limits = Limits(deadline, max_bytes, redirects, tries)
    fetcher = Fetcher(Guard(EVERYONE), limits, manners, connections=connections, **own)
    try:
        yield fetcher
    finally:
        await fetcher.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when everyone waits for it, and then at once."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready:
            assert self._scheduled, "everyone waits for something that will never happen"
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def in_virtual_time(coroutine):
    """Run to the end, by a clock that costs no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
