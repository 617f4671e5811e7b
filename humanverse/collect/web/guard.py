"""Which addresses may be asked: public ones, and those of hosts that the user named.

A URL is judged before it is asked, each answer to its name when it is resolved, and the address
itself when a socket is made for it: what was checked is what is connected to.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from yarl import URL

from humanverse.errors import UsageError

PORTS = (80, 443)
KEPT_ANSWERS = 256
"""Addresses remembered for each allowed host."""

# IANA's special-purpose registries, whole, and what clouds use beside them. They stand here and
# not in `is_global`, which differs between releases of Python and passes several of these.
REFUSED_V4 = {
    IPv4Network(block): why
    for block, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's host services"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "multicast tunnels"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
}
# Only this block is given out to hosts. All forms that wrap an IPv4 address but two lie outside.
UNICAST_V6 = IPv6Network("2000::/3")
REFUSED_V6 = {
    IPv6Network(block): why
    for block, why in (
        ("2001::/23", "protocol assignments, Teredo, ORCHID or benchmarking"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
    )
}

# The last label of a name is never a number (WHATWG URL, "ends in a number"): whatever has one is
# an address to some parser down the road, in octal, in hexadecimal, or with parts left out.
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+")
LOCAL = frozenset({"localhost", "local", "internal"})

# The allowed host that the running task is about to connect to.
_asking: ContextVar[str | None] = ContextVar("_asking", default=None)


class Refused(OSError):
    """An address that must not be asked."""


class Guard:
    """Judges URLs and addresses. `allow_hosts` may be asked whatever their address and port.

    An allowed host is exempt in the task that checked a URL of it, until the next check there:
    its private address opens no way for anybody else.

    Raises:
        UsageError: an allowed host is no name or address.
    """

    def __init__(self, allow_hosts: Sequence[str] = (), ports: Sequence[int] = PORTS) -> None:
        self.allow_hosts = frozenset(_canonical(host) for host in allow_hosts)
        self._ports = frozenset(ports)
        self._answers = {host: deque([host], KEPT_ANSWERS) for host in self.allow_hosts}

    def check(self, url: URL) -> None:
        """Refuse a URL by its scheme, its credentials, its port, or the host it names.

        Raises:
            Refused: it must not be asked.
        """
        _asking.set(None)
        host = (url.raw_host or "").lower()  # yarl leaves capitals in some names that are not ASCII
        if url.scheme not in ("http", "https") or not host:
            raise Refused(f"no http(s) URL with a host: {url.scheme or 'no scheme'}")
        if "@" in url.raw_authority:  # would be sent as a login that is not ours
            raise Refused(f"{host}: a name or password before it")
        if host in self.allow_hosts:
            _asking.set(host)
            return
        if url.port not in self._ports:
            raise Refused(f"{host}: port {url.port}")
        if why := _host_refused(host):
            raise Refused(f"{host}: {why}")

    def check_answer(self, host: str, address: str) -> None:
        """Refuse one address that a host's name resolved to.

        Raises:
            Refused: it must not be asked.
        """
        answers = self._answers.get(host.lower())
        if answers is None:
            if why := refused(address):
                raise Refused(f"{host} resolves to {address}: {why}")
        elif address not in answers:
            answers.append(address)

    def socket(self, info: Any) -> socket.socket:
        """A socket for an address about to be connected to: the last gate, for every connection.

        Raises:
            Refused: it must not be asked.
        """
        family, kind, protocol, _, address = info
        exempt = self._answers.get(_asking.get() or "", ())
        if address[0] not in exempt and (why := refused(address[0])):
            raise Refused(f"address {address[0]}: {why}")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether an address in canonical text is a public one, in no form that hides another."""
    return refused(address) is None


def refused(address: str) -> str | None:
    """Why an address must not be asked; None for a public one in canonical text."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "not an address in its usual form"
    if isinstance(ip, IPv4Address):
        return next((why for block, why in REFUSED_V4.items() if ip in block), None)
    if ip.scope_id is not None:
        return "an address with a zone"
    if ip not in UNICAST_V6:
        return "outside of global unicast"
    if _is_isatap(ip):
        return "ISATAP"
    return next((why for block, why in REFUSED_V6.items() if ip in block), None)


def _is_isatap(ip: IPv6Address) -> bool:
    """Whether the interface part is [02]00:5efe and an IPv4 address (RFC 5214, section 6.1)."""
    return (int(ip) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE


def _host_refused(host: str) -> str | None:
    """Why the host of a URL, as it will be connected to, must not be asked."""
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or NUMBER.fullmatch(last):
        return refused(host)
    if last in LOCAL:
        return "a local name"
    if len(host) > 254 or not NAME.fullmatch(host.removesuffix(".")):
        return "no full domain name"
    return None


def _canonical(host: str) -> str:
    """A host as a URL would have it."""
    try:
        found = URL.build(scheme="http", host=host.removeprefix("[").removesuffix("]")).raw_host
    except ValueError:
        found = None
    if not found:
        raise UsageError(
            f"allow_hosts: {host!r} is no host: give a name or an address, without scheme and port"
        )
    return found
