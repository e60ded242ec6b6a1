"""Statistics of samples: figures, MLPerf's early stopping, ratios with intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolox_deploy.benchmarks.stats import (
    FEWEST_ROUNDS,
    early_stopping,
    middle,
    paired_ratio,
    round_medians,
    summarize,
    unpaired_ratio,
)

ROUNDS = 24


def noisy(seed: int, rounds: int = ROUNDS, spread: float = 0.02) -> np.ndarray:
    """Round medians around 10 ms with a slow drift that rows of one run share."""
    rng = np.random.default_rng(seed)
    return 10 * np.exp(rng.normal(0, spread, rounds))


def test_the_summary_holds_the_usual_figures() -> None:
    found = summarize([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (found.p50, found.mean, found.count) == (3.0, 4.0, 5)
    assert found.fps == 250.0
    assert found.cov == pytest.approx(math.sqrt(10) / 4)
    assert found.p90 <= found.p95 <= found.p99 <= 10.0


def test_nothing_is_clipped() -> None:
    assert summarize([1.0] * 99 + [1000.0]).mean == pytest.approx(10.99)


def test_round_medians_keep_the_order_and_a_last_block_that_is_at_least_half() -> None:
    assert round_medians([1, 2, 3, 10, 11, 12], 3).tolist() == [2, 11]
    assert round_medians([1, 2, 3, 4, 9, 9], 4).tolist() == [2.5, 9]
    assert round_medians([1, 2, 3, 4, 9], 4).tolist() == [2.5]
    assert round_medians([7], 4).tolist() == [7]


def test_the_middle_leaves_the_tails_out() -> None:
    found = middle(np.arange(101.0), 0.90)
    assert (found.low, found.high) == pytest.approx((5.0, 95.0))


def test_early_stopping_needs_64_samples_and_is_then_the_largest() -> None:
    """Known values of LoadGen: 64 queries are the fewest for p90 at 99 % confidence."""
    assert early_stopping(range(63)) is None
    assert early_stopping(range(64)) == 63


@pytest.mark.parametrize("count", [100, 1024, 5000])
def test_early_stopping_is_the_conservative_order_statistic(count: int) -> None:
    """Checked against the binomial distribution summed with exact integers."""
    estimate = early_stopping(range(count))
    assert estimate is not None
    discarded = count - int(estimate)

    def chance(most: int) -> float:
        return sum(math.comb(count, k) * 9 ** (count - k) for k in range(most + 1)) / 10**count

    assert chance(discarded) <= 0.01 < chance(discarded + 1)


def test_early_stopping_is_above_the_plain_percentile() -> None:
    times = np.random.default_rng(0).gamma(9, 1, 1024)
    estimate = early_stopping(times)
    assert estimate is not None
    assert estimate > np.percentile(times, 90)


def test_a_row_compared_with_itself_is_exactly_one() -> None:
    rounds = noisy(0)
    found = paired_ratio(rounds, rounds, seed=0)
    assert found is not None
    assert (found.value, found.interval.low, found.interval.high, found.significant) == (1, 1, 1, False)


def test_a_real_difference_survives_a_drift_that_both_share() -> None:
    drift = np.linspace(1, 3, ROUNDS)
    found = paired_ratio(noisy(1) * drift * 1.1, noisy(2) * drift, seed=0)
    assert found is not None
    assert found.significant
    assert found.interval.low < 1.1 < found.interval.high
    assert found.interval.high / found.interval.low < 1.06


def test_a_difference_below_the_margin_is_not_significant() -> None:
    found = paired_ratio(noisy(1, spread=1e-4) * 1.005, noisy(2, spread=1e-4), seed=0)
    assert found is not None
    assert found.interval.low > 1
    assert not found.significant


def test_disturbed_rounds_do_not_move_the_ratio() -> None:
    slow = noisy(1)
    slow[[3, 9, 17]] *= 8
    found = paired_ratio(slow, noisy(2), seed=0)
    assert found is not None
    assert found.value == pytest.approx(1, abs=0.03)
    assert not found.significant


def test_intervals_hold_what_they_promise() -> None:
    """Of 200 comparisons of equals, the 95 % interval holds 1 in about 190, and hardly any is significant."""
    found = [paired_ratio(noisy(seed), noisy(seed + 1000), seed=seed) for seed in range(200)]
    inside = sum(one is not None and one.interval.low <= 1 <= one.interval.high for one in found)
    assert inside >= 184
    assert sum(one is not None and one.significant for one in found) <= 2


def test_neighbours_that_move_together_widen_the_interval() -> None:
    alone = np.random.default_rng(3).normal(0, 0.02, ROUNDS)
    together = np.repeat(alone[: ROUNDS // 4], 4) * alone.std() / alone[: ROUNDS // 4].std()
    wide, narrow = (
        paired_ratio(10 * np.exp(logs), np.full(ROUNDS, 10.0), seed=0) for logs in (together, alone)
    )
    assert wide is not None
    assert narrow is not None
    assert wide.interval.high - wide.interval.low > narrow.interval.high - narrow.interval.low


def test_too_few_rounds_have_no_ratio() -> None:
    few = noisy(0, FEWEST_ROUNDS - 1)
    assert paired_ratio(few, few, seed=0) is None
    assert unpaired_ratio(few, noisy(0), seed=0) is None


def test_rows_of_two_runs_are_compared_without_pairs() -> None:
    found = unpaired_ratio(noisy(5, 20) * 1.2, noisy(6, 31), seed=0)
    assert found is not None
    assert found.significant
    assert found.value == pytest.approx(1.2, abs=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = (paired_ratio(noisy(1), noisy(2), seed=7) for _ in range(2))
    assert a == b


@pytest.mark.parametrize(
    ("count", "absent"),
    [(8, {"p90", "p95", "p99"}), (10, {"p95", "p99"}), (20, {"p99"}), (99, {"p99"}), (100, set())],
)
def test_percentiles_need_enough_samples(count: int, absent: set[str]) -> None:
    told = summarize([float(value) for value in range(1, count + 1)]).supported()
    assert {name for name, value in told.items() if value is None} == absent
    assert told["count"] == count
