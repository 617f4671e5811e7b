"""What a simulated run tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run that was not made."""

    wall: float
    """Seconds until the last commit."""
    commits: list[float]
    """When each unit was committed, ascending."""
    busy: dict[str, float]
    """Share of the time in which a pool's workers had something in hand; of driver and store too,
    where there are any.
    """
    redone: int
    """Units whose work was lost with a node, and done again."""
    between: float
    """Share of the time in which a wave was being started and nothing could run."""
    draining: float = 0.0
    """Share of the time in which the first pool had nothing left to begin in its wave."""

    @property
    def idle(self) -> dict[str, float]:
        """The rest."""
        return {name: 1 - share for name, share in self.busy.items()}

    @property
    def limit(self) -> str:
        """What it waits for: the busiest of pools, driver and store, or waves that begin or end."""
        return max([*self.busy, "waves"], key=self._share)

    @property
    def units_a_second(self) -> float:
        """Over the whole run."""
        return len(self.commits) / self.wall if self.wall else 0.0

    @property
    def steady(self) -> float:
        """Units a second between the first and the last tenth of the commits."""
        if len(self.commits) < 10:
            return self.units_a_second
        low, high = len(self.commits) // 10, len(self.commits) * 9 // 10
        span = self.commits[high] - self.commits[low]
        return (high - low) / span if span > 0 else self.units_a_second

    def _share(self, name: str) -> float:
        return self.between + self.draining if name == "waves" else self.busy[name]


def spread_of(runs: list[Simulated]) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of the time that runs take."""
    low, high = np.percentile([run.wall for run in runs], [2.5, 97.5])
    return float(low), float(high)
