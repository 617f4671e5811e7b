"""The key of a row follows from its URL as servers understand it, and from nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.keys import bytes_key, normalise, url_key

HOSTS = st.from_regex(r"[a-zA-Z0-9]{1,12}(\.[a-zA-Z0-9]{1,8}){0,2}", fullmatch=True)
PATHS = st.text(
    st.characters(blacklist_characters="#\x00", blacklist_categories=("Cs",)), max_size=20
)


@given(HOSTS, PATHS)
def test_normalising_twice_changes_nothing(host, path):
    once = normalise(f"http://{host}/{path}")
    assert once is not None
    assert normalise(once) == once


@given(HOSTS, PATHS.filter(lambda p: p == p.strip()))
def test_case_of_host_default_port_and_fragment_do_not_matter(host, path):
    plain = url_key(f"http://{host}/{path}")
    assert plain == url_key(f"HTTP://{host.upper()}:80/{path}#part")
    assert plain != url_key(f"https://{host}/{path}")


def test_path_and_query_matter_to_the_letter():
    keys = {url_key(f"http://a.b/{rest}") for rest in ("x", "X", "x/", "x?y", "x?Y", "x%20")}
    assert len(keys) == 6


@pytest.mark.parametrize(
    "text",
    ["", "x", "ftp://a/b", "http://", "http:///x", "javascript:alert(1)", "//a/b", "http://a b"],
)
def test_what_is_no_web_address_has_no_key(text):
    assert url_key(text) is None


def test_a_key_is_128_bits_of_sha256():
    assert url_key("http://a.b/") == hashlib.sha256(b"http://a.b/").hexdigest()[:32]
    assert len(bytes_key(b"")) == 32
