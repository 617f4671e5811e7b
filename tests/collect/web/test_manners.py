"""What servers say in their headers is understood, and nothing they say confuses the reader."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.collect.web.manners import LONGEST_WAIT, Manners, opted_out, retry_after

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OUT = [
    ["noai"],
    ["NoAI"],
    ["  noimageai  "],
    ["noindex"],
    ["noimageindex"],
    ["none"],
    ["all, noai"],
    ["nofollow,noindex"],
    ["noarchive; noai"],
    ["nofollow noindex"],
    ["nofollow", "noimageindex"],
    ["humanverse: noai"],
    ["HumanVerse : NOAI"],
    ["*: noai"],
    ["otherbot: nofollow, humanverse: noai"],
    ["otherbot: noai, humanverse: all, noimageai"],
    ["otherbot: noai", "noai"],
    ["googlebot: noindex", "humanverse: nofollow, none"],
    ["max-snippet: 20, noai"],
    ["max-image-preview: large, noindex"],
    ["unavailable_after: 25 Jun 2010 15:00:00 PST"],
    ["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT"],
    ["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT"],
    ["unavailable_after: 2010-06-25T15:00:00+00:00"],
    ["unavailable_after: 2010-06-25"],
    ["humanverse: unavailable_after: 25 Jun 2010 15:00:00 GMT"],
    ["unavailable_after: 25 Jun 2090 15:00:00 PST, noai"],
    ["unavailable_after: Sun, 25 Jun 2090 15:00:00 GMT, nofollow, noai"],
    ["unavailable_after: Sun, 25 Jun 2090 15:00:00 GMT, humanverse: noai"],
    ["unavailable_after: never, noindex"],
    [", ,, noai"],
    ["max-video-preview: -1, humanverse: noimageindex"],
]
IN = [
    [],
    [""],
    ["all"],
    ["index, follow"],
    ["nofollow"],
    ["noarchive, nosnippet"],
    ["noaid"],
    ["otherbot: noai"],
    ["otherbot:noai,noindex"],
    ["googlebot: noindex, noai"],
    ["googlebot: noindex, otherbot: noai, nofollow"],
    ["humanverse: all, otherbot: noai"],
    ["humanverse2: noai"],
    ["otherbot: unavailable_after: 25 Jun 2010 15:00:00 GMT"],
    ["otherbot: max-snippet: 3, noai"],
    ["unavailable_after: 25 Jun 2090 15:00:00 PST"],
    ["unavailable_after: Friday, 25-Jun-60 15:00:00 GMT"],
    ["unavailable_after: 2090-06-25T15:00:00Z"],
    ["unavailable_after: soon"],
    ["max-image-preview: none"],
    ["max-image-preview:none, all"],
    [":::"],
]


@pytest.mark.parametrize("tags", OUT)
def test_a_directive_for_us_opts_out(tags):
    assert opted_out(tags, now=NOW)


@pytest.mark.parametrize("tags", IN)
def test_other_directives_and_those_for_others_do_not(tags):
    assert not opted_out(tags, now=NOW)


@pytest.mark.parametrize(
    ("value", "out"),
    [("1", True), (" 1 ", True), ("1; policy=x", True), ("0", False), ("", False), ("10", False)],
)
def test_a_reservation_of_text_and_data_mining_opts_out(value, out):
    assert opted_out([], value) is out


def test_a_date_that_comes_passes():
    tags = ["unavailable_after: 25 Jun 2026 15:00:00 GMT"]
    assert not opted_out(tags, now=NOW)
    assert opted_out(tags, now=NOW + timedelta(days=30))


@given(st.lists(st.text(alphabet="noai:, ;unavailable_after0129-humverse*\t\x00é")))
def test_no_header_confuses_the_reader(tags):
    opted_out(tags, now=NOW)
    assert opted_out([*tags, "noai"], now=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-5", 0),
        ("9" * 400, LONGEST_WAIT),
        ("Mon, 01 Jun 2026 00:00:30 GMT", 30),
        ("Monday, 01-Jun-26 00:00:30 GMT", 30),
        ("Mon Jun  1 00:00:30 2026", 30),
        ("Sun, 31 May 2026 23:59:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        ("soon", None),
        ("", None),
        (None, None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value, seconds):
    assert retry_after(value, NOW.timestamp()) == seconds


@given(st.text() | st.integers().map(str))
def test_no_retry_after_leads_out_of_bounds(value):
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


@pytest.mark.parametrize("settings", [{"per_host": 0}, {"per_host_rate": -1}, {"max_pause": 0}])
def test_manners_without_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Manners(**settings)
