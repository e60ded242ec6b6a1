"""Markdown and CSV: complete, escaped, whole on disk or not there."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow
from tests.benchmarks.reporting import NASTY, rich_report
from yolox_deploy.benchmarks import BenchReport
from yolox_deploy.benchmarks.report.text import write_csv, write_markdown


@pytest.fixture
def report(make_row: MakeRow, make_report: MakeReport) -> BenchReport:
    return rich_report(make_row, make_report)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_line_for_each_row_and_scope(report: BenchReport, tmp_path: Path) -> None:
    path = write_csv(report, tmp_path / "new" / "report.csv")
    lines = read(path)
    assert [(line["label"], line["scope"]) for line in lines] == [
        (row.subject.label, scope) for row in report.rows for scope in ("host", "e2e")
    ]
    assert {file.name for file in path.parent.iterdir()} == {"report.csv", "report.throughput.csv"}


def test_csv_loses_no_digit_and_leaves_out_what_was_not_measured(report: BenchReport, tmp_path: Path) -> None:
    lines = read(write_csv(report, tmp_path / "report.csv"))
    host, e2e, other = lines[:3]
    assert float(host["p50"]) == report.rows[0].headline.summary.p50
    assert (host["AP"], host["load_ms"], host["height"], host["width"]) == ("0.254", "40.0", "416", "416")
    assert host["pre_p50"] == ""
    assert float(e2e["pre_p50"]) > 0
    assert (other["ratio"], other["ratio_low"], other["ratio_significant"]) == ("0.56", "0.55", "True")
    assert other["AP"] == other["load_ms"] == ""
    assert [line["struck_out"] for line in lines[4:6]] == ["True", "True"]
    assert lines[8]["label"] == NASTY


def test_csv_keeps_throughput_apart(report: BenchReport, tmp_path: Path) -> None:
    write_csv(report, tmp_path / "report.csv")
    (line,) = read(tmp_path / "report.throughput.csv")
    assert (line["mode"], line["streams"], line["images_per_second"]) == ("streams", "2", "90.0")


def test_a_report_without_rows_can_be_written(make_report: MakeReport, tmp_path: Path) -> None:
    assert read(write_csv(make_report(), tmp_path / "report.csv")) == []
    assert "# Benchmark" in write_markdown(make_report(), tmp_path / "report.md").read_text(encoding="utf-8")


def test_markdown_tables_are_rectangular_and_escaped(report: BenchReport, tmp_path: Path) -> None:
    text = write_markdown(report, tmp_path / "report.md").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 7, "host, e2e, files, throughput, machine, states, versions"
    for block in blocks:
        columns = {line.replace("\\|", "").count("|") for line in block}
        assert len(columns) == 1
    verbatim = f"    {report.command}\n"
    assert verbatim in text
    assert "<script>" not in text.replace(verbatim, "").replace("\\<script", "")


def test_markdown_strikes_out_and_warns(report: BenchReport, tmp_path: Path) -> None:
    text = write_markdown(report, tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| ~~yolox\\_nano ncnn fp16 (struck out)~~ | ~~" in text
    assert "- **warning: a GPU was throttled during the run: power cap**" in text
    assert "(unsteady)" in text
    assert text.index("**struck out: ") < text.index("## host")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t"])
def test_a_table_for_spreadsheets_holds_no_formula(report: BenchReport, tmp_path: Path, begin: str) -> None:
    first = report.rows[0]
    first = replace(first, subject=replace(first.subject, label=f"{begin}cmd|' /C calc'!A0"))
    lines = read(write_csv(replace(report, rows=(first,)), tmp_path / "report.csv"))
    assert lines[0]["label"] == f"'{begin}cmd|' /C calc'!A0"
