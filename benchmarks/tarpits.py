"""How much 200 tarpits among 2,000 healthy URLs slow the healthy ones down, and when they end.

    python benchmarks/tarpits.py --runs 5 --json tarpits.json

Two layouts: tarpits on hosts of their own, and on hosts that also serve healthy pages. Runs with
and without tarpits alternate; servers are another process. Throughput is healthy pictures, fetched
and decoded, a second until the last of them. A tarpit's time is what its fetching counts against
the deadline: waiting for a turn, at its host or for a connection, is not in it, and neither are the
rules of its host, which have a deadline of their own.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from common import figure, write
from served import photos

from humanverse.collect.decoder import Decoders
from humanverse.collect.picture import Bounds
from humanverse.collect.web.fetch import Fetcher, Limits
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.manners import Manners
from humanverse.testing.tarpits import KINDS, Tarpits, elsewhere

HEALTHY, TARPITS = 2000, 200
HEALTHY_HOSTS = [f"127.1.{n // 250}.{1 + n % 250}" for n in range(250)]
TARPIT_HOSTS = [f"127.2.0.{n + 1}" for n in range(TARPITS)]
SHARED_KINDS = [kind for kind in KINDS if kind != "robots"]  # its healthy pages would not be
GOAL_SHARE, GOAL_LATE = 0.9, 1.0


def tasks(served: Tarpits, layout: str, tarpits: bool, order: str) -> list[tuple[str, str]]:
    """Kind and URL of each row."""
    hosts = cycle(HEALTHY_HOSTS)
    good = [("good", served.address("good", next(hosts), n)) for n in range(HEALTHY)]
    kinds = KINDS if layout == "own hosts" else SHARED_KINDS
    where = TARPIT_HOSTS if layout == "own hosts" else HEALTHY_HOSTS
    pairs = islice(zip(cycle(kinds), where, strict=False), TARPITS if tarpits else 0)
    bad = [(kind, served.address(kind, host, n)) for n, (kind, host) in enumerate(pairs)]
    if order == "tarpits first":
        return bad + good
    mixed = good + bad
    random.Random(0).shuffle(mixed)
    return mixed


async def run(decode, rows, deadline: float, connections: int, wait: bool):
    """Seconds to the last healthy picture; each tarpit's kind, reason and seconds if waited for."""
    fetcher = Fetcher(
        Guard([*HEALTHY_HOSTS, *TARPIT_HOSTS]),
        Limits(deadline, 20 << 20, 5, 3),
        Manners(per_host_rate=20.0),
        connections=connections,
    )
    loop = asyncio.get_running_loop()
    began, last, missing = time.perf_counter(), 0.0, Counter()

    async def one(kind, url):
        nonlocal last
        found = await fetcher.fetch(url)
        if kind == "good" and found.data is not None:
            await loop.run_in_executor(None, decode, found.data)
        if kind == "good":
            last = time.perf_counter() - began
            if found.data is None:
                missing[found.reason] += 1
        return kind, found.reason, found.ms / 1000

    started = [(kind, asyncio.create_task(one(kind, url))) for kind, url in rows]
    await asyncio.gather(*(task for kind, task in started if kind == "good"))
    bad = [task for kind, task in started if kind != "good"]
    if not wait:
        for task in bad:
            task.cancel()
    ends = await asyncio.gather(*bad, return_exceptions=not wait)
    await fetcher.close()
    return last, missing, ends if wait else []


def compare(
    layout: str, order: str, settings: argparse.Namespace, body: bytes, decode
) -> list[dict]:
    slow = frozenset()
    if layout == "own hosts":
        slow = frozenset(
            h for k, h in zip(cycle(KINDS), TARPIT_HOSTS, strict=False) if k == "robots"
        )
    rates = {False: [], True: []}
    lost, late = 0, 0.0
    with elsewhere(Tarpits([*HEALTHY_HOSTS, *TARPIT_HOSTS], body, slow)) as served:
        for number in range(settings.runs):
            for tarpits in (False, True) if number % 2 else (True, False):
                rows = tasks(served, layout, tarpits, order)
                wait = tarpits and number == 0
                last, missing, ends = asyncio.run(
                    run(decode, rows, settings.deadline, settings.connections, wait)
                )
                rates[tarpits].append(HEALTHY / last)
                lost += missing.total()
                odd = [end for end in ends if end[1] not in KINDS[end[0]]]
                late = max([late, *(end[2] - settings.deadline for end in ends)])
                print(
                    f"  {'with' if tarpits else 'without':8} {HEALTHY / last:7.1f}/s",
                    *missing.items(),
                )
                if wait:
                    print("  ends", dict(Counter(end[:2] for end in ends)), "odd", odd[:3])
    with_them, without = statistics.median(rates[True]), statistics.median(rates[False])
    name = f"tarpits on {layout}, {order}"
    print(f"{name}: {with_them / without:.3f} of {without:.0f}/s; {lost} lost; {late:+.2f} s late")
    return [
        figure(f"{name}: throughput kept", with_them / without, "share", GOAL_SHARE),
        figure(f"{name}: healthy pictures", with_them, "images/s", peer=round(without, 1)),
        figure(f"{name}: healthy pictures lost", lost, "images", 0, "lower"),
        figure(f"{name}: latest end beyond the deadline", late, "s", GOAL_LATE, "lower"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--deadline", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--json", type=Path)
    settings = parser.parse_args()
    (body,) = photos(512, 512, 85, 1)
    figures, decoders = [], Decoders(Bounds(1024, 200, 64_000_000, 95), 2)
    for _ in range(4):
        decoders.decode(body)
    for layout in ("own hosts", "shared hosts"):
        for order in ("mixed", "tarpits first"):
            figures += compare(layout, order, settings, body, decoders.decode)
    decoders.close()
    write(figures, settings.json)


if __name__ == "__main__":
    main()
