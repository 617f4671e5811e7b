"""An S3 on loopback that may be made to stumble: moto's server behind a proxy with faults.

with bucket(monkeypatch.setenv) as store:             # moto and flask: the extra `dev`
    build(recipe, table, store.url("root"))
    store.faults = [Fault("PUT", 3, "lost")]          # the third put is done, its answer lost
"""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

BUCKET = "bucket"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Fault:
    """What shall go wrong."""

    method: str
    number: int
    """Of the requests with this method, from 1."""
    kind: Literal["refused", "failed", "lost"]
    """refused: answered by 500, not done. failed: done, answered by 500. lost: done, and the
    connection ends without an answer."""


@dataclass
class Bucket:
    """A bucket, and what shall go wrong there."""

    address: str
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """Requests so far by method."""
    hit: list[Fault] = field(default_factory=list)
    """The faults that came to pass."""
    _lock: Any = field(default_factory=threading.Lock)

    def url(self, folder: str) -> str:
        """A root in it."""
        return f"s3://{BUCKET}/{folder}"

    def stumbles(self, faults: list[Fault]) -> None:
        """Set what goes wrong from here on; requests are counted anew."""
        with self._lock:
            self.faults, self.hit = faults, []
            self.seen.clear()

    def due(self, method: str) -> Fault | None:
        """Count a request; what shall happen to it."""
        with self._lock:
            self.seen[method] += 1
            for fault in self.faults:
                if (fault.method, fault.number) == (method, self.seen[method]):
                    self.hit.append(fault)
                    return fault
        return None


@contextmanager
def bucket(setenv: Callable[[str, str], object]) -> Iterator[Bucket]:
    """An empty bucket; `setenv` tells S3 clients of this process where it is."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    behind = moto.get_host_and_port()
    made = Bucket("")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _proxy(behind, made))
    proxy.daemon_threads = True
    serving = threading.Thread(target=proxy.serve_forever, args=(0.05,), name="s3", daemon=True)
    serving.start()
    made.address = f"http://127.0.0.1:{proxy.server_port}"
    told = {"AWS_ENDPOINT_URL": made.address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION}
    for name, value in (told | {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "x"}).items():
        setenv(name, value)
    _ask(behind, "PUT", f"/{BUCKET}")
    try:
        yield made
    finally:
        proxy.shutdown()
        proxy.server_close()
        serving.join()
        moto.stop()


def _ask(
    where: tuple[str, int],
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(*where, timeout=60)
    try:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _proxy(behind: tuple[str, int], made: Bucket) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body go out at once: between two small packets Nagle and a late ACK take 40 ms.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = made.due(self.command)
            if fault is not None and fault.kind == "refused":
                return self._answer(500, [], b"")
            status, headers, data = _ask(
                behind, self.command, self.path, body, dict(self.headers.items())
            )
            if fault is None:
                return self._answer(status, headers, data)
            if fault.kind == "failed":
                return self._answer(500, [], b"")
            self.close_connection = True
            return None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

        def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response_only(status)
            told = {name.lower() for name, _ in headers}
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            if "content-length" not in told:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Proxy
