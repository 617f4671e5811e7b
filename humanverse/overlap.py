"""Reading ahead and writing behind: threads decode the next pictures and encode the last ones while
a network looks at these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Found = TypeVar("Found")
Saved = TypeVar("Saved")


def overlapped(
    items: Sequence[Item],
    load: Callable[[Item], Loaded],
    work: Callable[[list[Loaded]], Sequence[Found]],
    save: Callable[[Found], Saved],
    *,
    size: int,
    threads: int,
) -> list[Saved]:
    """`save(found)` of every item, in order.

    `load` and `save` run in threads, and gain where their libraries let go of the GIL, as codecs
    do. `work` runs in the caller's thread, on `size` items at a time, so that models need not bear
    several threads. At most two times `size` items are loaded, and as many found, at a time.

    Raises:
        Exception: what one of the three raised; what was not begun then is left.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="overlap")
    saved: list[Future[Saved]] = []
    try:
        ahead = [pool.submit(load, item) for item in islice(source, size)]
        while ahead:
            now = [future.result() for future in ahead]
            ahead = [pool.submit(load, item) for item in islice(source, size)]
            if len(saved) > size:  # in order: then all before it are done, too
                saved[-size - 1].result()
            saved += [pool.submit(save, found) for found in work(now)]
        return [future.result() for future in saved]
    finally:
        pool.shutdown(cancel_futures=True)
