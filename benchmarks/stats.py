"""Statistics of latency samples that hold on a noisy machine.

Samples of one run are not independent: clocks, caches and other programs move them together. So comparisons
rest on rounds. In a round every model has one block of consecutive iterations; the median of a block stands
for it, the ratio of two models is taken inside each round, and intervals come from a bootstrap that draws
whole rounds, several neighbours at a time (circular block bootstrap, Politis and Romano 1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
GROUPS = 6
"""Rounds are drawn in so many groups of neighbours: files are opened anew about as often during a run, and
how one opening fell out (placement in memory and on cores) is common to all of its rounds."""

FEWEST_ROUNDS = 8
"""With fewer rounds there is no interval."""

SHOWN_LEVEL = 0.95
SIGNIFICANT_LEVEL = 0.99
MARGIN = 0.01
"""A difference is significant when its 99 % interval keeps away from 1 by this: less helps nobody, and the
same file loaded twice already differs by some tenths of a percent (placement in memory)."""

MLPERF_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Milliseconds, but `cov` (standard deviation over mean), `count` and `fps` (1000 / mean)."""

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float
    cov: float
    count: int
    fps: float

    def supported(self) -> dict[str, float | None]:
        """The figures by name; None for a percentile whose tail holds less than one of the samples.

        p90 takes 10 samples, p95 takes 20, p99 takes 100: below, it would be the slowest sample in disguise.
        """
        fewest = {"p90": 10, "p95": 20, "p99": 100}
        return {
            name: value if self.count >= fewest.get(name, 1) else None for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Comparison:
    """A ratio of times with its 95 % interval; `significant` as `MARGIN` describes."""

    value: float
    interval: Interval
    significant: bool
    rounds: int


def summarize(milliseconds: Sequence[float]) -> Summary:
    """Percentiles (linear between samples), mean, coefficient of variation and FPS of at least one sample."""
    times = np.asarray(milliseconds, np.float64)
    mean = float(times.mean())
    p50, p90, p95, p99 = (float(value) for value in np.percentile(times, [50, 90, 95, 99]))
    return Summary(p50, p90, p95, p99, mean, float(times.std() / mean), len(times), 1000 / mean)


def round_medians(milliseconds: Sequence[float], block: int) -> Floats:
    """The median of each round, (rounds,); a last block that is cut short counts when it is at least half."""
    times = np.asarray(milliseconds, np.float64)
    starts = range(0, max(len(times) - math.ceil(block / 2) + 1, 1), block)
    return np.array([np.median(times[start : start + block]) for start in starts])


def middle(values: Floats, share: float = SHOWN_LEVEL) -> Interval:
    """Where the middle `share` of `values` lies."""
    tail = (1 - share) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))


def early_stopping(milliseconds: Sequence[float], percentile: float = 0.90) -> float | None:
    """MLPerf's early-stopping estimate of a percentile: with 99 % confidence the true one is not above it.

    With n samples, t is the largest count for which P(Binomial(n, 1 - percentile) <= t) <= 1 - 0.99, and the
    estimate is the t-th largest sample. Source: MLPerf inference rules, appendix on early stopping
    (mlcommons/inference_policies, pull request 237), and LoadGen's `early_stopping.cc`. A figure of this
    program is no MLPerf result: those need 600 s and the published rules.

    Returns:
        None with too few samples (fewer than 64 for p90).
    """
    times = np.sort(np.asarray(milliseconds, np.float64))
    count, tail, total, largest = len(times), 1 - percentile, 0.0, 0
    for t in range(count + 1):
        total += math.exp(
            math.lgamma(count + 1)
            - math.lgamma(t + 1)
            - math.lgamma(count - t + 1)
            + t * math.log(tail)
            + (count - t) * math.log(percentile)
        )
        if total > 1 - MLPERF_CONFIDENCE:
            break
        largest = t
    return float(times[count - largest]) if largest >= 1 else None


def paired_ratio(rounds: Floats, base: Floats, *, seed: int, margin: float = MARGIN) -> Comparison | None:
    """Time over base time from round medians of the same run, paired by round; None with too few rounds."""
    count = min(len(rounds), len(base))
    if count < FEWEST_ROUNDS:
        return None
    logs = np.log(rounds[:count]) - np.log(base[:count])
    drawn = center(logs[_resampled(count, seed)])
    return _comparison(float(center(logs)), drawn, count, margin)


def unpaired_ratio(rounds: Floats, base: Floats, *, seed: int, margin: float = MARGIN) -> Comparison | None:
    """Time over base time from round medians of two runs; None with too few rounds."""
    if min(len(rounds), len(base)) < FEWEST_ROUNDS:
        return None
    new, old = np.log(rounds), np.log(base)
    drawn = center(new[_resampled(len(new), seed)]) - center(old[_resampled(len(old), seed + 1)])
    return _comparison(float(center(new) - center(old)), drawn, min(len(new), len(old)), margin)


def center(values: Floats) -> Floats:
    """The mean of the middle half along the last axis: as steady as the median against disturbed rounds,
    and it does not jump between two values when the rounds are few."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1), np.float64)


def _resampled(count: int, seed: int) -> NDArray[np.int64]:
    """(RESAMPLES, count) indices of rounds, in runs of neighbours around a circle."""
    rng = np.random.default_rng(seed)
    length = _neighbours(count)
    starts = rng.integers(0, count, (RESAMPLES, math.ceil(count / length), 1))
    return ((starts + np.arange(length)) % count).reshape(RESAMPLES, -1)[:, :count]


def _neighbours(count: int) -> int:
    """Rounds that are drawn together."""
    return math.ceil(count / GROUPS)


def _widened(level: float, rounds: int) -> float:
    """The share of the bootstrap's draws to take for a true `level`, since few rounds spread too little.

    Hesterberg, "What Teachers Should Know About the Bootstrap" (2015): the expanded percentile interval, here
    for as many independent draws as there are groups of neighbours. The quantile of Student's t is expanded
    in that of the normal distribution (Abramowitz and Stegun 26.7.5).
    """
    draws = rounds / _neighbours(rounds)
    free = draws - 1
    z = NormalDist().inv_cdf((1 + level) / 2)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return 2 * NormalDist().cdf(t * math.sqrt(draws / free)) - 1


def _comparison(log_ratio: float, drawn: Floats, rounds: int, margin: float) -> Comparison:
    wide = middle(drawn, _widened(SIGNIFICANT_LEVEL, rounds))
    shown = middle(drawn, _widened(SHOWN_LEVEL, rounds))
    bound = math.log1p(margin)
    return Comparison(
        value=math.exp(log_ratio),
        interval=Interval(math.exp(shown.low), math.exp(shown.high)),
        significant=wide.low > bound or wide.high < -bound,
        rounds=rounds,
    )
