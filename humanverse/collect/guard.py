"""Which addresses may be asked: public ones, and those of hosts that the user named.

The resolver judges every answer and the socket is made only for a judged address, so what was
checked is what is connected to, at each redirect anew.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

PORTS = (80, 443)

# Forms of IPv6 that carry an IPv4 address, which some network on the way may unwrap, and blocks
# that `is_global` calls global although they lead to a provider's own services.
REFUSED_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "::/96",  # v4-compatible
        "::ffff:0:0/96",  # v4-mapped
        "::ffff:0:0:0/96",  # v4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local of old
        "5f00::/16",  # segment routing
    )
)
REFUSED_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments, among them a cloud's metadata
        "168.63.129.16/32",  # a cloud's host services
        "192.88.99.0/24",  # 6to4 relays
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.175.48.0/24",  # AS112
    )
)


class Refused(OSError):
    """An address that must not be asked."""


def is_public(address: str) -> bool:
    """Whether an address in canonical text is a public one, in no form that hides another."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or "%" in address:
        return False
    if isinstance(ip, IPv6Address):
        return not any(ip in block for block in REFUSED_V6)
    return isinstance(ip, IPv4Address) and not any(ip in block for block in REFUSED_V4)


class Guard:
    """Judges URLs and addresses. `allow_hosts` may be asked whatever their address and port."""

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        self.allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._granted: set[str] = set(self.allow_hosts)

    def check(self, url: URL) -> None:
        """Refuse a URL by its scheme, its port, or the address it names.

        Raises:
            Refused: it must not be asked.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise Refused(f"not an http(s) URL: {url.scheme}")
        if url.host.lower() in self.allow_hosts:
            return
        if url.port not in PORTS:
            raise Refused(f"port {url.port}")
        if _is_literal(url.host) and not is_public(url.host):
            raise Refused(f"address {url.host}")

    def check_answer(self, host: str, address: str) -> None:
        """Refuse one address that a host's name resolved to."""
        if host.lower() in self.allow_hosts:
            self._granted.add(address)
        elif not is_public(address):
            raise Refused(f"{host} resolves to {address}")

    def socket(self, info: Any) -> socket.socket:
        """A socket for an address about to be connected to: the last gate, for every connection."""
        family, kind, protocol, _, address = info
        if address[0] not in self._granted and not is_public(address[0]):
            raise Refused(f"address {address[0]}")
        return socket.socket(family, kind, protocol)


class GuardedResolver(AbstractResolver):
    """Resolves a name once and refuses it if any of its addresses is refused."""

    def __init__(self, guard: Guard, inner: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of a host, judged."""
        answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            self._guard.check_answer(host, answer["host"])
        return answers

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
