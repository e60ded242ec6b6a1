"""The benchmark of a training step runs and reports every way and part."""

from __future__ import annotations

from yolox_deploy.benchmarks.studies.training_step import PARTS, Case, make_targets, measure, report


def test_small_run() -> None:
    case = Case("yolox_nano", size=64, batch=2)
    assert make_targets(case).shape == (2, 120, 5)
    medians = measure(case, rounds=1)
    assert list(medians) == ["plain", "float32", "bfloat16"]
    for parts in medians.values():
        assert tuple(parts) == PARTS
        assert all(value > 0 for value in parts.values())
    lines = report(case, medians).splitlines()
    assert lines[3].startswith("| plain |")
    assert "| 1.00 |" in lines[3]
