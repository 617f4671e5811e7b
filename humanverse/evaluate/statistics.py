"""Mean and covariance of features as they come, so that features need not be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Of n features of width W, in double precision."""

    count: int
    mean: Floats
    """(W,)"""
    scatter: Floats
    """(W, W), the sum of outer products of what each feature is off the mean."""

    @classmethod
    def none(cls, width: int) -> Statistics:
        """Of nothing yet."""
        return cls(0, np.zeros(width), np.zeros((width, width)))

    @property
    def covariance(self) -> Floats:
        """(W, W), unbiased.

        Raises:
            DataError: of fewer than two features there is none.
        """
        if self.count < 2:
            raise DataError(f"{self.count} pictures have no covariance: 2 or more are wanted")
        return self.scatter / (self.count - 1)

    def and_of(self, features: NDArray[np.floating]) -> Statistics:
        """With those of further features (n, W).

        Batches are put together about their own means (Chan et al. 1983): sums of squares would
        lose the digits in which large features differ.

        Raises:
            DataError: a feature is not finite.
        """
        if not len(features):
            return self
        new = np.asarray(features, np.float64)
        if not np.isfinite(new).all():
            raise DataError("features are not finite: are these the right weights?")
        mean = new.mean(0)
        off, step = new - mean, mean - self.mean
        count = self.count + len(new)
        between = np.outer(step, step) * (self.count * len(new) / count)
        return Statistics(
            count, self.mean + step * (len(new) / count), self.scatter + off.T @ off + between
        )
