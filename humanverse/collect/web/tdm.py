"""TDMRep's file of an origin's reservations, as rules in the form of robots.txt."""

from __future__ import annotations

import json

PATH = "/.well-known/tdmrep.json"


def as_robots(body: bytes) -> bytes:
    """What a file reserves, as `Disallow` lines; nothing for a file that is none.

    A path that one entry reserves stays reserved, whatever another one says of it.
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return b""
    lines = ["User-agent: *"]
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or str(entry.get("tdm-reservation")) != "1":
            continue
        location = entry.get("location")
        if isinstance(location, str):
            lines.append(f"Disallow: {_one_line(location)}")
    return "\n".join(lines).encode("utf-8", "replace")


def _one_line(location: str) -> str:
    """A location as the value of a line: what would end the value early is escaped."""
    for mark, escape in (("#", "%23"), ("\r", "%0D"), ("\n", "%0A")):
        location = location.replace(mark, escape)
    return location if location.startswith(("/", "*")) else f"/{location}"
