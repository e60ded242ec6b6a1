"""A report with everything in it that a reader must see, for the tests of its written forms."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.conftest import MakeReport, MakeRow, samples
from yolox_deploy.benchmarks import BenchReport
from yolox_deploy.benchmarks.machine.facts import Gpu, MachineState, Peak
from yolox_deploy.benchmarks.report.results import Accuracy, Row, Startup, ThroughputRow
from yolox_deploy.benchmarks.stats import Comparison, Interval

NASTY = '<script>alert("x")</script> | a_b* & `c`'
"""A text that breaks every format that does not escape it."""


def rich_report(make_row: MakeRow, make_report: MakeReport) -> BenchReport:
    """Five rows: AP measured, published AP, a failed gate, no AP (int8), and hostile texts; and throughput."""
    rows = _rows(make_row)
    report = make_report(*rows, command=f"yolox-deploy bench '{NASTY}'", overhead_us=0.7)
    states = (
        MachineState("before", load_average=0.1, gpu_mhz=1380.0),
        MachineState("during", load_average=1.9, gpu_mhz=900.0, gpu_throttling=("power cap",)),
    )
    environment = replace(
        report.environment,
        gpus=(Gpu(0, "Some GPU", "535", 16384.0, "7.0"),),
        states=states,
        peaks=(Peak(300.0, "fp32", 1024, 2, "numpy"),),
    )
    throughput = ThroughputRow(rows[0].subject, "streams", 1, 2, 90.0, 3.0, 270, samples(20))
    warnings = ("a GPU was throttled during the run: power cap", f"left out: {NASTY}")
    return replace(report, environment=environment, throughput=(throughput,), warnings=warnings)


def _rows(make_row: MakeRow) -> list[Row]:
    accuracy = {"AP": 0.254, "AP50": 0.41, "AP75": 0.26, "APs": 0.1, "APm": 0.28, "APl": 0.39}
    size, ratio = (640, 640), Comparison(0.56, Interval(0.55, 0.57), True, 24)
    nano = make_row(
        12.0,
        fields={
            "accuracy": Accuracy(accuracy, 79),
            "startup": Startup(250.0, 40.0, 30.0, 180.0, 90.0),
            "achieved_gflops": 88.0,
            "peak_share": 0.29,
        },
        label="yolox_nano onnxruntime fp32",
        input_size=(416, 416),
        weights="official",
        parameters=910_000,
        gflops=1.08,
    )
    official = make_row(
        88.0,
        1,
        {"ratios": {"host": ratio}, "ratio_to": nano.subject.label, "steady": False},
        label="yolox_s openvino bf16",
        model="yolox_s",
        backend="openvino",
        precision="bf16",
        input_size=size,
        weights="official",
        parameters=8_968_255,
        gflops=26.8,
    )
    failed = make_row(
        9.0,
        2,
        {"accuracy": Accuracy({"AP": 0.11}, 79, nano.subject.label, 0.244)},
        label="yolox_nano ncnn fp16",
        backend="ncnn",
        precision="fp16",
        input_size=(416, 416),
        weights="official",
    )
    quantised = make_row(
        40.0,
        3,
        label="yolox_s openvino int8",
        model="yolox_s",
        backend="openvino",
        precision="int8",
        input_size=size,
        weights="official",
    )
    hostile = make_row(
        20.0, 4, {"warnings": ("unsteady: " + NASTY,)}, label=NASTY, model="unknown", path=NASTY
    )
    return [nano, official, failed, quantised, hostile]
