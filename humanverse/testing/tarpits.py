"""Servers on loopback that hold on to whoever asks them, beside healthy ones.

    with Tarpits(hosts, body) as served: served.url(hosts[0], "/good/7.jpg")

The path says how a page behaves: `/good/...` gives the body at once, `/<kind>/...` one of `KINDS`.
Run as a module it serves until its standard input ends: what is measured then shares no loop and
no lock with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
HOP = 1.0
"""Seconds that each step of a slow chain takes."""

Page = Callable[[str, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _headers(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: there is always one more\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _header_drip(_: str, writer: asyncio.StreamWriter) -> None:
    for byte in HEAD % 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def _body_drip(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD % 100_000)
    while True:
        writer.write(b"\xff")
        await writer.drain()
        await asyncio.sleep(1)


async def _endless(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while True:
        writer.write(b"\xff" * (1 << 18))
        await writer.drain()


async def _loop(path: str, writer: asyncio.StreamWriter) -> None:
    target = path.encode()
    writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n")


async def _chain(path: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(HOP)
    await _loop(path + "x", writer)


async def _silence(_path: str, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _huge_header(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Huge: ")
    while True:
        writer.write(b"x" * (1 << 16))
        await writer.drain()


PAGES: dict[str, Page] = {
    "headers": _headers,
    "header-drip": _header_drip,
    "body-drip": _body_drip,
    "endless": _endless,
    "loop": _loop,
    "chain": _chain,
    "silence": _silence,
    "huge-header": _huge_header,
}
KINDS = {
    "headers": {"timeout", "http_error"},
    "header-drip": {"timeout"},
    "body-drip": {"timeout"},
    "endless": {"too_many_bytes"},
    "loop": {"redirects"},
    "chain": {"redirects", "timeout"},
    "silence": {"timeout"},
    "huge-header": {"http_error", "connection"},
    "tls": {"timeout"},
    "robots": {"timeout"},
}
"""Each way to hold somebody, and how it may end. `tls` never finishes its handshake; a host of
`robots` never answers for its rules."""


@dataclass
class Tarpits:
    """Serves from a thread, at one port of several addresses of 127.0.0.0/8."""

    hosts: Sequence[str]
    body: bytes = field(repr=False)
    slow_robots: frozenset[str] = frozenset()
    """Hosts that never answer for their rules."""
    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Whole answers, with their heads, by path."""

    def url(self, host: str, path: str, scheme: str = "http") -> str:
        """Address of a page."""
        return f"{scheme}://{host}:{self.port}{path}"

    def address(self, kind: str, host: str, number: int) -> str:
        """Address of a page of one of the kinds."""
        path = "/good/" if kind == "robots" else f"/{kind}/"
        return self.url(host, f"{path}{number}", "https" if kind == "tls" else "http")

    def __enter__(self) -> Tarpits:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        servers = self._loop.run_until_complete(self._listen())
        started.set()
        self._loop.run_forever()
        for server in servers:
            server.close()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # the transports' own last words
        self._loop.close()

    async def _listen(self) -> list[asyncio.Server]:
        servers = []
        for host in self.hosts:
            listener = socket.create_server((host, self.port), backlog=512)
            self.port = listener.getsockname()[1]
            servers.append(await asyncio.start_server(self._serve, sock=listener))
        return servers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0]
        gone = OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        try:
            with contextlib.suppress(*gone):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    path = head.split(b" ", 2)[1].decode("ascii", "replace")
                    await self._answer(host, path, writer)
                    await writer.drain()
        finally:
            writer.transport.abort()

    async def _answer(self, host: str, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/robots.txt":
            await (_silence(path, writer) if host in self.slow_robots else _gone(writer))
        elif path in self.answers:
            writer.write(self.answers[path])
        elif path.startswith("/good/"):
            writer.write(HEAD % len(self.body))
            writer.write(self.body)
        else:
            await PAGES[path.split("/")[1]](path, writer)


async def _gone(writer: asyncio.StreamWriter) -> None:
    writer.write(GONE)


@contextlib.contextmanager
def elsewhere(tarpits: Tarpits) -> Any:
    """The same, served by another process."""
    arguments = [",".join(tarpits.hosts), ",".join(tarpits.slow_robots)]
    process = subprocess.Popen(
        [sys.executable, "-m", "humanverse.testing.tarpits", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        process.stdin.write(len(tarpits.body).to_bytes(8) + tarpits.body)
        process.stdin.flush()
        tarpits.port = int(process.stdout.readline())
        try:
            yield tarpits
        finally:
            process.kill()


def _main() -> None:
    hosts, slow = (argument.split(",") for argument in sys.argv[1:3])
    body = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8)))
    with Tarpits(hosts, body, frozenset(slow)) as served:
        print(served.port, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    _main()
