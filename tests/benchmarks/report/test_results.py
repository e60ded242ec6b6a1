"""The report: JSON and back without loss, refusals, what is struck out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow, samples
from yolox_deploy.benchmarks import BenchReport, compare
from yolox_deploy.benchmarks.machine.facts import Gpu, MachineState, Peak
from yolox_deploy.benchmarks.report.results import Accuracy, Startup, ThroughputRow
from yolox_deploy.benchmarks.stats import Comparison, Interval
from yolox_deploy.errors import InputError
from yolox_deploy.models import ZOO

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def full_report(make_report: MakeReport, make_row: MakeRow) -> BenchReport:
    """A report with a value in every field."""
    ratio = Comparison(1.25, Interval(1.2, 1.3), True, 24)
    fields = {
        "ratios": {"host": ratio},
        "ratio_to": "toy",
        "reference_loop": samples(1),
        "steady": False,
        "openings": 3,
        "warnings": ("unsteady",),
        "startup": Startup(1.0, 2.0, 3.0, 4.0, 5.0),
        "accuracy": Accuracy({"AP": 0.31}, 79, "toy", 0.30),
        "parity_passed": True,
        "achieved_gflops": 100.0,
        "peak_share": 0.5,
    }
    row = make_row(fields=fields, parameters=1000, gflops=1.5, details={"providers": ["CPU"], "n": 1})
    report = make_report(row, make_row(12, 3))
    environment = replace(
        report.environment,
        gpus=(Gpu(0, "V100", "535", 16384.0, "7.0"),),
        states=(MachineState("before", gpu_throttling=("power cap",)), MachineState("after", cpu_mhz=2600.0)),
        busy_elsewhere=0.1,
        stolen=0.0,
        peaks=(Peak(300.0, "fp32", 1024, 2, "numpy"),),
    )
    throughput = ThroughputRow(row.subject, "streams", 1, 2, 90.0, 3.0, 270, samples(20))
    return replace(
        report,
        environment=environment,
        throughput=(throughput,),
        image_decoding=samples(4),
        overhead_us=0.7,
        warnings=("busy",),
    )


def test_json_round_trip_loses_nothing(full_report: BenchReport, tmp_path: Path) -> None:
    assert BenchReport.load(full_report.save(tmp_path / "deep" / "report.json")) == full_report
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.json"]


def test_json_repeats_the_statistics_for_readers(full_report: BenchReport) -> None:
    host = full_report.to_dict()["rows"][0]["scopes"]["host"]
    assert host["summary"]["p50"] == full_report.rows[0].headline.summary.p50
    assert len(host["milliseconds"]) == host["summary"]["count"]


def test_stored_statistics_are_never_believed(full_report: BenchReport, tmp_path: Path) -> None:
    content = full_report.to_dict()
    content["rows"][0]["scopes"]["host"]["summary"]["p50"] = 1e-9
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    assert BenchReport.load(file).rows[0].headline.summary == full_report.rows[0].headline.summary


def break_schema(content: dict[str, Any]) -> None:
    content["schema_version"] = 99


def break_name(content: dict[str, Any]) -> None:
    content["schema"] = "another/thing"


def break_type(content: dict[str, Any]) -> None:
    content["rows"][0]["scopes"]["host"]["block"] = "five"


def break_field(content: dict[str, Any]) -> None:
    del content["environment"]["cpu"]


def break_row(content: dict[str, Any]) -> None:
    content["rows"][0] = []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (break_schema, "schema version 99"),
        (break_name, "no benchmark report"),
        (break_type, "damaged"),
        (break_field, "damaged"),
        (break_row, "damaged"),
    ],
)
def test_what_is_no_report_is_refused(
    full_report: BenchReport, tmp_path: Path, damage: Any, told: str
) -> None:
    content = full_report.to_dict()
    damage(content)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=told):
        BenchReport.load(file)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '"text"'])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(InputError, match="report"):
        BenchReport.load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json"):
        BenchReport.load(tmp_path / "gone.json")


def test_unknown_fields_of_a_later_minor_version_are_left_out(
    full_report: BenchReport, tmp_path: Path
) -> None:
    content = full_report.to_dict() | {"mood": "good"}
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    assert BenchReport.load(file) == full_report


@pytest.mark.parametrize(
    ("fields", "struck"),
    [
        ({}, False),
        ({"parity_passed": True}, False),
        ({"parity_passed": False}, True),
        ({"accuracy": Accuracy({"AP": 0.29}, 79, "toy", 0.30)}, True),
        ({"accuracy": Accuracy({"AP": 0.30}, 79, "toy", 0.30)}, False),
        ({"accuracy": Accuracy({"AP": 0.01}, 79)}, False),
    ],
)
def test_a_failed_gate_strikes_the_row_out(make_row: MakeRow, fields: dict[str, Any], struck: bool) -> None:
    assert make_row(fields=fields).rejected is struck


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "data").glob("bench-*.json")), ids=lambda path: path.name
)
def test_the_reports_in_the_docs_can_be_read_and_compared(path: Path) -> None:
    report = BenchReport.load(path)
    assert {row.subject.model for row in report.rows} == set(ZOO)
    assert all(not change.is_regression(0.0) for change in compare(report, report).changes)
