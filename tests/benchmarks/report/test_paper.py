"""The paper's tables: the published numbers agree with each other and with the zoo, and measured ones beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow
from tests.benchmarks.reporting import rich_report
from yolox_deploy.benchmarks import BenchReport
from yolox_deploy.benchmarks.report.paper import figure_points, paper_notes, paper_tables, published
from yolox_deploy.benchmarks.report.tables import ABSENT, Table
from yolox_deploy.models import ZOO


@pytest.fixture
def report(make_row: MakeRow, make_report: MakeReport) -> BenchReport:
    return rich_report(make_row, make_report)


def line(table: Table, method: str, measured: str = ABSENT) -> dict[str, str]:
    """The one row of `method` beside `measured`, by column."""
    place = table.columns.index("measured")
    (found,) = [row for row in table.rows if row[0] == method and row[place] == measured]
    return dict(zip(table.columns, found, strict=True))


def test_the_tables_of_the_issue_are_there_with_their_source() -> None:
    source, tables = published()
    assert "arXiv:2107.08430" in source
    assert [(table.number, len(table.rows)) for table in tables] == [(2, 8), (3, 8), (4, 5), (6, 18)]
    for table in tables:
        for row in table.rows:
            assert set(row) <= {*table.columns, "method", "model", "series", "backbone", "size"}


def test_every_model_of_the_zoo_is_published_with_the_figures_that_the_zoo_has() -> None:
    rows = [row for table in published()[1] for row in table.rows if "model" in row]
    assert {row["model"] for row in rows} == set(ZOO)
    for row in rows:
        early = ZOO[row["model"]].published[-1]
        assert row["AP"] in (early.ap_val, early.ap_test_dev)
        if "latency_ms" in row:
            assert row["latency_ms"] == early.latency_ms
        if "params_m" in row:
            assert (row["params_m"], row["gflops"]) == (early.params_m, early.gflops)


def test_published_latency_and_frames_per_second_agree() -> None:
    two, three, _, six = published()[1]
    for row in two.rows:
        assert 1000 / row["latency_ms"] == pytest.approx(row["fps"], abs=0.1)
    latencies = {row["method"]: row["latency_ms"] for row in three.rows}
    both = [row for row in six.rows if row["method"] in latencies]
    assert len(both) == 6
    for row in both:
        assert 1000 / row["fps"] == pytest.approx(latencies[row["method"]], abs=0.05)


def test_figure_1_has_each_detector_once() -> None:
    points = figure_points()
    series = {point.series for point in points}
    assert {"YOLOX", "YOLOv5", "EfficientDet", "PP-YOLOv2", "DarkNet53"} <= series
    assert len({(point.latency_ms, point.ap) for point in points}) == len(points)
    assert [p.ap for p in points if p.series == "YOLOX"] == [39.6, 46.4, 50.0, 51.2]


def test_a_measured_row_stands_beside_its_published_one(report: BenchReport) -> None:
    two, three, four, six = paper_tables(report)
    own = line(three, "YOLOX-S", "yolox_s openvino bf16")
    mean = report.rows[1].headline.summary.mean
    assert (own["AP %"], own["AP % here"], own["ms"]) == ("39.6", ABSENT, "9.8")
    assert own["ms host"] == f"{mean:.1f} ({mean / 9.8:.3g}×)"
    assert own["params M here"] == "8.97 (0.996×)"
    nano = line(four, "YOLOX-Nano", "yolox_nano onnxruntime fp32")
    assert (nano["AP %"], nano["AP % here"]) == ("25.3", "25.4 (+0.1)")
    assert nano["ms host"] == f"{report.rows[0].headline.summary.mean:.1f}"
    assert line(two, "+SimOTA")["ms host"] == ABSENT
    assert line(six, "YOLOX-L")["FPS"] == "69.0"


def test_struck_rows_stay_struck(report: BenchReport) -> None:
    four = paper_tables(report)[2]
    assert [four.rows[index][1] for index in four.struck] == ["yolox_nano ncnn fp16 (struck out)"]


def test_device_times_have_a_column_of_their_own(report: BenchReport) -> None:
    row = report.rows[1]
    timed = replace(row, scopes={**row.scopes, "device": row.scopes["host"]})
    own = line(paper_tables(replace(report, rows=(timed,)))[1], "YOLOX-S", row.subject.label)
    assert own["ms device"] == own["ms host"]
    assert "ms device" not in paper_tables(report)[1].columns


@pytest.mark.parametrize("change", [{"input_size": (416, 416)}, {"batch": 4}, {"model": "unknown"}])
def test_other_sizes_batches_and_models_are_not_held_against_the_paper(
    report: BenchReport, change: dict[str, Any]
) -> None:
    row = report.rows[1]
    other = replace(report, rows=(replace(row, subject=replace(row.subject, **change)),))
    assert not any(row.subject.label in cells for table in paper_tables(other) for cells in table.rows)
    assert any(text.startswith(f"not in the tables: {row.subject.label}") for text in paper_notes(other))


def test_notes_say_that_the_protocols_differ(report: BenchReport, make_report: MakeReport) -> None:
    text = "\n".join(paper_notes(report))
    assert all(part in text for part in ("another protocol", "no V100", "79 pictures"))
    assert "AP was not measured" in "\n".join(paper_notes(make_report()))
