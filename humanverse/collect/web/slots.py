"""The connections of a worker, handed out in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections import deque

from humanverse.collect.web.congestion import Congestion


class Slots:
    """A semaphore whose size may follow what the line bears. Belongs to one event loop."""

    def __init__(self, most: int, *, adaptive: bool = True) -> None:
        self._congestion = Congestion(most) if adaptive else Congestion(most, start=most)
        self._adaptive = adaptive
        self._taken = 0
        self._ready: deque[asyncio.Future[None]] = deque()
        self._behind: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be taken at present."""
        return self._congestion.limit

    async def take(self, *, behind: bool = False) -> int:
        """Wait for a slot, `behind` all who wait otherwise. What is returned goes into `give`."""
        if self._ready or self._behind or self._taken >= self.limit:
            await self._wait(self._behind if behind else self._ready)
        else:
            self._taken += 1
        return self._congestion.generation

    def give(self, generation: int, late: bool | None) -> None:
        """Hand a slot back. `late`: whether its request timed out; None where that says nothing."""
        if self._adaptive and late is not None:
            full = self._taken >= self.limit
            self._congestion.observe(generation, late, full)
        self._taken -= 1
        self._hand_on()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given just before
                self._taken -= 1
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        while self._taken < self.limit and (queue := self._ready or self._behind):
            turn = queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
