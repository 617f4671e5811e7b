"""What stands on a list is not taken, by whatever it is named."""

import hashlib
import time

import pytest

from humanverse.collect.blocked import Blocklist
from humanverse.errors import UsageError
from humanverse.keys import url_key

DATA = b"the bytes of a picture"
HASHES = {kind: hashlib.new(kind, DATA).hexdigest() for kind in ("sha256", "sha1", "md5")}


def listed(tmp_path, *lines):
    file = tmp_path / "list.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    return Blocklist([file])


@pytest.mark.parametrize("kind", HASHES)
def test_bytes_are_known_by_each_hash_that_lists_are_published_in(tmp_path, kind):
    found = listed(tmp_path, f"{kind} {HASHES[kind].upper()}  # upper case, too")
    assert found.has_bytes(DATA, HASHES["sha256"])
    assert not found.has_bytes(b"others", hashlib.sha256(b"others").hexdigest())


def test_a_host_stands_for_all_hosts_under_it_and_for_no_other(tmp_path):
    found = listed(tmp_path, "# owners who asked", "", "host Example.org")
    assert all(map(found.has_host, ("example.org", "EXAMPLE.org.", "a.b.example.org")))
    assert not any(map(found.has_host, ("notexample.org", "org", "example.org.evil.net", "")))


def test_a_url_is_known_however_it_is_spelled(tmp_path):
    found = listed(tmp_path, "url HTTPS://Example.org:443/me.jpg#top", f"key {'0' * 32}")
    assert found.has_key(url_key("https://example.org/me.jpg"))
    assert found.has_url("http://example.org/you.jpg") is False
    assert found.has_url("https://EXAMPLE.org/me.jpg")
    assert found.has_key("0" * 32)
    assert not found.has_key(url_key("https://example.org/you.jpg"))


def test_a_picture_is_known_by_its_looks(tmp_path):
    found = listed(tmp_path, "phash e9e90c24f1d9c674")
    assert found.has_picture("e9e90c24f1d9c674")
    assert found.has_picture("e9e90c24f1d9c67b"), "four bits apart"
    assert not found.has_picture("e9e90c24f1d9c68b"), "eight bits apart"


def test_an_empty_list_names_nothing():
    nothing = Blocklist()
    assert not nothing.has_host("example.org") and not nothing.has_picture("0" * 16)
    assert not nothing.has_bytes(DATA, HASHES["sha256"]) and not nothing.has_key("0" * 32)


@pytest.mark.parametrize(
    "line",
    ["example.org", "host", "host http://a.org/", "sha256 abc", "md5 xyz", "who me", "url x"],
)
def test_a_line_that_is_no_entry_is_named_with_its_place(tmp_path, line):
    with pytest.raises(UsageError, match=r"list\.txt:2: .* is no entry"):
        listed(tmp_path, "host example.org", line)


def test_a_missing_list_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Blocklist([tmp_path / "none.txt"])


@pytest.mark.parametrize("host", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example."])
def test_a_host_is_known_in_its_own_letters(tmp_path, host):
    assert listed(tmp_path, f"host {host}").has_host("www.xn--bcher-kva.example")


def test_an_address_is_a_host(tmp_path):
    found = listed(tmp_path, "host 2001:DB8::1", "host 192.0.2.1")
    assert found.has_host("2001:db8::1")
    assert found.has_host("192.0.2.1")


@pytest.mark.parametrize("host", ["*.example.org", ".", "example.org,example.net", "a..b", "*"])
def test_a_host_that_no_url_can_have_is_refused_since_it_would_block_nothing(tmp_path, host):
    with pytest.raises(UsageError, match=r"list\.txt:1: .* is no entry"):
        listed(tmp_path, f"host {host}")


def test_a_list_saved_by_an_office_suite_is_read(tmp_path):
    assert listed(tmp_path, "\ufeffhost example.org").has_host("example.org")


def test_a_hundred_thousand_urls_are_read_in_seconds(tmp_path):
    urls = [f"http{'s' * (n % 2)}://H{n}.example/{n}.jpg" for n in range(100_000)]
    started = time.monotonic()
    found = listed(tmp_path, *(f"url {url}" for url in urls))
    assert time.monotonic() - started < 20
    assert all(found.has_url(url.lower()) for url in urls[:1000])
    assert not found.has_url("http://h1.example/2.jpg")
