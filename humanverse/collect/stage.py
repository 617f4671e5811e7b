"""The stage that brings the pictures."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from humanverse import schema
from humanverse.collect.fetch import Fetched, Fetcher, Limits
from humanverse.collect.guard import Guard
from humanverse.collect.picture import BadPicture, normalise
from humanverse.sources import images
from humanverse.stage import BaseStage, Resources, operational

DECODERS = 2
"""Threads that decode while others wait for the network."""


@dataclass
class Collect(BaseStage):
    """Fetches, decodes and normalises. Calls from several threads share one loop and its limits."""

    name: ClassVar[str] = "collect"
    reads: ClassVar[tuple[str, ...]] = ("url", "location")
    writes: ClassVar[pa.Schema] = schema.writes(*schema.COLLECT)
    reasons: ClassVar[tuple[str, ...]] = (
        *("bad_address", "dns", "connection", "tls", "timeout", "redirects", "opted_out"),
        *("http_gone", "http_refused", "http_busy", "http_error", "http_server_error"),
        *("encoded", "too_many_bytes", "not_at_hand", "bytes_missing", "no_result"),
        *("not_image", "broken_image", "too_many_pixels", "too_small"),
    )
    resources: ClassVar[Resources] = Resources(cpus=1, network=True)
    batch_rows: ClassVar[int] = 100_000

    max_side: int = 1024
    """Longest side of a stored picture, pixels; larger ones are shrunk."""
    min_side: int = 200
    """Shortest side that is kept, pixels as served."""
    quality: int = 95
    """JPEG quality of the stored picture."""
    max_pixels: int = 64_000_000
    max_bytes: int = 20 << 20
    allow_hosts: tuple[str, ...] = operational(())
    """Hosts that may be asked although private, on any port."""
    contact: str = operational("")
    """Where a site's owner reaches you: an address that goes into the user agent."""
    timeout: float = operational(30.0)
    """Seconds for one URL with its redirects, tries and waits."""
    tries: int = operational(3)
    max_redirects: int = operational(5)
    connections: int = operational(64)
    per_host: int = operational(8)
    backend: Literal["native", "img2dataset"] = operational("native")

    def __post_init__(self) -> None:
        counts = ("max_side", "max_pixels", "max_bytes", "tries", "connections", "per_host")
        if low := [name for name in counts if getattr(self, name) < 1]:
            raise ValueError(f"{', '.join(low)}: at least 1 is wanted")
        if not 1 <= self.quality <= 100 or self.timeout <= 0:
            raise ValueError("a quality is 1 to 100, a timeout more than 0 seconds")

    _loop: Any = field(default=None, init=False, repr=False, compare=False)

    def open(self) -> None:
        """Start the loop and the session that all calls share."""
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        if self.backend == "native":
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="collect", daemon=True
            )
            self._thread.start()
            self._fetcher = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def close(self) -> None:
        """Close connections and end the loop."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._fetcher.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None
        self._decoders.shutdown()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Bring every row's picture, or the reason why it cannot be had."""
        rows = batch.select(["url", "location"]).to_pylist()
        if self.backend == "img2dataset":
            answers = self._with_img2dataset(rows)
        else:
            answers = asyncio.run_coroutine_threadsafe(self._bring_all(rows), self._loop).result()
        kind = pa.schema([*self.writes, pa.field("reason", pa.string())])
        return pa.Table.from_pylist(answers, kind).add_column(0, "key", batch["key"])

    def _limits(self) -> Limits:
        return Limits(self.timeout, self.max_bytes, self.max_redirects, self.tries)

    async def _start(self) -> Fetcher:
        return Fetcher(
            Guard(self.allow_hosts),
            self._limits(),
            connections=self.connections,
            per_host=self.per_host,
            agent=f"humanverse/0.1 ({self.contact})" if self.contact else "humanverse/0.1",
        )

    async def _bring_all(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._bring(row)) for row in rows]
        return [task.result() for task in tasks]

    async def _bring(self, row: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        if row["location"] is not None:
            return await loop.run_in_executor(self._decoders, self._at_hand, row["location"])
        fetched = await self._fetcher.fetch(row["url"])
        return await loop.run_in_executor(self._decoders, self._picture, fetched)

    def _at_hand(self, location: str) -> dict[str, Any]:
        try:
            data = images.read(location)
        except (OSError, ValueError, LookupError):  # gone, or no longer what was planned
            return {"reason": "not_at_hand"}
        return self._picture(Fetched(data, None))

    def _picture(self, fetched: Fetched) -> dict[str, Any]:
        """A row's columns from what was fetched."""
        row: dict[str, Any] = {
            "http_status": fetched.status,
            "final_host": fetched.host,
            "reason": fetched.reason,
        }
        if fetched.data is None:
            return row
        row["sha256"] = hashlib.sha256(fetched.data).hexdigest()
        try:
            picture = normalise(
                fetched.data,
                max_side=self.max_side,
                min_side=self.min_side,
                max_pixels=self.max_pixels,
                quality=self.quality,
            )
        except BadPicture as bad:
            return row | {"reason": bad.reason}
        fields = {name: getattr(picture, name) for name in picture.__slots__}
        return row | {"image": fields.pop("jpeg")} | fields

    def _with_img2dataset(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from humanverse.collect import by_img2dataset

        urls = {number: row["url"] for number, row in enumerate(rows) if row["location"] is None}
        guard = Guard(self.allow_hosts)
        fetched = by_img2dataset.fetch_all(urls, guard, self._limits(), self.connections)
        brought = {number: self._picture(answer) for number, answer in fetched.items()}
        return [
            brought[number] if number in brought else self._at_hand(row["location"])
            for number, row in enumerate(rows)
        ]
