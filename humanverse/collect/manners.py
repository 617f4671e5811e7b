"""What a server says about the use of its images, in the headers of its answer."""

from __future__ import annotations

from collections.abc import Iterable

OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
AGENT = "humanverse"


def opted_out(robots_tags: Iterable[str], tdm_reservation: str | None = None) -> bool:
    """Whether `X-Robots-Tag` headers or TDMRep's `tdm-reservation: 1` ask not to keep an image.

    A directive may be meant for one agent only (`agent: noai`); those for others are passed over.
    """
    if (tdm_reservation or "").strip() == "1":
        return True
    return any(directive in OPT_OUTS for tag in robots_tags for directive in _for_us(tag))


def _for_us(tag: str) -> Iterable[str]:
    agent = ""
    for part in tag.lower().split(","):
        head, colon, rest = part.partition(":")
        if colon and head.strip() not in _VALUED:
            agent, part = head.strip(), rest  # noqa: PLW2901 - the agent scopes what follows it
        if agent in ("", "*", AGENT):
            yield part.strip()


_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
