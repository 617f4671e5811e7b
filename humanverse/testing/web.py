"""A small web on loopback: good pages with pictures, and one page for each way to misbehave.

Every row of its table has a planned fate, so a ledger can be held against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
import socket
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from PIL import Image

from humanverse.codec import encode_jpeg
from humanverse.errors import UsageError
from humanverse.testing.photos import Photo, photograph, variations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANY = "any"
"""The fate of an honest picture: whatever the filter makes of it, but it must be fetched."""
SHOWN = "kept once"
"""The fate of several copies of one good picture: one of them is kept, the others are its
near-duplicates. Without a selection all are kept."""
CANARY = "127.0.0.2"
"""A loopback address that the recipe does not allow; whatever connects to it has broken out."""
COLLECTED = frozenset({"no_person", "too_many_people", "people_too_small", "near_duplicate", None})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the web's table: a path, its caption and its planned reason (None: kept)."""

    path: str
    caption: str
    fate: str | None


@dataclass
class Web:
    """Serves pages from a thread. A context manager; `url(path)` is known once it is entered."""

    pages: dict[str, Handler]
    rows: list[Row]
    port: int = 0
    """0 takes a free one; the chosen one is put here."""
    canary_contacts: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)

    def url(self, path: str) -> str:
        """Address of a page."""
        return f"http://127.0.0.1:{self.port}{path}"

    def write_table(self, path: Path) -> None:
        """The table of all rows, with the columns `url` and `caption`."""
        table = {
            "url": [self.url(r.path) for r in self.rows],
            "caption": [r.caption for r in self.rows],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), path)

    def compare(self, ledger: pa.Table) -> list[tuple[Row, str | None, bool]]:
        """Each row with the reason in the ledger and whether that is the planned one."""
        reasons = dict(zip(ledger["row"].to_pylist(), ledger["reason"].to_pylist(), strict=True))
        return [
            (
                row,
                reasons[n],
                reasons[n] == row.fate
                or (row.fate == ANY and reasons[n] in COLLECTED)
                or (row.fate == SHOWN and reasons[n] in (None, "near_duplicate")),
            )
            for n, row in enumerate(self.rows)
        ]

    def __enter__(self) -> Web:
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._problem: OSError | None = None
        self._thread.start()
        started.wait()
        if self._problem is not None:
            raise UsageError(f"port {self.port} of 127.0.0.1 is taken: free it, or use a new --out")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        runner: web.AppRunner | None = None
        try:
            runner = self._loop.run_until_complete(self._start())
        except OSError as error:
            self._problem = error
        started.set()
        if runner is not None:
            self._loop.run_forever()
            self._loop.run_until_complete(self._stop(runner))
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        quiet = logging.Logger("humanverse.web", logging.CRITICAL)
        runner = web.AppRunner(app, access_log=None, logger=quiet, shutdown_timeout=0.1)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        canary = socket.create_server((CANARY, self.port))
        self._canary = await asyncio.start_server(self._alarm, sock=canary)
        return runner

    async def _stop(self, runner: web.AppRunner) -> None:
        self._canary.close()
        await runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        page = self.pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound
        return await page(request)

    async def _alarm(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.canary_contacts += 1
        writer.close()


def picture_web(photos: Iterable[Photo], port: int = 0) -> Web:
    """A web of honest pictures only."""
    rows, pages = [], {}
    for photo in photos:
        path = f"/{photo.name}.jpg"
        pages[path] = serve(encode_jpeg(photo.pixels, 92))
        rows.append(Row(path, photo.caption, ANY))
    return Web(pages, rows, port)


def demo_web(seed: int = 0, pictures: int = 80, port: int = 0) -> Web:
    """Honest pictures, every misbehaviour twice, and duplicates: some hundred addresses."""
    made = picture_web(variations(seed, pictures), port)
    portrait = photograph("astronaut").pixels
    for number in range(2):
        for name, caption, fate, page in _misbehaving(portrait, made, number):
            path = f"/odd/{name}-{number}"
            made.pages[path] = page
            made.rows.append(Row(path, caption, fate))
    made.pages["/robots.txt"] = serve(b"User-agent: *\nDisallow: /odd/disallowed\n", "text/plain")
    # The duplicates stand last, so that the first of each pair is the one that is planned.
    made.rows += [Row(made.rows[n].path, "the same address again", "duplicate") for n in (0, 1, 2)]
    return made


def serve(data: bytes, kind: str = "image/jpeg", **headers: str) -> Handler:
    """A page of fixed bytes."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=data, content_type=kind, headers=headers)

    return page


def status(code: int) -> Handler:
    """A page that answers with a status alone."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(status=code, text="no")

    return page


def redirect(target: Callable[[], str]) -> Handler:
    """A page that sends elsewhere."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target()})

    return page


def fails_first(data: bytes) -> Handler:
    """A page that answers 500 once and is fine from then on."""
    asked = 0

    async def page(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return await (status(500) if asked == 1 else serve(data))(request)

    return page


def stalls(data: bytes) -> Handler:
    """A page that sends half a picture and then nothing."""

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        await asyncio.sleep(60)
        return response

    return page


def endless(_: web.Request) -> Awaitable[web.StreamResponse]:
    """A page that never stops sending."""

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the other side has had enough
            while request.transport is not None and not request.transport.is_closing():
                await response.write(b"\xff" * (1 << 18))
        return response

    return page(_)


def pixel_bomb(side: int = 40_000) -> bytes:
    """A PNG of a few bytes whose header declares `side` x `side` pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 + side * 3))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def _misbehaving(
    portrait: np.ndarray[Any, np.dtype[np.uint8]], made: Web, number: int
) -> Sequence[tuple[str, str, str | None, Handler]]:
    """Name, caption, planned fate and page of each; `number` keeps two of a kind apart."""
    upright = cv2.resize(portrait, (440 + 8 * number,) * 2, interpolation=cv2.INTER_AREA)
    good = encode_jpeg(np.asarray(upright, np.uint8), 92)
    # A flat picture shows nobody, whatever is done to it.
    small = encode_jpeg(np.full((120, 90, 3), 128 + number, np.uint8), 90)
    return (
        ("gone", "a page that is gone", "http_gone", status(404)),
        ("forbidden", "a page for others", "http_refused", status(403)),
        ("recovers", "500 at first, then fine", SHOWN, fails_first(good)),
        ("broken-server", "500 for ever", "http_server_error", status(500)),
        ("stalls", "half a picture, then silence", "timeout", stalls(good)),
        ("endless", "a picture without end", "too_many_bytes", endless),
        ("html", "a page, no picture", "not_image", serve(b"<html>hello</html>", "text/html")),
        ("truncated", "half a picture", "broken_image", serve(good[: len(good) // 2])),
        ("bomb", "1.6 billion pixels", "too_many_pixels", serve(pixel_bomb(), "image/png")),
        ("small", "a thumbnail", "too_small", serve(small)),
        ("cmyk", "a picture for print", SHOWN, serve(_cmyk(upright))),
        ("rotated", "a picture to be turned", SHOWN, serve(_rotated(upright))),
        ("smaller", "the same, encoded smaller", "near_duplicate", serve(_smaller(upright))),
        ("opted-out", "not to be used", "opted_out", serve(good, **{"X-Robots-Tag": "noai"})),
        ("disallowed", "not for robots", "robots", serve(good)),
        (
            "gzipped",
            "packed although not asked for",
            "encoded",
            serve(gzip.compress(good, mtime=0), **{"Content-Encoding": "gzip"}),
        ),
        (
            "inward",
            "a redirect to a private address",
            "bad_address",
            redirect(lambda: f"http://{CANARY}:{made.port}/"),
        ),
        (
            "metadata",
            "a redirect to a cloud's metadata",
            "bad_address",
            redirect(lambda: "http://169.254.169.254/latest/meta-data/"),
        ),
        (
            "loop",
            "a redirect to itself",
            "redirects",
            redirect(lambda: made.url(f"/odd/loop-{number}")),
        ),
    )


def _cmyk(pixels: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(out, "JPEG", quality=95)
    return out.getvalue()


def _smaller(pixels: Any) -> bytes:
    small = cv2.resize(pixels, (360, 360), interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), 80)


def _rotated(pixels: Any) -> bytes:
    """Stored lying on its side, with the EXIF note to turn it upright."""
    image = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()
