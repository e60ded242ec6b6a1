"""The regression gate: what is slower, what may not be compared, and files compared with themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow, samples
from yolox_deploy.benchmarks import BenchReport, Protocol, compare
from yolox_deploy.benchmarks.machine.facts import Gpu
from yolox_deploy.benchmarks.report.compare import (
    REGRESSION,
    UNDECIDED,
    WITHIN,
)
from yolox_deploy.benchmarks.stats import paired_ratio, round_medians
from yolox_deploy.errors import RegressionError, UsageError

RECORDED = Path(__file__).parent / "data" / "same_file.json"
TRIES = 100


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    """Sessions recorded on a shared machine with two cores, quiet and busy: one file as several rows each."""
    sessions: list[dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))["sessions"]
    return sessions


def gate(base: BenchReport, new: BenchReport, limit: float = 0.05) -> None:
    compare(base, new).check(limit)


def medians(row: dict[str, Any]) -> np.ndarray:
    return round_medians(row["milliseconds"], row["block"])


def test_the_same_file_in_one_run_never_differs_significantly(recorded: list[dict[str, Any]]) -> None:
    """Every pair of rows of the ten sessions, seeded: 150 tries, none significant, 95 % intervals that hold."""
    pairs = [pair for one in recorded for pair in combinations(one["rows"], 2)]
    found = [paired_ratio(medians(one), medians(two), seed=seed) for seed, (one, two) in enumerate(pairs)]
    assert len(found) >= TRIES
    assert [one for one in found if one is None or one.significant] == []
    inside = sum(one is not None and one.interval.low <= 1 <= one.interval.high for one in found)
    assert inside >= 0.93 * len(found)


def test_a_slower_file_is_found_in_the_same_quiet_recordings(recorded: list[dict[str, Any]]) -> None:
    quiet = min(recorded, key=lambda one: float(one["busy_elsewhere"]))
    first, *others = quiet["rows"]
    for other in others:
        found = paired_ratio(medians(other) * 1.25, medians(first), seed=0)
        assert found is not None
        assert found.significant


def test_a_report_compared_with_itself_passes(make_report: MakeReport, make_row: MakeRow) -> None:
    report = make_report(make_row(fields={"reference_loop": samples(1)}), make_row(12, 5))
    gate(report, report)
    assert [change.ratios["host"].value for change in compare(report, report).changes] == [1, 1]


def test_a_slowdown_beyond_the_limit_ends_with_code_6(make_report: MakeReport, make_row: MakeRow) -> None:
    base, new = make_report(make_row(10, 1)), make_report(make_row(11.5, 2))
    with pytest.raises(RegressionError, match=r"more than 5%.*toy onnxruntime fp32: 1\.1") as caught:
        gate(base, new)
    assert caught.value.exit_code == 6
    gate(base, new, limit=0.25)
    gate(new, base)


def test_a_slowdown_within_the_noise_passes(make_report: MakeReport, make_row: MakeRow) -> None:
    gate(make_report(make_row(10, 1)), make_report(make_row(10.1, 2)), limit=0.0)


def test_a_slower_machine_is_no_regression(make_report: MakeReport, make_row: MakeRow) -> None:
    base = make_report(make_row(10, 1, {"reference_loop": samples(1.0, 3)}))
    slow_machine = make_report(make_row(20, 2, {"reference_loop": samples(2.0, 4)}))
    gate(base, slow_machine)
    slow_code = make_report(make_row(20, 2, {"reference_loop": samples(1.0, 4)}))
    with pytest.raises(RegressionError):
        gate(base, slow_code)


def test_a_busy_machine_is_named(make_report: MakeReport, make_row: MakeRow) -> None:
    base, new = make_report(make_row(10, 1)), make_report(make_row(20, 2))
    busy = replace(new, environment=replace(new.environment, busy_elsewhere=0.4))
    with pytest.raises(RegressionError, match="40%"):
        gate(base, busy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cpu": "Another CPU"}, "processor A CPU then, Another CPU now"),
        ({"usable_cores": 8}, "usable cores 2 then, 8 now"),
        ({"gpus": (Gpu(0, "V100", "535", 16384.0),)}, "GPUs none then, V100 now"),
    ],
)
def test_other_machines_are_refused(
    make_report: MakeReport, make_row: MakeRow, change: dict[str, Any], told: str
) -> None:
    base = make_report(make_row())
    new = replace(base, environment=replace(base.environment, **change))
    with pytest.raises(UsageError, match=told):
        compare(base, new)


def test_other_protocols_are_refused(make_report: MakeReport, make_row: MakeRow) -> None:
    base = make_report(make_row())
    quick = Protocol.quick()
    for protocol in (replace(quick, conf=0.01), replace(quick, version=99), Protocol(), Protocol.mlperf()):
        with pytest.raises(UsageError, match="cannot be compared"):
            compare(base, replace(base, protocol=protocol))


def test_rows_are_matched_by_what_they_measured(make_report: MakeReport, make_row: MakeRow) -> None:
    base = make_report(make_row(10, 1), make_row(20, 2, threads=1))
    new = make_report(make_row(20, 3, threads=1, label="renamed"), make_row(10, 4))
    changes = compare(base, new).changes
    assert [round(change.ratios["host"].value, 1) for change in changes] == [1, 1]
    with pytest.raises(UsageError, match="no row in common"):
        compare(base, make_report(make_row(device="cuda:0")))


def test_a_row_whose_interval_reaches_beyond_the_limit_is_undecided(
    make_report: MakeReport, make_row: MakeRow
) -> None:
    base = make_report(make_row(10, 1))
    (same,) = compare(base, make_report(make_row(10, 2))).changes
    (slower,) = compare(base, make_report(make_row(11.5, 2))).changes
    assert (same.verdict(0.05), slower.verdict(0.05)) == (WITHIN, REGRESSION)
    high = slower.ratios["host"].interval.high - 1
    assert slower.verdict(high - 0.0001) == UNDECIDED
    assert slower.verdict(high + 0.0001) == WITHIN
    assert replace(same, ratios={}, relative={}).verdict(0.05) == UNDECIDED


def test_what_the_reference_loop_explains_is_decided(make_report: MakeReport, make_row: MakeRow) -> None:
    base = make_report(make_row(10, 1, {"reference_loop": samples(1.0, 3)}))
    new = make_report(make_row(20, 2, {"reference_loop": samples(2.0, 4)}))
    (change,) = compare(base, new).changes
    assert change.verdict(0.05) == WITHIN


def test_strict_lets_neither_undecided_nor_vanished_rows_pass(
    make_report: MakeReport, make_row: MakeRow
) -> None:
    base, new = (
        make_report(make_row(10, 1), make_row(5, 2, label="gone", threads=1)),
        make_report(make_row(10, 2)),
    )
    compared = compare(base, new)
    assert compared.missing == ("gone",)
    assert compare(base, base).missing == ()
    compared.check(0.05)
    with pytest.raises(RegressionError, match="only in the base: gone"):
        compared.check(0.05, strict=True)
    nothing_missing = replace(compared, missing=())
    with pytest.raises(RegressionError, match="undecided at 0%: toy onnxruntime fp32"):
        nothing_missing.check(0.0, strict=True)
    nothing_missing.check(0.05, strict=True)


def test_reports_from_before_the_instruction_sets_can_still_be_compared(
    make_report: MakeReport, make_row: MakeRow, tmp_path: Path
) -> None:
    known = make_report(make_row())
    known = replace(known, environment=replace(known.environment, cpu_model="AMD 25 17", isa=("avx2",)))
    content = json.loads(known.save(tmp_path / "new.json").read_text())
    assert BenchReport.load(tmp_path / "new.json") == known
    del content["environment"]["cpu_model"], content["environment"]["isa"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    old = BenchReport.load(tmp_path / "old.json")
    assert len(compare(old, known).changes) == len(compare(known, old).changes) == 1
    other = replace(known, environment=replace(known.environment, cpu_model="AMD 23 1", isa=()))
    with pytest.raises(UsageError, match=r"processor model AMD 25 17 then.*instruction sets avx2 then"):
        compare(known, other)
