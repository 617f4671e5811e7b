"""How a host wants to be asked: our manners towards it, and what the headers of its answers say."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

AGENT = "humanverse"
"""The product token that robots.txt and `X-Robots-Tag` know us by."""
OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
LONGEST_WAIT = 86_400.0
"""Seconds: what a `Retry-After` beyond it is read as."""

_PLAIN = frozenset(
    {"all", "index", "follow", "nofollow", "noarchive", "nocache", "nosnippet", "notranslate"}
    | {"noodp", "noydir", "indexifembedded", "nopagereadaloud"}
)
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview"})
_EXPIRY = "unavailable_after"
_AGENT_NAME = re.compile(r"[a-z*][^\s:]*")


@dataclass(frozen=True, slots=True)
class Manners:
    """What each host is granted.

    All bounds hold for one worker. Units are ranges of a hash, so the URLs of one host are spread
    over all workers: a cluster of W asks a host up to W times as often. Divide by W what a host
    shall see of the whole cluster.
    """

    agent: str = AGENT
    """The whole `User-Agent`: the token, a version, and where its owner can be reached."""
    robots: bool = True
    tdm_file: bool = False
    """Whether `/.well-known/tdmrep.json` is asked for, once for each origin."""
    per_host: int = 8
    """Requests at a time to one host."""
    per_host_rate: float = 10.0
    """Requests a second to one host; 0 for no limit."""
    max_pause: float = 30.0
    """Seconds between requests that a host may ask for, by `Crawl-delay` or `Retry-After`. The
    rows of one that asks for more are left for another time."""
    patience: float = 300.0
    """Seconds that the rules of a host may hold its rows up altogether."""
    robots_deadline: float = 10.0
    """Seconds for robots.txt with its redirects and tries."""
    give_up_after: int = 8
    """Failures in a row with which a host counts as down; 0 for never."""
    give_up_for: float = 300.0
    """Seconds for which it is not asked then."""

    def __post_init__(self) -> None:
        positive = ("per_host", "max_pause", "patience", "robots_deadline", "give_up_for")
        if low := [name for name in positive if getattr(self, name) <= 0]:
            raise ValueError(f"{', '.join(low)}: more than 0 is wanted")
        if self.per_host_rate < 0 or self.give_up_after < 0:
            raise ValueError("per_host_rate, give_up_after: at least 0 is wanted")


def opted_out(
    robots_tags: Iterable[str], tdm_reservation: str | None = None, *, now: datetime | None = None
) -> bool:
    """Whether `X-Robots-Tag` headers or TDMRep's `tdm-reservation: 1` ask not to keep an image.

    A directive may be meant for one agent only (`agent: noai`), and so are those that follow it in
    its header. A date of `unavailable_after` that has passed counts as an opt-out.
    """
    if (tdm_reservation or "").partition(";")[0].strip() == "1":
        return True
    return any(_is_out(tag.lower(), now or datetime.now(UTC)) for tag in robots_tags)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds that a `Retry-After` asks to wait, 0 to `LONGEST_WAIT`; None where it says nothing.

    `now` is the time in seconds since the epoch.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text):
        seconds = float(text[:32])
    elif (date := _date(text)) is not None:
        seconds = date.timestamp() - (time.time() if now is None else now)
    else:
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _is_out(tag: str, now: datetime) -> bool:
    """Whether one header, in lower case, has a directive for us that counts."""
    for name, value in _for_us(tag):
        if name == _EXPIRY:
            date = _date(value)
            if date is not None and date <= now:
                return True
        elif not OPT_OUTS.isdisjoint(name.split()):
            return True
    return False


def _for_us(tag: str) -> Iterator[tuple[str, str]]:
    """Directives of a header that are meant for us, each with its value.

    Dates hold commas and colons, so what follows `unavailable_after` belongs to it until something
    comes that is a directive or an agent.
    """
    ours = True
    expiry: list[str] | None = None
    for part in re.split("[,;]", tag):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if expiry is not None and not _begins(name, colon):
            expiry.append(part)
            continue
        if expiry is not None:
            yield _EXPIRY, ",".join(expiry)
            expiry = None
        while colon and name != _EXPIRY and name not in _VALUED:  # an agent, who may have a value
            ours = name in ("", "*", AGENT)
            name, colon, value = (piece.strip() for piece in value.partition(":"))
        if ours and name == _EXPIRY:
            expiry = [value]
        elif ours and name not in _VALUED:
            yield name, value
    if expiry is not None:
        yield _EXPIRY, ",".join(expiry)


def _begins(name: str, colon: str) -> bool:
    """Whether a part after a date begins something new, rather than being more of the date."""
    if colon:
        return _AGENT_NAME.fullmatch(name) is not None
    return name in OPT_OUTS or name in _PLAIN


def _date(text: str) -> datetime | None:
    """A date as HTTP, mail or ISO 8601 write it; without a zone it is read as UTC."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = read(text.strip().upper() if read is datetime.fromisoformat else text)
            # Arithmetic on dates at either end of the calendar overflows in some zones.
            date.timestamp()
        except (ValueError, TypeError, LookupError, OverflowError):
            continue
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return None
