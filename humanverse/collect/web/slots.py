"""The connections of a worker, handed out in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections import deque

from humanverse.collect.web.congestion import Congestion

LOOK = 0.5
"""Seconds between two looks at whether a request moves."""
MOVING = 512
"""Bytes that a request which moves receives between them; fewer are no load to any line."""
ASIDE = 8
"""Requests that do not move, for each connection that may. There are fewer of them when the line
is overcharged, where many stand still; and never more than connections at most."""


class Slots:
    """A semaphore whose size may follow what the line bears. Belongs to one event loop."""

    def __init__(self, most: int, *, adaptive: bool = True) -> None:
        self._congestion = Congestion(most) if adaptive else Congestion(most, start=most)
        self._adaptive = adaptive
        self._taken = 0
        self._aside = 0
        self._held = False
        self._ready: deque[asyncio.Future[None]] = deque()
        self._behind: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be taken at present."""
        return self._congestion.limit

    async def take(self, *, behind: bool = False) -> int:
        """Wait for a slot, `behind` all who wait otherwise. What is returned goes into `give`."""
        if self._held or self._ready or self._behind or self._taken >= self.limit:
            await self._wait(self._behind if behind else self._ready)
        else:
            self._taken += 1
        return self._congestion.generation

    def hold(self, held: bool) -> None:
        """Hand out none, or go on: for those who cannot keep up with what comes."""
        self._held = held
        self._hand_on()

    def step_aside(self) -> bool:
        """Let another request go while the holder of a slot stands still; False for no room."""
        if self._aside >= min(self._congestion.most, ASIDE * self.limit):
            return False
        self._aside += 1
        self._taken -= 1
        self._hand_on()
        return True

    def give(self, generation: int, late: bool | None, *, aside: bool = False) -> None:
        """Hand a slot back. `late`: whether its request timed out; None where that says nothing.
        `aside`: whether it stepped aside.
        """
        if self._adaptive and late is not None:
            full = self._taken >= self.limit
            self._congestion.observe(generation, late, full)
        if aside:
            self._aside -= 1
        else:
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
        while (
            not self._held and self._taken < self.limit and (queue := self._ready or self._behind)
        ):
            turn = queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class Watch:
    """Looks at a request now and then, and has it step aside once it stands still.

    Whoever holds us without sending, for as long as the deadline lets him, would else hold up
    those who wait for a slot.
    """

    __slots__ = ("_before", "_moved", "_slots", "_timer", "aside")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._moved = self._before = 0
        self.aside = False
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def moved(self, size: int) -> None:
        """Take note of bytes that came."""
        self._moved += size

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._moved - self._before < MOVING and self._slots.step_aside():
            self.aside = True
            return
        self._before = self._moved
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
