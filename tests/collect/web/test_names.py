"""A name is asked for once in a while, by few threads, and judged each time it is used."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from humanverse.collect.web.guard import Guard, Refused
from humanverse.collect.web.names import MOST_ADDRESSES, GuardedResolver

PUBLIC = "93.184.216.34"


class Asked:
    """A name server in a function: counts its questions and can be held up."""

    def __init__(self, *addresses, held=False):
        self.addresses = addresses or (PUBLIC,)
        self.names = []
        self.at_once = self.most_at_once = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        if not held:
            self.gate.set()

    def __call__(self, name):
        with self._lock:
            self.names.append(name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.gate.wait(20)
        with self._lock:
            self.at_once -= 1
        return list(self.addresses)


def unknown(name):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.005)


def wait_for_threads():
    for thread in threading.enumerate():
        if thread.name == "names":
            thread.join(5)


def test_a_name_is_asked_for_once_while_its_answer_is_fresh():
    asked = Asked(PUBLIC, "2606:4700::1111")

    async def run():
        resolver = GuardedResolver(Guard(), asked, ttl=0.1)
        for port in (80, 443):
            found = await resolver.resolve("a.example", port)
            assert [(f["host"], f["port"]) for f in found] == [
                (PUBLIC, port),
                ("2606:4700::1111", port),
            ]
            assert [f["family"] for f in found] == [socket.AF_INET, socket.AF_INET6]
        assert len(asked.names) == 1
        await asyncio.sleep(0.12)
        await resolver.resolve("a.example", 80)
        assert len(asked.names) == 2

    asyncio.run(run())


def test_a_family_is_chosen_after_all_addresses_were_judged():
    async def run():
        resolver = GuardedResolver(Guard(), Asked(PUBLIC, "2606:4700::1111"))
        found = await resolver.resolve("a.example", 80, socket.AF_INET6)
        assert [f["host"] for f in found] == ["2606:4700::1111"]
        with pytest.raises(Refused):
            await GuardedResolver(Guard(), Asked(PUBLIC, "::1")).resolve(
                "a.example", 80, socket.AF_INET
            )
        with pytest.raises(socket.gaierror):
            await GuardedResolver(Guard(), Asked(PUBLIC)).resolve("a.example", 80, socket.AF_INET6)

    asyncio.run(run())


def test_a_failure_is_remembered_for_a_shorter_time():
    asked = []

    def ask(name):
        asked.append(name)
        unknown(name)

    async def run():
        resolver = GuardedResolver(Guard(), ask, failure_ttl=0.1)
        for _ in range(3):
            with pytest.raises(socket.gaierror, match="not known"):
                await resolver.resolve("gone.example", 80)
        assert len(asked) == 1
        await asyncio.sleep(0.12)
        with pytest.raises(socket.gaierror):
            await resolver.resolve("gone.example", 80)
        assert len(asked) == 2

    asyncio.run(run())


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_address_refuses_the_name_each_time_while_it_is_remembered(position):
    addresses = ["8.8.8.8", "1.1.1.1"]
    addresses.insert(position, "10.0.0.5")
    asked = Asked(*addresses)

    async def run():
        resolver = GuardedResolver(Guard(), asked)
        for _ in range(3):
            with pytest.raises(Refused, match=r"10\.0\.0\.5: private"):
                await resolver.resolve("a.example", 80)
        assert len(asked.names) == 1

    asyncio.run(run())


def test_concurrent_questions_about_a_name_are_one_question():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked)
        tasks = [asyncio.create_task(resolver.resolve("a.example", n)) for n in range(50)]
        await until(lambda: asked.names)
        asked.gate.set()
        assert [(await task)[0]["port"] for task in tasks] == list(range(50))
        assert len(asked.names) == 1

    asyncio.run(run())


def test_who_stops_waiting_takes_no_answer_from_the_others():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked)
        first, second = (asyncio.create_task(resolver.resolve("a.example")) for _ in range(2))
        await until(lambda: asked.names)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        asked.gate.set()
        assert (await second)[0]["host"] == PUBLIC

    asyncio.run(run())


def test_an_answer_that_comes_when_nobody_waits_is_kept():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver.resolve("a.example"), 0.05)
        asked.gate.set()
        await until(lambda: resolver._kept)
        assert (await resolver.resolve("a.example"))[0]["host"] == PUBLIC
        assert len(asked.names) == 1

    asyncio.run(run())


def test_no_more_threads_ask_than_allowed_and_all_are_answered():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked, threads=4)
        tasks = [asyncio.create_task(resolver.resolve(f"{n}.example")) for n in range(40)]
        await until(lambda: len(asked.names) == 4)
        await asyncio.sleep(0.02)
        assert len(asked.names) == 4
        asked.gate.set()
        await asyncio.gather(*tasks)
        assert len(asked.names) == 40
        assert asked.most_at_once <= 4

    asyncio.run(run())


def test_questions_that_nobody_waits_for_any_more_are_never_asked():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked, threads=1)
        tasks = [asyncio.create_task(resolver.resolve(f"{n}.example")) for n in range(1000)]
        await until(lambda: asked.names)
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks[:-1], return_exceptions=True)
        assert len(resolver._waiting) == 1
        assert len(resolver._open) == 2  # the one in its thread, and the last
        asked.gate.set()
        await tasks[-1]
        assert asked.names == ["0.example.", "999.example."]
        assert not resolver._waiting
        assert not resolver._open

    asyncio.run(run())


def test_the_longest_unused_names_are_forgotten_first():
    asked = Asked()

    async def run():
        resolver = GuardedResolver(Guard(), asked, names=3)
        for name in ("a.example", "b.example", "c.example", "a.example", "d.example"):
            await resolver.resolve(name)
        assert list(resolver._kept) == ["c.example.", "a.example.", "d.example."]
        for n in range(500):
            await resolver.resolve(f"{n}.example")
        assert len(resolver._kept) == 3

    asyncio.run(run())


def test_a_name_with_a_flood_of_addresses_has_none():
    flood = Asked(*(f"8.8.{n // 256}.{n % 256}" for n in range(MOST_ADDRESSES + 1)))

    async def run():
        resolver = GuardedResolver(Guard(), flood)
        with pytest.raises(socket.gaierror, match="65 addresses"):
            await resolver.resolve("flood.example")

    asyncio.run(run())


def test_a_resolver_that_breaks_is_an_answer_too(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))

    def breaks(name):
        raise ZeroDivisionError

    async def run():
        resolver = GuardedResolver(Guard(), breaks, threads=1)
        for name in ("a.example", "b.example"):  # the thread's place is free again
            with pytest.raises(socket.gaierror, match="the resolver failed"):
                await resolver.resolve(name)

    asyncio.run(run())
    wait_for_threads()
    assert seen == [ZeroDivisionError] * 2


def test_only_allowed_names_are_completed_by_the_machines_own_domain():
    asked = Asked("10.0.0.5")

    async def run():
        resolver = GuardedResolver(Guard(["intranet"]), asked)
        assert (await resolver.resolve("intranet"))[0]["host"] == "10.0.0.5"
        for name in ("wiki.corp", "wiki.corp."):
            with pytest.raises(Refused):
                await resolver.resolve(name)
        assert asked.names == ["intranet", "wiki.corp."]

    asyncio.run(run())


def test_closing_answers_all_who_wait_and_a_late_thread_harms_nothing():
    asked = Asked(held=True)

    async def run():
        resolver = GuardedResolver(Guard(), asked, threads=1)
        tasks = [asyncio.create_task(resolver.resolve(f"{n}.example")) for n in range(3)]
        await until(lambda: asked.names)
        await resolver.close()
        for task in tasks:
            with pytest.raises(socket.gaierror, match="closed"):
                await task
        asked.gate.set()
        await until(lambda: resolver._free == 1)
        assert not resolver._open

    asyncio.run(run())


def test_a_look_up_that_hangs_holds_up_neither_the_loop_nor_the_process():
    program = """
import asyncio, threading
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.names import GuardedResolver

async def run():
    resolver = GuardedResolver(Guard(), lambda name: threading.Event().wait())
    try:
        await asyncio.wait_for(resolver.resolve("a.example"), 0.05)
    except TimeoutError:
        print("gave up")

asyncio.run(run())
print("loop closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.split("\n")[:2] == ["gave up", "loop closed"]
    assert done.stderr == ""


def test_a_thread_that_ends_after_its_loop_is_quiet(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    asked = Asked(held=True)

    async def run():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(GuardedResolver(Guard(), asked).resolve("a.example"), 0.02)

    asyncio.run(run())
    asked.gate.set()
    wait_for_threads()
    assert not seen


def test_the_systems_own_resolver_is_asked_by_default(monkeypatch):
    def known(name, port, **_):
        assert name == "a.example."
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", known)

    async def run():
        found = await GuardedResolver(Guard()).resolve("a.example", 443)
        assert [(f["host"], f["port"]) for f in found] == [(PUBLIC, 443)]

    asyncio.run(run())
