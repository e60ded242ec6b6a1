"""A benchmark report replayed as the latencies of a stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolox_deploy.benchmarks import BenchReport, clock_from_report
from yolox_deploy.errors import InputError, UsageError

BENCH = Path(__file__).resolve().parents[3] / "docs" / "data" / "bench-2core-avx2.json"


def test_a_benchmark_is_replayed() -> None:
    clock = clock_from_report(BENCH, label="yolox_nano openvino fp32", seed=1)
    [row] = [row for row in BenchReport.load(BENCH).rows if row.subject.label == "yolox_nano openvino fp32"]
    assert clock.latencies == tuple(ms / 1000 for ms in row.scopes["e2e"].milliseconds)
    assert clock.expected * 1000 == pytest.approx(row.scopes["e2e"].summary.mean)
    host = clock_from_report(BENCH, label="yolox_nano openvino fp32", scope="host")
    assert host.expected * 1000 == pytest.approx(row.headline.summary.mean)


def test_a_row_that_is_not_meant_by_one_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0 rows for .*yolox_nano openvino fp32"):
        clock_from_report(BENCH, label="yolox_nano tensorrt fp16")
    with pytest.raises(UsageError, match=r"7 rows for .*'backend': 'ncnn'"):
        clock_from_report(BENCH, backend="ncnn", precision="fp32")
    with pytest.raises(UsageError, match="it has host, e2e"):
        clock_from_report(BENCH, label="yolox_nano ncnn fp32", scope="device")
    with pytest.raises(InputError, match="no benchmark report"):
        clock_from_report(tmp_path / "none.json")
