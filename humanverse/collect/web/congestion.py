"""How many connections this machine's line bears, learnt from the share of time-outs.

Additive increase, multiplicative decrease, as TCP does with packets. It knows no clock and no
socket: outcomes go in, a limit comes out.
"""

from __future__ import annotations

START = 32
FLOOR = 8
STEP = 16
"""Connections added after a calm window; a quarter where there are few."""
SHRINK = 0.7
WINDOW = 64
"""Fewest outcomes that are judged together: with fewer, chance alone looks like congestion."""
USUAL = 0.15
"""Share of time-outs assumed at first. Tables of the open web hold 5 to 15 % dead links."""
USUAL_MOST = 0.5
"""No higher share is ever taken for usual."""
EXCESS = 0.15
"""More than three standard deviations of a window's share, where 15 % are usual."""
RISE, FALL = 1 / 4, 1 / 4


class Congestion:
    """A limit between a floor and `most`, moved once a window of outcomes.

    A high share of time-outs alone proves nothing: an old table may be half dead links, and fewer
    connections would not revive one. So a window is held against the share that is usual for the
    table, and a clear excess shrinks the limit. An excess that goes away with the shrinking was
    ours. One that is still there at the floor, where hardly any line can be overcharged, is the
    table's own: only there does the usual share rise, and then the limit grows again. Were it to
    rise anywhere else, a slowly worsening line would be got used to step by step.
    """

    def __init__(self, most: int, start: int = START) -> None:
        self.most = most
        self.floor = min(FLOOR, most)
        self.limit = max(min(start, most), self.floor)
        self.generation = 0
        """Counts the decreases. Requests that began before one tell of the limit before it."""
        self.usual = USUAL
        self._outcomes = 0
        self._late = 0
        self._full = False

    def observe(self, generation: int, late: bool, full: bool) -> None:
        """Take note of a request's end.

        `generation` is the one in which it began, `late` whether it timed out, `full` whether all
        the connections were in use: a limit that nobody reaches is no reason to raise it.
        """
        if generation != self.generation:
            return
        self._outcomes += 1
        self._late += late
        self._full |= full
        if self._outcomes >= max(WINDOW, self.limit):
            self._judge(self._late / self._outcomes)
            self._outcomes, self._late, self._full = 0, 0, False

    def _judge(self, share: float) -> None:
        at_floor = self.limit == self.floor
        if share > self.usual + EXCESS:
            self.limit = max(self.floor, int(self.limit * SHRINK))
            self.generation += 1
        elif self._full:
            self.limit = min(self.most, self.limit + max(1, min(STEP, self.limit // 4)))
        if share < self.usual:
            self.usual += (share - self.usual) * FALL
        elif at_floor:
            self.usual = min(self.usual + (share - self.usual) * RISE, USUAL_MOST)
