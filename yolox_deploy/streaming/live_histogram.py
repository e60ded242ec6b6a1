"""Percentiles of durations over hours, in fixed memory."""

from __future__ import annotations

import math

import numpy as np

SHORTEST, LONGEST = 1e-5, 1e4
"""Seconds; what lies outside is counted in the first or last bin."""
WIDTH = math.log(1.01)
BINS = math.ceil(math.log(LONGEST / SHORTEST) / WIDTH)


class DurationHistogram:
    """Counts of durations in bins 1 % wide on a logarithmic scale, as HdrHistogram keeps them.

    Attributes:
        count: durations added.
        low, high: the shortest and the longest of them, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, 0.0
        self._bins = np.zeros(BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        position = math.log(max(seconds, SHORTEST) / SHORTEST) / WIDTH
        self._bins[min(int(position), BINS - 1)] += 1
        self.count += 1
        self.low, self.high = min(self.low, seconds), max(self.high, seconds)

    def percentile(self, percent: float) -> float | None:
        """Seconds that `percent` (0-100) of the durations do not exceed, within 1 %; None where there is none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        if rank == self.count:
            return self.high
        position = int(np.searchsorted(np.cumsum(self._bins), rank))
        middle = SHORTEST * math.exp((position + 0.5) * WIDTH)
        return min(max(middle, self.low), self.high)
