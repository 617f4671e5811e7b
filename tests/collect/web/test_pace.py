"""No host is asked faster than it bears or wishes, and one that is down holds nobody up."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import in_virtual_time

from humanverse.collect.web.manners import Manners
from humanverse.collect.web.pace import Pace


def now():
    return asyncio.get_running_loop().time()


class Visitor:
    """Asks hosts by a pace, in virtual time, and notes what became of each request."""

    def __init__(self, **manners):
        self.pace = Pace(Manners(**({"per_host_rate": 0.0} | manners)))
        self.began, self.ends = [], []
        self.active = self.peak = 0

    async def ask(self, host="a", takes=0.0, delay=0.0, failed=False, pause=None):
        reason = await self.pace.enter(host, delay)
        self.ends.append(reason)
        if reason is not None:
            return reason
        self.began.append(now())
        self.active += 1
        self.peak = max(self.peak, self.active)
        await asyncio.sleep(takes)
        if pause is not None:
            self.pace.pause(host, pause)
        self.active -= 1
        self.pace.leave(host, failed)
        return None


def visit(*asks, **manners):
    """All requests at once; a request is the arguments of `Visitor.ask`."""

    async def run():
        visitor = Visitor(**manners)
        await asyncio.gather(*(visitor.ask(**ask) for ask in asks))
        return visitor

    return in_virtual_time(run())


def gaps(times):
    return [round(b - a, 6) for a, b in itertools.pairwise(times)]


def test_a_host_gets_so_many_requests_at_a_time():
    visitor = visit(*[{"takes": 1.0}] * 20, per_host=3)
    assert visitor.peak == 3
    assert visitor.began[-1] - visitor.began[0] == pytest.approx(6)


def test_hosts_do_not_wait_for_each_other():
    visitor = visit(*({"host": str(n), "takes": 1.0} for n in range(20)), per_host=1)
    assert set(gaps(visitor.began)) == {0}


def test_a_host_gets_so_many_requests_a_second():
    visitor = visit(*[{}] * 31, per_host_rate=10)
    assert set(gaps(visitor.began)) == {0.1}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 50),
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2)), min_size=1, max_size=40),
)
def test_whenever_they_come_no_second_sees_more_than_the_rate(rate, per_host, requests):
    async def run():
        visitor = Visitor(per_host_rate=float(rate), per_host=per_host)

        async def one(after, takes):
            await asyncio.sleep(after)
            await visitor.ask(takes=takes)

        await asyncio.gather(*(one(*request) for request in requests))
        return visitor

    visitor = in_virtual_time(run())
    assert visitor.ends == [None] * len(requests)
    assert visitor.peak <= per_host
    began = sorted(visitor.began)
    for start in began:
        assert sum(start <= t < start + 1 - 1e-6 for t in began) <= rate + 1


def test_a_delay_is_kept_from_end_to_start_one_request_at_a_time():
    visitor = visit(*[{"takes": 1.0, "delay": 5.0}] * 4, per_host=8)
    assert visitor.peak == 1
    assert gaps(visitor.began) == [6, 6, 6]


def test_a_delay_beyond_the_bound_ends_the_rows_at_once():
    visitor = visit(*[{"delay": 31.0}] * 3)
    assert visitor.ends == ["http_busy"] * 3
    assert visitor.began == []


def test_rows_that_would_wait_too_long_for_their_host_end_at_once():
    visitor = visit(*[{"delay": 10.0}] * 100, patience=50.0)
    assert visitor.ends.count(None) == 6
    assert visitor.began[-1] - visitor.began[0] == pytest.approx(50)


def test_a_pause_holds_for_all_of_a_host():
    visitor = visit({"pause": 7.0}, *[{}] * 5, {"host": "b"}, per_host=1)
    assert [round(t - visitor.began[0]) for t in visitor.began] == [0, 0, 7, 7, 7, 7, 7]


def test_a_pause_beyond_the_bound_ends_the_rows_that_wait_and_those_that_come():
    async def run():
        visitor = Visitor(per_host=1)
        await asyncio.gather(*(visitor.ask(pause=600.0 if n == 0 else None) for n in range(5)))
        await asyncio.sleep(599)
        late = await visitor.ask()
        await asyncio.sleep(2)
        return visitor, late, await visitor.ask()

    visitor, late, later = in_virtual_time(run())
    assert visitor.ends[:5] == [None] + ["http_busy"] * 4
    assert (late, later) == ("http_busy", None)


def test_a_host_that_pauses_again_and_again_is_left_when_patience_ends():
    visitor = visit(*[{"pause": 20.0}] * 1000, per_host=1, patience=100.0)
    assert visitor.ends.count(None) == 6
    assert visitor.ends.count("http_busy") == 994


def test_pauses_that_overlap_count_once():
    visitor = visit(*[{"pause": 20.0}] * 8, *[{}] * 8, per_host=8, patience=100.0)
    assert visitor.ends == [None] * 16


def test_a_host_that_fails_so_often_in_a_row_is_given_up_for_a_while():
    async def run():
        visitor = Visitor(per_host=2, give_up_after=8, give_up_for=300.0)
        await asyncio.gather(*(visitor.ask(takes=30.0, failed=True) for _ in range(1000)))
        took = now() - visitor.began[0]
        await asyncio.sleep(299)
        before = await visitor.ask()
        await asyncio.sleep(2)
        return visitor, took, before, await visitor.ask()

    visitor, took, before, after = in_virtual_time(run())
    assert len(visitor.began) == 9 + 1
    assert took <= 150
    assert visitor.ends.count("host_down") == 992
    assert (before, after) == ("host_down", None)


def test_a_host_that_is_still_down_after_a_while_is_given_up_by_one_failure():
    async def run():
        visitor = Visitor(per_host=1, give_up_after=3, give_up_for=10.0)
        for _ in range(3):
            await visitor.ask(failed=True)
        await asyncio.sleep(11)
        await visitor.ask(failed=True)
        return await visitor.ask()

    assert in_virtual_time(run()) == "host_down"


def test_a_success_between_failures_keeps_a_host():
    asks = ([{"failed": True}] * 7 + [{"failed": False}]) * 10
    assert visit(*asks, per_host=1, give_up_after=8).ends == [None] * 80


def test_ends_that_say_nothing_of_a_host_neither_help_nor_harm():
    asks = ([{"failed": True}] * 2 + [{"failed": None}]) * 4
    visitor = visit(*asks, per_host=1, give_up_after=8)
    assert visitor.ends == [None] * 11 + ["host_down"]


def test_a_success_opens_a_host_that_was_given_up():
    async def run():
        visitor = Visitor(per_host=9, give_up_after=8)
        slow = asyncio.create_task(visitor.ask(takes=5.0))
        await asyncio.gather(*(visitor.ask(failed=True, takes=1.0) for _ in range(8)))
        closed = await visitor.ask()
        await slow
        return closed, await visitor.ask()

    assert in_virtual_time(run()) == ("host_down", None)


def test_only_the_first_failure_in_a_row_is_news():
    async def run():
        pace, news = Pace(Manners()), []
        for failed in (True, True, False, True, None, True):
            await pace.enter("a")
            news.append(pace.leave("a", failed))
        return news

    assert in_virtual_time(run()) == [True, False, True, True, True, False]


def test_idle_hosts_are_forgotten_and_busy_ones_are_not():
    async def run():
        pace = Pace(Manners(per_host_rate=0.0), hosts=10)
        for n in range(5):
            await pace.enter(f"busy {n}")
        for n in range(1000):
            await pace.enter(f"idle {n}")
            pace.leave(f"idle {n}", False)
        few = len(pace)
        for n in range(5):
            pace.leave(f"busy {n}", False)
        return few

    assert in_virtual_time(run()) <= 11


def test_more_busy_hosts_than_are_remembered_shrink_again():
    async def run():
        pace = Pace(Manners(per_host_rate=0.0), hosts=10)
        for n in range(100):
            await pace.enter(str(n))
        many = len(pace)
        for n in range(100):
            pace.leave(str(n), False)
        for n in range(100):
            await pace.enter(f"later {n}")
            pace.leave(f"later {n}", False)
        return many, len(pace)

    assert in_virtual_time(run()) == (100, 10)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 19), max_size=20), st.floats(0, 1))
def test_no_turn_is_lost_when_those_who_wait_are_cancelled(cancelled, after):
    async def run():
        visitor = Visitor(per_host=2, per_host_rate=20.0)
        tasks = [asyncio.create_task(visitor.ask(takes=0.1)) for _ in range(20)]
        await asyncio.sleep(after)
        waiting = [tasks[n] for n in cancelled if tasks[n] in tasks[len(visitor.began) :]]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await asyncio.wait_for(visitor.ask(), 10) is None
        assert visitor.active == 0

    in_virtual_time(run())
