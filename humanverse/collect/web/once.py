"""A bounded memory of what is costly to find out, in which nothing is asked for twice at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Keepable(Protocol):
    """An answer that knows what it costs and how long it holds."""

    @property
    def weight(self) -> int:
        """What it takes of the memory's room; at least 1."""

    @property
    def seconds(self) -> float:
        """How long it holds; 0 for the present question only."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Keepable)


class Once(Generic[Key, Value]):
    """Least recently used answers go first. Belongs to one event loop, whose clock it goes by."""

    def __init__(self, find: Callable[[Key], Awaitable[Value]], room: int) -> None:
        self._find = find
        self._room = room
        self._used = 0
        self._answers: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._finding: dict[Key, asyncio.Task[Value]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: Key) -> Value:
        """The answer to a key: the known one, or what one question for all who ask now brings."""
        known = self._answers.get(key)
        if known is not None:
            if known[1] > asyncio.get_running_loop().time():
                self._answers.move_to_end(key)
                return known[0]
            self._drop(key)
        task = self._finding.get(key)
        if task is None:
            task = self._finding[key] = asyncio.create_task(self._ask(key))
        # Whoever asked first may be cancelled: the others still want the answer.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._finding.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: Key) -> Value:
        try:
            answer = await self._find(key)
            if answer.seconds > 0:
                self._keep(key, answer)
            return answer
        finally:
            del self._finding[key]

    def _keep(self, key: Key, answer: Value) -> None:
        self._answers[key] = answer, asyncio.get_running_loop().time() + answer.seconds
        self._used += answer.weight
        while self._used > self._room and len(self._answers) > 1:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Key) -> None:
        answer, _ = self._answers.pop(key)
        self._used -= answer.weight
