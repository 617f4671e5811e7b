"""The stage that brings the pictures."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from humanverse import __version__, schema
from humanverse.collect.blocked import Blocklist
from humanverse.collect.changed import Seen, changed
from humanverse.collect.decoder import Decoders
from humanverse.collect.picture import BadPicture, Bounds
from humanverse.collect.web.fetch import Fetched, Fetcher, Limits
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.manners import AGENT, Manners
from humanverse.errors import UsageError
from humanverse.sources import images
from humanverse.stage import BaseStage, Resources, operational

BACKLOG = 4 << 20
"""Bytes that may wait to be decoded before fetching waits, too."""
CHUNK = 50
"""Rows that become Arrow at a time."""
MOST_OF_CONTACT = 200
"""Characters: servers refuse long headers, and this one goes along with every request."""
RANGES = {
    "max_side": (16, 65_535),
    "min_side": (1, 65_535),
    "quality": (1, 100),
    "max_pixels": (1, 1 << 30),
    "max_bytes": (1, 1 << 30),
    "timeout": (0.01, 3600),
    "unit_seconds": (0.01, 1_000_000),
    "tries": (1, 100),
    "max_redirects": (0, 20),
    "connections": (1, 10_000),
    "per_host": (1, 1000),
    "decoders": (1, 256),
    "decode_seconds": (0.01, 3600),
}
"""What a setting may be, the ends included."""
HINTS = ("phash_hint", "md5_hint", "width_hint", "height_hint")


@dataclass
class Collect(BaseStage):
    """Fetches, decodes and normalises. Calls from several threads share one loop and its limits."""

    name: ClassVar[str] = "collect"
    reads: ClassVar[tuple[str, ...]] = ("url", "location", *HINTS)
    writes: ClassVar[pa.Schema] = schema.writes(*schema.COLLECT)
    telemetry: ClassVar[pa.Schema] = schema.schema_of(schema.TELEMETRY)
    reasons: ClassVar[tuple[str, ...]] = (
        *("taken_down", "blocked", "bad_address", "robots", "robots_unknown", "opted_out"),
        *("dns", "connection", "tls", "timeout", "host_down", "redirects"),
        *("http_gone", "http_refused", "http_busy", "http_error", "http_server_error"),
        *("encoded", "too_many_bytes", "not_at_hand", "bytes_missing", "late", "no_result"),
        *("not_image", "broken_image", "too_many_pixels", "too_small", "poison", "changed"),
    )
    resources: ClassVar[Resources] = Resources(cpus=1, network=True)
    batch_rows: ClassVar[int] = 100_000
    version: ClassVar[int] = 2

    max_side: int = 1024
    """Longest side of a stored picture, pixels; larger ones are shrunk."""
    min_side: int = 200
    """Shortest side that is kept, pixels as served."""
    quality: int = 95
    """Of a stored JPEG that has to be encoded anew; what needs no change is kept as it came."""
    max_pixels: int = 64_000_000
    max_bytes: int = 20 << 20
    refuse_changed: bool = True
    """Set aside what is grossly another picture than the table's hash tells of."""
    allow_hosts: tuple[str, ...] = operational(())
    """Hosts that may be asked although private, on any port."""
    blocklists: tuple[str, ...] = operational(())
    """Files that name what must not be taken: see `humanverse.collect.blocked`."""
    taken_down: tuple[str, ...] = operational(())
    """Entries of the root's own takedowns: a run puts them here."""
    contact: str = operational("")
    """Where a site's owner reaches you, by mail or web: it goes into the user agent."""
    timeout: float = operational(30.0)
    """Seconds for one URL with its redirects and tries, from when its turn has come."""
    unit_seconds: float = operational(10_800.0)
    """Seconds for the URLs of a unit together; what is left then is `late`, to be tried again."""
    tries: int = operational(3)
    max_redirects: int = operational(5)
    connections: int = operational(256)
    """Most connections at a time that move; as many again may stand still, waiting for a byte."""
    adaptive: bool = operational(True)
    """Fewer connections while many requests time out."""
    per_host: int = operational(8)
    """Most connections to one host, by one worker."""
    per_host_rate: float = operational(20.0)
    """Most requests a second to one host, by one worker; 0 for no limit."""
    robots: bool = operational(True)
    """Ask for robots.txt and obey it."""
    tdm_file: bool = operational(False)
    """Ask for TDMRep's file of reservations too; its header is always obeyed."""
    decoders: int = operational(2)
    """Processes that decode, for each worker."""
    decode_seconds: float = operational(20.0)
    """Seconds after which a picture that is still being decoded is given up."""
    backend: Literal["native", "img2dataset"] = operational("native")

    _loop: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {least} to {most}")
        if self.per_host_rate and not 0.01 <= self.per_host_rate <= 10_000:
            raise ValueError("per_host_rate is 0.01 to 10000, or 0 for no limit")
        # Visible ASCII without brackets: what a header's comment can hold.
        if self.contact and not re.fullmatch(r"[!-'*-~]+(@|://)[!-'*-~]+", self.contact):
            raise ValueError("contact: a mail or web address is wanted, in ASCII")
        if len(self.contact) > MOST_OF_CONTACT:
            raise ValueError(f"contact: at most {MOST_OF_CONTACT} characters are sent along")

    def check(self) -> None:
        """Raise a `UsageError` for a list that cannot be read, or a host that is none."""
        Blocklist(self.blocklists)
        Guard(self.allow_hosts)

    def check_online(self) -> None:
        """Raise a `UsageError` if the open web must not be asked like this."""
        if not self.contact:
            raise UsageError(
                "who fetches from the web says who asks: --set collect.contact=you@example.org, "
                "a mail or web address where a site's owner reaches you"
            )

    def bounds(self) -> Bounds:
        """What is taken, and what is stored of it."""
        return Bounds(self.max_side, self.min_side, self.max_pixels, self.quality)

    def open(self) -> None:
        """Start the loop and the session that all calls share."""
        _table([{}], self._answers())  # pyarrow imports pandas, if it is there, with its first rows
        self._lists = {
            "taken_down": Blocklist(entries=self.taken_down),
            "blocked": Blocklist(self.blocklists),
        }
        self._waiting = 0
        self._decoders = Decoders(self.bounds(), self.decoders, seconds=self.decode_seconds)
        self._decoders.start()
        self._threads = ThreadPoolExecutor(self.decoders, thread_name_prefix="decode")
        if self.backend == "native":
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="collect", daemon=True
            )
            self._thread.start()
            self._fetcher = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def close(self) -> None:
        """Close connections, end the loop and the decoders. Calls that still wait are cancelled."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None
        self._threads.shutdown(cancel_futures=True)
        self._decoders.close()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Bring every row's picture, or the reason why it cannot be had."""
        rows = batch.select(["key", *self.reads]).to_pylist()
        if self.backend == "img2dataset":
            answers = self._with_img2dataset(rows)
        else:
            answers = asyncio.run_coroutine_threadsafe(self._bring_all(rows), self._loop).result()
        return _table(answers, self._answers()).add_column(0, "key", batch["key"])

    def _answers(self) -> pa.Schema:
        return pa.schema([*self.writes, *self.telemetry, pa.field("reason", pa.string())])

    def _limits(self) -> Limits:
        return Limits(self.timeout, self.max_bytes, self.max_redirects, self.tries)

    async def _start(self) -> Fetcher:
        agent = f"{AGENT}/{__version__}" + (f" ({self.contact})" if self.contact else "")
        return Fetcher(
            Guard(self.allow_hosts),
            self._limits(),
            Manners(
                agent=agent,
                robots=self.robots,
                tdm_file=self.tdm_file,
                per_host=self.per_host,
                per_host_rate=self.per_host_rate,
            ),
            connections=self.connections,
            adaptive=self.adaptive,
            blocked=lambda url, host: bool(
                self._refusal(lambda names: names.has_host(host) or names.has_url(url))
            ),
        )

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._fetcher.close()

    def _refusal(self, names_it: Callable[[Blocklist], bool]) -> str | None:
        """The reason, if a list names it."""
        return next((reason for reason, names in self._lists.items() if names_it(names)), None)

    def _row_refusal(self, row: dict[str, Any]) -> str | None:
        return self._refusal(lambda names: names.has_row(row["key"], row["url"]))

    async def _bring_all(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        tasks: list[asyncio.Task[dict[str, Any]]] = []
        try:
            async with asyncio.timeout(self.unit_seconds), asyncio.TaskGroup() as group:
                tasks += [group.create_task(self._bring(row)) for row in rows]
        except TimeoutError:
            pass
        except ExceptionGroup as failed:  # such as a decoder that cannot start: one tells enough
            raise failed.exceptions[0] from None
        return [{"reason": "late"} if task.cancelled() else task.result() for task in tasks]

    async def _bring(self, row: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        if reason := self._row_refusal(row):
            return {"reason": reason}
        if row["location"] is not None:
            return await loop.run_in_executor(self._threads, self._at_hand, row)
        fetched = await self._fetcher.fetch(row["url"])
        if fetched.data is None:
            return _told(fetched)
        self._undecoded(len(fetched.data))
        try:
            return await loop.run_in_executor(self._threads, self._picture, row, fetched)
        finally:
            self._undecoded(-len(fetched.data))

    def _undecoded(self, size: int) -> None:
        """Keep account of what waits to be decoded, and fetch no more while that is much."""
        before, self._waiting = self._waiting, self._waiting + size
        if (before > BACKLOG) != (self._waiting > BACKLOG):
            self._fetcher.hold(self._waiting > BACKLOG)

    def _at_hand(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            data = images.read(row["location"])
        except (OSError, ValueError, LookupError):  # gone, or no longer what was planned
            return {"reason": "not_at_hand"}
        return self._picture(row, Fetched(data, None))

    def _picture(self, row: dict[str, Any], fetched: Fetched) -> dict[str, Any]:
        """The columns of a row whose bytes came."""
        answer, data = _told(fetched), fetched.data or b""
        sha256 = answer["sha256"] = hashlib.sha256(data).hexdigest()
        if reason := self._refusal(lambda names: names.has_bytes(data, sha256)):
            return _refused(answer, reason)
        try:
            picture = self._decoders.decode(data)
        except BadPicture as bad:
            return answer | {"reason": bad.reason}
        if reason := self._refusal(lambda names: names.has_picture(picture.phash)):
            return _refused(answer, reason)
        fields = {name: getattr(picture, name) for name in picture.__slots__}
        image = fields.pop("jpeg")
        if self.refuse_changed and changed(Seen(*(row[name] for name in HINTS)), data, picture):
            return answer | fields | {"reason": "changed"}  # what may be poisoned is not stored
        return answer | fields | {"image": image}

    def _with_img2dataset(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from humanverse.collect import by_img2dataset

        refused = [self._row_refusal(row) for row in rows]
        urls = {
            number: row["url"]
            for number, row in enumerate(rows)
            if row["location"] is None and refused[number] is None
        }
        limits, guard = self._limits(), Guard(self.allow_hosts)
        fetched = by_img2dataset.fetch_all(urls, guard, limits, min(self.connections, 64))
        return list(
            self._threads.map(self._finish, rows, refused, map(fetched.get, range(len(rows))))
        )

    def _finish(
        self, row: dict[str, Any], refused: str | None, fetched: Fetched | None
    ) -> dict[str, Any]:
        if refused is not None:
            return {"reason": refused}
        if fetched is None:
            return self._at_hand(row)
        return _told(fetched) if fetched.data is None else self._picture(row, fetched)


def _table(answers: list[dict[str, Any]], kind: pa.Schema) -> pa.Table:
    """The answers as a table. They are taken off the list, so that pictures lie there only once."""
    parts = [kind.empty_table()]
    answers.reverse()
    while answers:
        part = [answers.pop() for _ in range(min(len(answers), CHUNK))]
        parts.append(pa.Table.from_pylist(part, kind))
    return pa.concat_tables(parts)


def _refused(answer: dict[str, Any], reason: str) -> dict[str, Any]:
    """What is written of bytes that a list names. Of what was taken down it is the reason alone."""
    return {"reason": reason} if reason == "taken_down" else answer | {"reason": reason}


def _told(fetched: Fetched) -> dict[str, Any]:
    """A row's columns as far as its server told them."""
    return {
        "http_status": fetched.status,
        "final_host": fetched.host,
        "reason": fetched.reason,
        "attempts": fetched.attempts,
        "milliseconds": fetched.ms,
    }
