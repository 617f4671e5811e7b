"""img2dataset's downloader as another way to fetch a unit.

The guard judges each URL and what its host resolves to before it is handed over; what urllib then
does with redirects is outside the guard, so this way is for sources one trusts.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from yarl import URL

from humanverse.collect.web.client import status_reason
from humanverse.collect.web.fetch import Fetched, Limits
from humanverse.collect.web.guard import Guard, Refused
from humanverse.collect.web.manners import AGENT, OPT_OUTS
from humanverse.errors import UsageError

MESSAGES = (
    ("X-Robots-Tag", "opted_out"),
    ("timed out", "timeout"),
    ("CERTIFICATE", "tls"),
    ("SSL", "tls"),
    ("Name or service not known", "dns"),
    ("nodename nor servname", "dns"),
    ("unknown url type", "bad_address"),
)
"""Parts of img2dataset's error messages, and our reason for each; first match counts."""


def fetch_all(
    urls: dict[int, str], guard: Guard, limits: Limits, threads: int
) -> dict[int, Fetched]:
    """Fetch URLs by number with img2dataset's downloader, after the guard's verdict on each.

    Of the limits it knows the tries, and the deadline as one of each read.
    """
    answers = {n: verdict for n, url in urls.items() if (verdict := _judge(guard, url))}
    left = {n: url for n, url in urls.items() if n not in answers}
    if left:
        answers |= _download(left, limits, threads)
    return answers


def reason_of(message: str) -> tuple[str, int | None]:
    """Our reason, and the HTTP status if it tells one, for one of its error messages."""
    if match := re.match(r"HTTP Error (\d{3})", message):
        status = int(match[1])
        return status_reason(status) or "http_error", status
    for part, reason in MESSAGES:
        if part in message:
            return reason, None
    return "connection", None


def _judge(guard: Guard, url: str) -> Fetched | None:
    try:
        parsed = URL(url)
        guard.check(parsed)
        for answer in socket.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM):
            guard.check_answer(parsed.raw_host or "", str(answer[4][0]))
    except (Refused, ValueError):
        return Fetched(None, "bad_address")
    except socket.gaierror:
        return Fetched(None, "dns")
    return None


class _Keeper:
    """A sample writer of img2dataset's that keeps samples in memory."""

    found: ClassVar[dict[int, Fetched]]

    def __init__(self, *_: Any) -> None:
        pass

    def write(
        self, data: bytes | None, _key: str, _caption: str | None, meta: dict[str, Any]
    ) -> None:
        reason, status = reason_of(meta["error_message"]) if data is None else (None, 200)
        self.found[meta["number"]] = Fetched(data, reason, status, URL(meta["url"]).host)

    def close(self) -> None:
        pass


def _download(urls: dict[int, str], limits: Limits, threads: int) -> dict[int, Fetched]:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        from img2dataset.downloader import Downloader
        from img2dataset.resizer import Resizer
    except ImportError as error:
        raise UsageError(
            "collect.backend=img2dataset: pip install 'humanverse[img2dataset]'"
        ) from error

    class Keeper(_Keeper):
        """One class a call: img2dataset makes the writer itself and gives it back to nobody."""

        found: ClassVar[dict[int, Fetched]] = {}

    with tempfile.TemporaryDirectory(prefix="humanverse-img2dataset-") as folder:
        table = pa.table({"number": list(urls), "url": list(urls.values())})
        shard = Path(folder) / "unit.feather"
        with pa.ipc.new_file(str(shard), table.schema) as writer:
            writer.write_table(table)
        downloader = Downloader(
            sample_writer_class=Keeper,
            resizer=Resizer(0, "no", False, disable_all_reencoding=True),
            thread_count=threads,
            save_caption=False,
            extract_exif=False,
            output_folder=folder,
            column_list=["number", "url"],
            timeout=limits.deadline,
            number_sample_per_shard=max(10, len(urls)),
            oom_shard_count=5,
            compute_hash=None,
            verify_hash_type=None,
            encode_format="jpg",
            retries=limits.tries - 1,
            user_agent_token=AGENT,
            disallowed_header_directives=sorted(OPT_OUTS),
        )
        downloader.download_shard((0, str(shard)))
    return dict(Keeper.found)
