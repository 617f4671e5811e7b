"""No address but a public one, or a host the user named, is ever connected to."""

import asyncio
import socket

import pytest
from yarl import URL

from humanverse.collect.fetch import Fetcher, Limits
from humanverse.collect.guard import Guard, Refused, is_public

HOSTILE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *(
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *("198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"),
    *(
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
    ),
    *("fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fe80::1%eth0", "::ffff:0:127.0.0.1"),
    *("nonsense", "", "1.2.3", "0x7f.1"),
]
SPELLINGS = [
    *("http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://2130706433/"),
    *(
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://localhost/",
    ),
    *(
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://[::127.0.0.1]/",
        "http://localhost./",
    ),
    *(
        "https://[fe80::1]/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1:22/",
        "http://1.1.1.1:6379/",
    ),
    *("ftp://1.1.1.1/", "file:///etc/passwd", "gopher://1.1.1.1/", "http://[64:ff9b::7f00:1]/"),
]


@pytest.mark.parametrize("address", HOSTILE)
def test_hostile_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_ordinary_addresses_are_public(address):
    assert is_public(address)


def test_a_named_host_may_be_asked_on_any_port_and_nobody_else():
    guard = Guard(["127.0.0.1"])
    guard.check(URL("http://127.0.0.1:8123/x"))
    for other in ("http://127.0.0.2:8123/", "http://127.0.0.2/", "http://localhost:8123/"):
        with pytest.raises(Refused):
            guard.check(URL(other))
    with pytest.raises(Refused):
        guard.check_answer("localhost", "127.0.0.1")


def ask(url, allow=()):
    async def run():
        limits = Limits(deadline=5, max_bytes=1000, max_redirects=2, tries=1)
        fetcher = Fetcher(Guard(allow), limits, connections=4, per_host=4, agent="test")
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(run())


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_reaches_a_private_listener(url):
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.05)
        answer = ask(url.replace(":80/", f":{canary.getsockname()[1]}/"))
        assert answer.reason in ("bad_address", "dns")
        with pytest.raises(TimeoutError):
            canary.accept()


def test_a_name_that_answers_differently_when_connected_to_is_caught_at_the_socket():
    guard = Guard()
    guard.check_answer("rebinding.example", "93.184.216.34")
    with pytest.raises(Refused):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
