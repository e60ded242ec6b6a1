"""The tables of an ablation, from results that are known; and the latencies of two trained rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yolox_deploy.benchmarks import Protocol
from yolox_deploy.benchmarks.roadmap.report import convergence, gather, measure_latencies, tables, to_markdown
from yolox_deploy.benchmarks.roadmap.runs import Run, RunResult, plan_runs
from yolox_deploy.models import build_model

CHANGES = {"imgsz": (64, 64), "epochs": 2}
ROWS = ("yolov3_baseline", "decoupled_head", "end_to_end_decoupled", "large_mixup")


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return plan_runs(ROWS, [0, 1], tmp_path, tmp_path / "out", width=0.0625, changes=CHANGES)


def result(run: Run, ap: float) -> RunResult:
    seed = run.config.seed
    curve = [(1, ap / 2), (2, ap)] if seed == 0 else [(2, ap)]
    return RunResult(run.row, seed, {"AP": ap, "AP50": 2 * ap}, curve, 2, 4, 1.0, {})


def test_means_and_spreads_over_the_seeds(runs: list[Run]) -> None:
    aps = {"yolov3_baseline": (0.10, 0.14), "decoupled_head": (0.2,), "end_to_end_decoupled": (0.15,)}
    results = [
        result(run, aps[run.row][run.config.seed])
        for run in runs
        if run.config.seed < len(aps.get(run.row, ()))
    ]
    rows = gather(runs, results, 3, {"yolov3_baseline@0.0625": 1.234})
    assert [row.row for row in rows] == list(ROWS[:3])
    first, second = rows[:2]
    assert (first.seeds, first.ap, first.ap_spread) == (
        (0, 1),
        pytest.approx(0.12),
        pytest.approx(0.0283, abs=1e-4),
    )
    assert (second.ap_spread, second.latency_ms) == (None, None)
    assert first.curve == ((2, pytest.approx(0.12)),), "the epochs that both seeds were evaluated after"
    table_2, table_1 = tables(rows)
    assert table_2.rows[0][:3] == ("YOLOv3 baseline", "12.0 ± 2.8", "24.0")
    assert table_2.rows[0][5:] == ("1.23", "38.5", "63.0", "157.3", "10.5")
    assert table_2.rows[1][5] == "–"
    assert table_1.rows == (
        ("Vanilla YOLO", "12.0 ± 2.8 (38.5)", "20.0 (39.6)"),
        ("End-to-end YOLO", "– (34.3)", "15.0 (38.8)"),
    )
    heads, everything = convergence(rows).values()
    assert list(heads) == ["coupled head", "decoupled head"]
    assert list(everything) == list(ROWS[:3])
    markdown = to_markdown(rows, ["a note"])
    assert markdown.startswith("**Trends at a small size on this data set, not COCO figures")
    assert markdown.endswith("- a note\n")


def test_table_5_has_the_published_figures(runs: list[Run]) -> None:
    rows = gather(runs, [result(run, 0.1) for run in runs if run.row == "large_mixup"], 3, {})
    (table,) = tables(rows)
    assert table.rows[0][0] == "YOLOX-L, [0.1, 2.0], MixUp"
    assert table.rows[0][1] == "10.0 ± 0.0"
    assert table.rows[0][6:] == ("49.5", "–", "–", "–")


def test_every_architecture_is_timed_once(tmp_path: Path) -> None:
    rows = ["anchor_free", "simota", "end_to_end_coupled"]
    runs = plan_runs(rows, [0], tmp_path, tmp_path / "out", width=0.0625, changes=CHANGES)
    for run in runs:
        run.config.out.mkdir(parents=True)
        names = ["a", "b", "c"]
        torch.save({"model": build_model(run.config.model, 3).state_dict(), "class_names": names}, run.last)
    protocol = Protocol(name="quick", seconds=0.05, rounds=8, images=2)
    found = measure_latencies(runs, threads=1, protocol=protocol)
    assert found.keys() == {"yolox_darknet53@0.0625", "end_to_end_coupled@0.0625"}
    assert all(0 < milliseconds < 1000 for milliseconds in found.values())
