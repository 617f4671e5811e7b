"""No address but a public one, or a host the user named, is ever connected to.

Each hostile form takes four routes: as the URL, as the target of a redirect, as the answer to a
name, and as an answer that changes after it was judged. Canaries listen on loopback, where many of
the forms lead, on a port that the guard lets pass; no other address can be reached from here.
"""

import asyncio
import contextlib
import ipaddress
import random
import socket
from urllib.parse import unquote

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from humanverse.collect.web.fetch import Fetcher, Limits
from humanverse.collect.web.guard import KEPT_ANSWERS, Guard, Refused, is_public
from humanverse.collect.web.manners import Manners
from humanverse.collect.web.names import GuardedResolver
from humanverse.errors import UsageError

PUBLIC = "93.184.216.34"
CANARIES = ("127.0.0.1", "127.0.0.2", "::1")
REDIRECTOR = "127.0.0.3"


def words(text):
    return text.split()


V4 = words("""
0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200
100.127.255.255 127.0.0.0 127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.1
169.254.169.254 169.254.170.2 169.254.170.23 169.254.255.255 172.16.0.0 172.17.0.1 172.31.255.255
192.0.0.0 192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1
192.88.99.255 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 203.0.113.255 224.0.0.1 233.252.0.1 239.255.255.255 240.0.0.1 255.255.255.254
255.255.255.255
""")
V6 = words("""
:: ::1 ::2 100::1 100:0:0:1::1 2001::1 2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1
2001:1f:ffff::1 2001:20::1 2001:2f:ffff::1 2001:30::1 2001:db8::1 2001:db8:ffff::1 2620:4f:8000::1
3fff::1 3fff:fff::1 4000::1 5f00::1 8000::1 fc00::1 fd00:ec2::254 fd20:ce::254 fdff::1 fe00::1
fe80::1 febf::1 fec0::1 feff::1 ff01::1 ff02::1 ff05::1:3 ff0e::1 ffff::1
""")
WRAPPED = ("127.0.0.1", "127.0.0.2", "10.0.0.1", "169.254.169.254", "168.63.129.16", "8.8.8.8")


def wrappings(v4):
    """The forms of IPv6 that carry an IPv4 address."""
    bits = int(ipaddress.IPv4Address(v4))
    for prefix in (
        0,  # v4-compatible
        0xFFFF << 32,  # v4-mapped
        0xFFFF << 48,  # v4-translated
        0x0064_FF9B << 96,  # NAT64
        0x0064_FF9B_0001 << 80,  # NAT64, local use
        0x2606_4700 << 96 | 0x0000_5EFE << 32,  # ISATAP
        0x2606_4700 << 96 | 0x0200_5EFE << 32,  # ISATAP, said to be unique
    ):
        yield str(ipaddress.IPv6Address(prefix | bits))
    yield str(ipaddress.IPv6Address(0x2002 << 112 | bits << 80 | 1))  # 6to4
    yield str(ipaddress.IPv6Address(0x2001_0000 << 96 | bits << 64))  # Teredo server
    yield str(ipaddress.IPv6Address(0x2001_0000 << 96 | bits ^ 0xFFFF_FFFF))  # Teredo client


ADDRESSES = list(dict.fromkeys([*V4, *V6, *(w for v4 in WRAPPED for w in wrappings(v4))]))

# Hosts as they may be spelled in a URL; a lenient parser takes most of them to a canary.
HOSTS = words("""
127.1 127.0.1 127.0.2 0 0.0 0.0.0 00000000 0x0 0x 2130706433 2130706434 4294967297 017700000001
0x7f000001 0X7F000001 0x7f000002 0x7F.1 0x7f.0.0.1 0x7f.0x0.0x0.0x1 0x7f.0.0x1 0177.1 0177.0.0.1
0177.0.0.0x1 0177.0x0.0.1 00177.00.00.01 127.000.000.001 127.0.0.01 127.0.0.0x1 0x000000007f.1
1.1.1 1.1.257 256.1.1.1 1.1.1.1.1 127.0.0.1.1 1.1.1.1. 127.0.0.1. 127.0.0.1.. 127.1. 0x7f.1.
2130706433. 127..1 .127.0.0.1 example.0x7f example.com.1 example.com.0x 2852039166 0xa9fea9fe
0xA9.0xFE.0xA9.0xFE 0251.0376.0251.0376 169.254.43518 169.16689662 0xa9fea9fe. 012.1 10.1 192.168.1
１２７.0.0.1 １２７．０．０．１ 127。0。0。1 127｡0｡0｡1 127。1
①②⑦.⓪.⓪.① 𝟭𝟮𝟳.𝟬.𝟬.𝟭 ２１３０７０６４３３ ０ｘ７ｆ.1
127.0.0.1%00.example.com 127.0.0.1%20 127.0.0.1%2f %31%32%37.0.0.1 127%2e0%2e0%2e1
127.0.0.1%2e %6c%6f%63%61%6c%68%6f%73%74 localhost%2e localhost LOCALHOST LocalHost localhost.
localhost.. ｌｏｃａｌｈｏｓｔ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ foo.localhost foo.bar.localhost. FOO.LOCALHOST metadata
metadata.google.internal metadata.google.internal. printer.local intranet
[::1] [::1%25lo] [::1%lo] [0:0:0:0:0:0:0:1] [0000::0001] [::0001] [::] [0::0] [::ffff:127.0.0.1]
[::FFFF:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::ffff:0:127.0.0.1] [::127.0.0.1]
[::7f00:1] [64:ff9b::127.0.0.1] [64:FF9B::7F00:1] [2002:7f00:1::] [fe80::1%25eth0] [fe80::1%eth0]
[FE80::1%251] [fe80::1%25] [2606:4700::1111%25eth0] [v1.127.0.0.1] [127.0.0.1] [::1]. [::1 ::1]
[::ffff:0x7f.1] [1:::1] [::1]]
""")

# Whole URLs: `{}` is the canary's port.
URLS = [
    *("http://public@127.0.0.1:{}/", "http://public:secret@127.0.0.1:{}/", "http://@127.0.0.1:{}/"),
    *("http://1.1.1.1@127.0.0.1:{}/", "http://1.1.1.1:80@127.0.0.1:{}/", "http://:@127.0.0.1:{}/"),
    *("http://a@b@127.0.0.1:{}/", "http://1.1.1.1%2f@127.0.0.1:{}/", "http://1.1.1.1@[::1]:{}/"),
    *("http://1.1.1.1&@127.0.0.1:{}#@1.1.1.1/", "http://127.0.0.1:{}#@1.1.1.1/"),
    *("http://127.0.0.1:{}?@1.1.1.1/", "http://127.0.0.1:{}/@1.1.1.1/", "http://[::1]:{}\t/"),
    *("http://1.1.1.1\\@127.0.0.1:{}/", "http://127.0.0.1:{}\\@1.1.1.1/", "http://1.1.1.1\\:{}/"),
    *("http://127.0.\t0.1:{}/", "ht\ttp://127.0.0.1:{}/", "http://local\thost:{}/"),
    *("http://127.0.0.1\t:{}/", "http:/\t/127.0.0.1:{}/", "http://127.0.0.1:{}"),
    *("HTTP://127.0.0.1:{}/", "HtTp://127.0.0.1:{}/", "http://127.0.0.1:0{}/", "https://[::1]:{}/"),
    *("https://127.0.0.1:{}/", "https://localhost:{}/", "https://2130706433:{}/"),
    *("http://127.0.0.1:22/", "http://127.0.0.1/", "http://1.1.1.1:6379/", "http://1.1.1.1:0/"),
    *("http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://example.com:{}0/"),
    *(
        "ftp://127.0.0.1:{}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{}/_x",
        "ws://127.0.0.1:{}/",
    ),
    *("data:image/png;base64,AA==", "unix://127.0.0.1:{}/", "javascript:1", "file://127.0.0.1:{}/"),
    *("http+unix://127.0.0.1:{}/", "jar:http://127.0.0.1:{}/!/", "dict://127.0.0.1:{}/x"),
    *("http://exa mple.com:{}/", "http://.example.com:{}/", "http://a..example.com:{}/"),
    *(f"http://{'a' * 64}.example.com:{{}}/", f"http://{'a.' * 127}com:{{}}/", "http://*.com:{}/"),
    *("http://loc\u00adalhost:{}/", "http://127.0.0\u200b.1:{}/", "http://127.0.0.1\u2100:{}/"),
]
# In a redirect these have a meaning of their own: a path at the server that redirects.
DIRECTLY = [
    *("", "http://", "http:", "http:///127.0.0.1:{}/", "http:127.0.0.1:{}/", "http:/127.0.0.1:{}/"),
    *(
        "//127.0.0.1:{}/",
        "127.0.0.1:{}/",
        "\\\\127.0.0.1:{}\\",
        "http:\\\\127.0.0.1:{}\\",
        "?x",
        "#",
    ),
    *("/etc/passwd", "localhost", "http://127.0.\n0.1:{}/", "\r\nhttp://[::1]:{}/"),
    *(" http://127.0.0.1:{}/", "\x00http://127.0.0.1:{}/"),
]
IN_REDIRECTS = [
    "//127.0.0.1:{}/",
    "//[::1]:{}/",
    "//localhost:{}/",
    "//2130706433:{}/",
    "//a@[::]:{}",
]


def literal(address):
    host = address if ":" not in address else f"[{address}]"
    return f"http://{host}:{{}}/"


SPELT = [*(f"http://{host}:{{}}/" for host in HOSTS), *URLS]
FORMS = list(dict.fromkeys([*map(literal, ADDRESSES), *SPELT]))


class Canary:
    """Listens on several addresses of loopback, on one port, answers whoever comes and counts."""

    async def __aenter__(self):
        self.contacts = 0
        self.heads = []
        self._servers = []
        for listener in self._listeners():
            self._servers.append(await asyncio.start_server(self._answer, sock=listener))
        return self

    async def __aexit__(self, *_):
        await asyncio.sleep(0.02)  # a contact that is under way arrives
        for server in self._servers:
            server.close()

    def _listeners(self):
        while True:
            first = socket.create_server(("127.0.0.1", 0))
            self.port = first.getsockname()[1]
            try:
                others = [
                    socket.create_server((a, self.port), family=family(a)) for a in CANARIES[1:]
                ]
            except OSError:  # somebody has the port on one of the others
                first.close()
                continue
            return [first, *others]

    async def _answer(self, reader, writer):
        self.contacts += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ncanary")
            await writer.drain()
        writer.close()


class Redirector:
    """A server whose page `/N` redirects to the N-th target, written as it is."""

    def __init__(self, targets):
        self.targets = targets

    async def __aenter__(self):
        listener = socket.create_server((REDIRECTOR, 0))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._answer, sock=listener)
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _answer(self, reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        page = request.split(b" ", 2)[1].lstrip(b"/")
        head = b"HTTP/1.1 404 Not Found\r\n"
        if page.isdigit():
            head = f"HTTP/1.1 302 Found\r\nLocation: {self.targets[int(page)]}\r\n".encode()
        writer.write(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


class Fenced(Guard):
    """A guard that tells which addresses got past it; only loopback is really connected to."""

    def __init__(self, allow=(), ports=(80, 443)):
        super().__init__(allow, ports)
        self.passed = []

    def socket(self, info):
        made = super().socket(info)
        address = info[4][0]
        self.passed.append(address)
        ip = ipaddress.ip_address(address)
        if not (getattr(ip, "ipv4_mapped", None) or ip).is_loopback:
            made.close()
            raise OSError("fenced")
        return made


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Dns:
    """Stands for the system's resolver, with its leniency, and asks nobody."""

    def __init__(self, table):
        self.table = table
        self.asked = []

    def __call__(self, name, port, *_, **__):
        self.asked.append(name)
        known = name.rstrip(".").lower()
        if known in self.table:
            answers = self.table[known]
        elif known == "localhost" or known.endswith(".localhost"):
            answers = ["127.0.0.1"]
        else:
            try:
                answers = [socket.inet_ntoa(socket.inet_aton(unquote(known)))]
            except OSError:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        return [(family(a), socket.SOCK_STREAM, 6, "", (a, port or 0)) for a in answers]


@pytest.fixture
def dns(monkeypatch):
    double = Dns({})
    monkeypatch.setattr(socket, "getaddrinfo", double)
    return double


async def fetched(urls, guard):
    """What becomes of URLs; the one place that knows how a fetcher is made."""
    limits = Limits(deadline=10, max_bytes=1000, max_redirects=2, tries=1)
    manners = Manners(robots=False, per_host=16, per_host_rate=0, give_up_after=0)
    fetcher = Fetcher(guard, limits, manners, connections=16)
    try:
        return await asyncio.gather(*(fetcher.fetch(url) for url in urls))
    finally:
        await fetcher.close()


async def redirected(targets, dns, ports=(), allow=()):
    """What becomes of redirects to targets, each from a host of its own, and the guard."""
    hosts = [f"to-{n}.example" for n in range(len(targets))]
    dns.table |= {host: [REDIRECTOR] for host in hosts}
    guard = Fenced([*hosts, *allow], ports)
    async with Redirector(targets) as server:
        urls = [f"http://{host}:{server.port}/{n}" for n, host in enumerate(hosts)]
        return await fetched(urls, guard), guard


def reasons_but(expected, forms, answers):
    return {f: a.reason for f, a in zip(forms, answers, strict=True) if a.reason != expected}


def test_there_are_enough_forms():
    assert len(ADDRESSES) >= 120
    assert len(FORMS) >= 300
    assert len(set(FORMS) - set(map(literal, ADDRESSES))) >= 150


def test_no_url_reaches_a_canary_or_the_resolver(dns):
    forms = [*FORMS, *DIRECTLY]

    async def run():
        async with Canary() as canary:
            guard = Fenced(ports=(canary.port,))
            answers = await fetched([form.replace("{}", str(canary.port)) for form in forms], guard)
        assert reasons_but("bad_address", forms, answers) == {}
        assert guard.passed == []
        assert dns.asked == []
        assert canary.contacts == 0

    asyncio.run(run())


def test_no_redirect_reaches_a_canary(dns):
    forms = [*FORMS, *IN_REDIRECTS]

    async def run():
        async with Canary() as canary:
            targets = [form.replace("{}", str(canary.port)) for form in forms]
            answers, guard = await redirected(targets, dns, ports=(canary.port,))
        assert reasons_but("bad_address", forms, answers) == {}
        assert set(guard.passed) == {REDIRECTOR}
        assert canary.contacts == 0

    asyncio.run(run())


def test_no_name_that_leads_to_a_hostile_address_reaches_a_canary(dns):
    for n, address in enumerate(ADDRESSES):
        dns.table[f"alone-{n}.example"] = [address]
        dns.table[f"hidden-{n}.example"] = [PUBLIC, address, "1.1.1.1"]

    async def run():
        async with Canary() as canary:
            guard = Fenced(ports=(canary.port,))
            answers = await fetched([f"http://{n}:{canary.port}/" for n in dns.table], guard)
        assert reasons_but("bad_address", dns.table, answers) == {}
        assert guard.passed == []
        assert canary.contacts == 0

    asyncio.run(run())


class Rebinding(AbstractResolver):
    """Answers a public address the first time it is asked for a name, and then another."""

    def __init__(self, table):
        self.table = table
        self.met = set()

    async def resolve(self, host, port=0, _family=socket.AF_UNSPEC, **__):
        address = self.table[host] if host in self.met else PUBLIC
        self.met.add(host)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": kind,
                "proto": 6,
                "flags": 0,
            }
        ]

    async def close(self):
        pass


async def rebound(guard, port, table):
    """Judge each name by a first answer and connect by a second; what became of each."""
    found = {}
    resolver = Rebinding(table)
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, socket_factory=guard.socket
    )
    async with aiohttp.ClientSession(connector=connector) as session:
        for name, address in table.items():
            url = URL(f"http://{name}:{port}/")
            guard.check(url)
            guard.check_answer(name, (await resolver.resolve(name))[0]["host"])
            try:
                async with session.get(url) as response:
                    found[address] = await response.text()
            except aiohttp.ClientConnectorError as error:
                found[address] = type(error.os_error)
    return found


def test_an_answer_that_changes_after_it_was_judged_is_caught_at_the_socket():
    async def run():
        async with Canary() as canary:
            guard = Fenced(ports=(canary.port,))
            table = {f"{n}.example": address for n, address in enumerate(ADDRESSES)}
            found = await rebound(guard, canary.port, table)
        assert found == dict.fromkeys(ADDRESSES, Refused)
        assert guard.passed == []
        assert canary.contacts == 0

    asyncio.run(run())


def test_an_answer_that_changes_at_the_next_question_is_judged_anew():
    async def run():
        for n, address in enumerate(ADDRESSES):
            answers = iter([[PUBLIC], [address]])
            resolver = GuardedResolver(Guard(), lambda _, answers=answers: next(answers), ttl=0)
            assert (await resolver.resolve(f"{n}.example"))[0]["host"] == PUBLIC
            with pytest.raises(Refused):
                await resolver.resolve(f"{n}.example")

    asyncio.run(run())


def test_a_fetcher_stays_with_the_answer_that_was_judged(dns):
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    dns.table = {"rebinding.example": None}
    dns.table = type("Changing", (dict,), {"__getitem__": lambda *_: next(answers)})(dns.table)

    async def run():
        async with Canary() as canary:
            guard = Fenced(ports=(canary.port,))
            url = f"http://rebinding.example:{canary.port}/"
            assert (await fetched([url, url], guard))[0].reason == "connection"  # the fence
        assert set(guard.passed) == {PUBLIC}
        assert canary.contacts == 0

    asyncio.run(run())


def test_without_judgement_the_canaries_are_reached_by_each_route(dns):
    """So they would be if the guard failed: the tests above can fail."""
    near = [a for a in ADDRESSES if a in CANARIES or a == "::ffff:7f00:1"]
    names = {f"{n}.example": address for n, address in enumerate(near)}
    dns.table |= {name: [address] for name, address in names.items()}

    async def run():
        async with Canary() as canary:
            port, seen = canary.port, 0
            urls = [literal(a).format(port) for a in near]
            urls += [f"http://{host}:{port}/" for host in ("localhost", "0x7f.1", "①②⑦.⓪.⓪.①")]
            everyone = {str(URL(url).raw_host) for url in urls} | set(names)
            direct = await fetched(urls, Fenced(everyone))
            seen += len(urls)
            assert [a.data for a in direct] == [b"canary"] * len(urls)
            answers, _ = await redirected(urls, dns, allow=everyone)
            seen += len(urls)
            assert [a.data for a in answers] == [b"canary"] * len(urls)
            by_name = await fetched([f"http://{name}:{port}/" for name in names], Fenced(everyone))
            seen += len(names)
            assert [a.data for a in by_name] == [b"canary"] * len(names)
            # `near` is now what the second answer gives; the first is granted as it is.
            guard = Fenced(everyone)
            for name, address in names.items():
                guard.check_answer(name, address)
            assert set((await rebound(guard, port, names)).values()) == {"canary"}
            seen += len(names)
        assert canary.contacts == seen

    asyncio.run(run())


def test_many_spellings_are_the_canarys_address_to_the_system():
    """They are hostile in earnest: what reads them leniently connects to loopback."""
    lenient = []
    for host in HOSTS:
        with contextlib.suppress(OSError, UnicodeError):
            address = socket.inet_ntoa(socket.inet_aton(host))
            lenient += [host] if address in ("127.0.0.1", "0.0.0.0") else []
    assert len(lenient) >= 20

    async def run():
        async with Canary() as canary:
            for host in lenient:
                _, writer = await asyncio.open_connection(
                    socket.inet_ntoa(socket.inet_aton(host)), canary.port
                )
                writer.close()
        assert canary.contacts == len(lenient)

    asyncio.run(run())


def test_an_allowed_hosts_address_opens_no_way_for_others(dns):
    dns.table = {"intranet": ["127.0.0.1"], "other.example": ["127.0.0.1"]}

    async def run():
        async with Canary() as canary:
            port = canary.port
            guard = Fenced(["intranet"], (port,))
            own = f"http://intranet:{port}/"
            others = [f"http://{h}:{port}/" for h in ("127.0.0.1", "other.example", "127.0.0.2")]
            answers = await fetched([own, *others, own, *others], guard)
            wanted = [None, *["bad_address"] * len(others)] * 2
            assert [a.reason for a in answers] == wanted
            answers, _ = await redirected([own, *others], dns, (port,), ["intranet"])
            assert [a.reason for a in answers] == wanted[:4]
        assert canary.contacts == 3

    asyncio.run(run())


def test_a_client_that_follows_redirects_unjudged_is_stopped_at_the_socket(dns):
    async def run():
        async with Canary() as canary, Redirector([]) as server:
            server.targets = [literal(a).format(canary.port) for a in CANARIES]
            dns.table = {"intranet": [REDIRECTOR]}
            guard = Fenced(["intranet"], (canary.port,))
            connector = aiohttp.TCPConnector(
                resolver=GuardedResolver(guard), use_dns_cache=False, socket_factory=guard.socket
            )
            async with aiohttp.ClientSession(connector=connector) as session:
                for n in range(len(CANARIES)):
                    url = URL(f"http://intranet:{server.port}/{n}")
                    guard.check(url)
                    with pytest.raises(aiohttp.ClientConnectorError):
                        await session.get(url)
        assert canary.contacts == 0
        assert guard.passed == [REDIRECTOR] * len(CANARIES)

    asyncio.run(run())


def test_a_task_that_asks_an_allowed_host_exempts_no_other_task(dns):
    dns.table = {"intranet": ["127.0.0.1"]}
    guard = Guard(["intranet"])
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))

    async def asks(url, allowed):
        guard.check(URL(url))
        await asyncio.sleep(0.01)  # both have checked before either connects
        if allowed:
            guard.socket(info).close()
        else:
            with pytest.raises(Refused, match="loopback"):
                guard.socket(info)

    async def run():
        await GuardedResolver(guard).resolve("intranet")
        await asyncio.gather(asks("http://intranet/", True), asks("http://a.example/", False))

    asyncio.run(run())


def test_an_exemption_ends_with_the_next_check_even_a_refused_one():
    guard = Guard(["127.0.0.1"])
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    guard.check(URL("http://127.0.0.1:8123/"))
    guard.socket(info).close()
    with pytest.raises(Refused):
        guard.check(URL("http://10.0.0.1/"))
    with pytest.raises(Refused):
        guard.socket(info)


def test_what_is_remembered_of_an_allowed_host_is_bounded():
    guard = Guard(["intranet"])
    for n in range(10_000):
        guard.check_answer("intranet", f"10.0.{n // 256}.{n % 256}")
        with pytest.raises(Refused):
            guard.check_answer(f"{n}.example", "10.0.0.1")
    assert [len(answers) for answers in guard._answers.values()] == [KEPT_ANSWERS]


def test_a_named_host_may_be_asked_on_any_port_and_nobody_else():
    guard = Guard(["127.0.0.1", "[::1]", "Bücher.example"])
    for url in ("http://127.0.0.1:8123/x", "http://[::1]:1/", "http://bücher.example:22/"):
        guard.check(URL(url))
    for other in ("http://127.0.0.2:8123/", "http://127.0.0.2/", "http://localhost:8123/"):
        with pytest.raises(Refused):
            guard.check(URL(other))
    with pytest.raises(Refused):
        guard.check_answer("localhost", "127.0.0.1")


def test_no_login_is_ever_sent_not_even_to_an_allowed_host(dns):
    guard = Guard(["127.0.0.1"])
    for login in ("me", "me:secret", ":secret", "me:"):
        with pytest.raises(Refused, match="a name or password"):
            guard.check(URL(f"http://{login}@127.0.0.1/"))

    async def run():
        async with Canary() as canary:
            urls = [f"http://{u}@127.0.0.1:{canary.port}/" for u in ("me", "me:secret", ":secret")]
            await fetched(urls, Fenced(["127.0.0.1"]))
            await redirected(urls, dns, allow=["127.0.0.1"])
        assert not [head for head in canary.heads if b"authorization" in head.lower()]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://1.1.1.1/", "no http(s) URL with a host: ftp"),
        ("/relative", "no http(s) URL with a host: no scheme"),
        ("http://1.1.1.1:22/", "1.1.1.1: port 22"),
        ("http://me@example.com/", "example.com: a name or password before it"),
        ("http://0x7f.1/", "0x7f.1: not an address in its usual form"),
        ("http://10.0.0.1/", "10.0.0.1: private"),
        ("http://[fe80::1%25eth0]/", "fe80::1%25eth0: an address with a zone"),
        ("http://[2002:7f00:1::]/", "2002:7f00:1::: 6to4"),
        ("http://localhost/", "localhost: a local name"),
        ("http://intranet/", "intranet: no full domain name"),
    ],
)
def test_a_refusal_tells_its_reason(url, words):
    with pytest.raises(Refused) as refused:
        Guard().check(URL(url))
    assert str(refused.value) == words


@pytest.mark.parametrize("host", ["", "127.0.0.1:80", "http://intranet", "a/b", "me@intranet"])
def test_an_allowed_host_that_is_none_is_told_at_once(host):
    with pytest.raises(UsageError, match="without scheme and port"):
        Guard([host])


@given(st.ip_addresses())
def test_what_is_public_to_us_is_global_to_python(ip):
    if is_public(str(ip)):
        assert ip.is_global
        assert not (ip.is_multicast or ip.is_reserved or ip.is_private or ip.is_unspecified)
        assert ip.version == 4 or not (ip.ipv4_mapped or ip.sixtofour or ip.teredo)


@given(st.ip_addresses(v=4))
def test_no_wrapping_of_any_address_is_public(ip):
    assert not [w for w in wrappings(str(ip)) if is_public(w)]


def ordinary_urls(count):
    """URLs like those of a crawl: seeded, each with the addresses that its name has."""
    pick = random.Random(7)
    labels = words("photo img static cdn media blog shop news my-site i0 upload a1 x_y pic 3d")
    tops = words("com org net de co.uk com.br io jp fr museum xn--p1ai рф 中国 info photography")
    foreign = ["bücher", "фото", "写真", "ταξίδι", "صور", "café", "xn--bcher-kva", "straße"]
    v4 = ["1.1.1.1", "8.8.8.8", PUBLIC, "223.255.255.1", "11.0.0.1", "100.63.255.255", "172.32.0.1"]
    v4 += [
        "192.0.1.1",
        "198.17.0.1",
        "192.167.1.1",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.15",
    ]
    v6 = ["2606:4700::1111", "2a00:1450:4001:82a::200e", "2001:4860:4860::8888", "2001:200::1"]
    v6 += ["2400:cb00::1", "3ffe::1", "2001:db7::1", "2003::1", "2620:4f:8001::1"]
    for n in range(count):
        middle = pick.choice(foreign) if n % 5 == 0 else pick.choice(labels)
        host = f"{pick.choice(labels)}{pick.randrange(100)}.{middle}.{pick.choice(tops)}"
        if n % 7 == 1:
            host = pick.choice(v4)
        elif n % 7 == 2:
            host = f"[{pick.choice(v6)}]"
        elif n % 11 == 3:
            host = host.upper() + "."
        scheme = pick.choice(["http", "https", "HTTP"])
        port = pick.choice(["", "", ":80", ":443"])
        path = pick.choice(
            ["", "/", "/a/b.jpg", "/ü/写真.jpg", "/a%20b(1).JPG", "/x//y/../z@2x.png"]
        )
        query = pick.choice(
            ["", "?w=640&h=480", "?u=http://127.0.0.1/", "?a=b@c", "#top", "?q=a+b"]
        )
        yield f"{scheme}://{host}{port}{path}{query}", pick.sample(v4, 2) + pick.sample(v6, 2)


def test_a_thousand_ordinary_urls_are_judged_fine(dns):
    urls = dict(ordinary_urls(1100))  # some come twice
    assert len(urls) >= 1000
    guard = Guard()

    async def run():
        resolver = GuardedResolver(guard)
        named = 0
        for text, addresses in urls.items():
            url = URL(text)
            guard.check(url)
            host = url.raw_host
            if ":" in host or host.replace(".", "").isdigit():
                found = [host]
            else:
                dns.table[host.rstrip(".").lower()] = addresses
                found = [f["host"] for f in await resolver.resolve(host, url.port)]
                assert len(found) == 4
                named += 1
            for address in found:  # made, never connected
                guard.socket((family(address), socket.SOCK_STREAM, 6, "", (address, 80))).close()
        assert named > 600

    asyncio.run(run())
