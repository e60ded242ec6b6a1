"""From files to a report: rows, accuracy beside speed, throughput, tuning, tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow, samples
from tests.conftest import Told
from yolox_deploy import Detector
from yolox_deploy.benchmarks import BenchReport, Protocol, bench, tune
from yolox_deploy.benchmarks.accuracy import Truth, hold
from yolox_deploy.benchmarks.pictures import from_folder, generated
from yolox_deploy.benchmarks.report.results import Accuracy, Samples
from yolox_deploy.benchmarks.report.tables import Note, notes, tables
from yolox_deploy.benchmarks.rows import complexity, unique_labels
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.benchmarks.stats import Comparison, Interval
from yolox_deploy.benchmarks.throughput import ThroughputOptions, run_throughput
from yolox_deploy.benchmarks.tuning import choose, is_accurate
from yolox_deploy.benchmarks.ways import ways
from yolox_deploy.errors import GateError, InputError, MissingExtraError, UsageError
from yolox_deploy.tuned import TunedOpening, read_tuned, tuned_opening, tuned_path, write_tuned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures and `truth.json`, which names one box in each."""
    path = tmp_path_factory.mktemp("pictures")
    images = generated(6, 2).images
    for index, image in enumerate(images):
        cv2.imwrite(str(path / f"{index}.png"), image)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 64, "width": 96} for i in range(6)],
        "categories": [{"id": i + 1, "name": f"class_{i}"} for i in range(3)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
            for i in range(6)
        ],
    }
    (path / "truth.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def report(toy: Path, protocol: Protocol, folder: Path) -> BenchReport:
    """The toy with two numbers of threads, with accuracy."""
    truth = folder / "truth.json"
    return bench(toy, protocol=protocol, threads=(1, 2), images=folder, annotations=truth, peaks=False)


def test_a_report_describes_the_file_the_machine_and_the_run(report: BenchReport, toy: Path) -> None:
    subject = report.rows[0].subject
    assert (subject.backend, subject.precision, subject.input_size) == ("onnxruntime", "fp32", (64, 96))
    assert subject.bytes == toy.stat().st_size
    assert [row.subject.threads for row in report.rows] == [1, 2]
    assert len({row.subject.label for row in report.rows}) == 2
    assert [state.moment for state in report.environment.states] == ["before", "during", "after"]
    assert report.overhead_us is not None
    assert report.image_decoding is not None


def test_a_model_of_the_zoo_is_measured_by_its_name(
    protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    found = bench(
        "yolox_nano",
        protocol=protocol,
        backends=["torch"],
        precisions=["fp32"],
        imgsz=64,
        startup=False,
        peaks=False,
        throughput=True,
        batches=[2],
        streams=[1],
    )
    [row] = found.rows
    assert (row.subject.model, row.subject.input_size, row.subject.batch) == ("yolox_nano", (64, 64), 1)
    assert [(one.mode, one.batch) for one in found.throughput] == [("batch", 2), ("streams", 1)]


@pytest.mark.parametrize("models", [[], ["a.onnx", "yolox_nano"]])
def test_files_and_names_are_not_mixed(models: list[str]) -> None:
    with pytest.raises(UsageError, match="expected model files, or names of the zoo"):
        bench(models)


def test_a_baseline_of_another_protocol_is_refused_before_anything_is_measured(
    toy: Path, protocol: Protocol, report: BenchReport
) -> None:
    told = Told()
    with pytest.raises(UsageError, match="cannot be compared"):
        bench(toy, protocol=replace(protocol, conf=0.01), baseline=report, report=told)
    assert told.steps == []


def test_only_the_later_rows_have_a_ratio(report: BenchReport) -> None:
    first, second = report.rows
    assert (first.ratios, first.ratio_to, second.ratio_to) == ({}, None, first.subject.label)
    assert first.reference_loop == second.reference_loop
    assert set(second.ratios) == {"host", "e2e"}


def test_loading_and_the_first_inference_come_from_another_process(report: BenchReport) -> None:
    start = report.rows[0].startup
    assert None not in (start.import_ms, start.load_ms, start.first_ms)
    assert start.load_ms is not None
    assert start.load_ms > 0


def test_accuracy_stands_in_the_row_and_is_held_against_float32(report: BenchReport) -> None:
    first, second = report.rows
    assert first.accuracy is not None
    assert second.accuracy is not None
    assert (first.accuracy.images, first.accuracy.reference) == (6, None)
    assert second.accuracy.reference == first.subject.label


def test_too_few_pictures_are_named_in_the_row(toy: Path, protocol: Protocol, folder: Path) -> None:
    wide = replace(protocol, images=64)
    found = bench(toy, protocol=wide, images=folder, startup=False, peaks=False)
    assert "6 distinct pictures; the protocol asks for 64" in found.rows[0].warnings


def test_a_row_that_lost_accuracy_is_struck_out(make_row: MakeRow) -> None:
    float32 = make_row(fields={"accuracy": Accuracy({"AP": 0.40}, 79)})
    int8 = make_row(fields={"accuracy": Accuracy({"AP": 0.385}, 79)}, precision="int8", label="int8")
    other = make_row(fields={"accuracy": Accuracy({"AP": 0.10}, 79)}, model="yolox_s", precision="int8")
    rows = [float32, int8, other]
    assert hold(int8, rows, 0.01).rejected
    assert not hold(int8, rows, 0.02).rejected
    assert not hold(float32, rows, 0.01).rejected
    assert not hold(other, rows, 0.01).rejected


def test_annotations_need_pictures(folder: Path) -> None:
    with pytest.raises(UsageError, match="--images"):
        Truth.of(None, folder / "truth.json", 0.01)
    assert Truth.of(folder, None, 0.01) is None


def test_a_slow_row_tells_how_few_samples_it_has(toy: Path, protocol: Protocol) -> None:
    """At one iteration a round the eight rounds that statistics need come before the pictures are through."""
    slow = replace(protocol, rounds=24, iterations=8, images=20)
    (row,) = bench(toy, protocol=slow, startup=False, peaks=False).rows
    assert "8 distinct pictures; the protocol asks for 20" in row.warnings
    assert any(text.startswith("8 samples; the protocol plans 24 rounds") for text in row.warnings)


def test_percentiles_that_samples_cannot_tell_are_dashes(make_report: MakeReport, make_row: MakeRow) -> None:
    few = Samples((10.0,) * 8, 1)
    report = make_report(replace(make_row(), scopes={"host": few, "e2e": few}))
    host = tables(report)[0]
    cells = dict(zip(host.columns, host.rows[0], strict=True))
    assert [cells[name] for name in ("p50", "p90", "p95", "p99", "count")] == ["10.00", "–", "–", "–", "8"]
    assert report.to_dict()["rows"][0]["scopes"]["host"]["summary"]["p99"] is None


def test_json_tells_what_was_struck_out(make_report: MakeReport, make_row: MakeRow, tmp_path: Path) -> None:
    bad = make_row(fields={"accuracy": Accuracy({"AP": 0.1}, 9, "toy", 0.3)}, label="bad")
    report = make_report(make_row(), bad)
    rows = report.to_dict()["rows"]
    assert [row["struck_out"] for row in rows] == [False, True]
    assert rows[1]["accuracy"]["passed"] is False
    assert BenchReport.load(report.save(tmp_path / "report.json")) == report
    replace(report, rows=report.rows[:1]).check_accuracy()
    with pytest.raises(GateError, match="bad"):
        report.check_accuracy()


@pytest.mark.parametrize("broken", ["library", "file", "content", "picture"])
def test_accuracy_that_cannot_be_measured_is_refused_before_anything_is(
    toy: Path, protocol: Protocol, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    truth, images = folder / "truth.json", folder
    if broken == "library":
        monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    elif broken == "picture":
        images = tmp_path
    else:
        truth = tmp_path / "truth.json"
        if broken == "content":
            truth.write_text("[]")
    told = Told()
    with pytest.raises((InputError, MissingExtraError), match=r"eval\]|truth.json"):
        bench(toy, protocol=protocol, images=images, annotations=truth, report=told)
    assert told.steps == []


def test_generated_pictures_are_distinct_and_the_same_for_a_seed() -> None:
    first, second = generated(64, 5), generated(64, 5)
    assert all(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    assert len({image.tobytes() for image in first.images}) == 64
    assert "64 generated" in first.description


def test_generated_pictures_hold_objects(coco_nano_onnx: Path) -> None:
    with Detector(coco_nano_onnx) as detector:
        found = [len(detector.predict(image)) for image in generated(12, 20210718).images]
    assert sum(count > 0 for count in found) >= 9


def test_a_folder_gives_evenly_spread_pictures(folder: Path, tmp_path: Path) -> None:
    found = from_folder(folder, 3)
    assert len(found.images) == len(found.decoding_ms) == 3
    assert len(from_folder(folder, 64).images) == 6
    with pytest.raises(InputError):
        from_folder(tmp_path, 3)


def test_parameters_and_gflops_are_counted(toy: Path) -> None:
    parameters, gflops = complexity("yolox_nano", 80, (416, 416))
    assert parameters == 912159
    assert gflops == pytest.approx(1.05, abs=0.01)
    assert complexity("unknown", 80, (416, 416)) == (None, None)


def test_labels_become_unique_by_what_differs(make_row: MakeRow) -> None:
    subjects = [make_row().subject, make_row(threads=1).subject, make_row(threads=1).subject]
    labels = [subject.label for subject in unique_labels(subjects)]
    assert len(set(labels)) == 3
    assert "1 threads" in labels[1]


def test_throughput_has_rows_of_its_own(toy: Path, toy_model: object, protocol: Protocol) -> None:
    options = ThroughputOptions(batches=(1, 4), streams=(1, 2))
    rows = run_throughput([ModelUnderTest(toy)], protocol, options, generated(4, 1))
    assert [(row.mode, row.batch, row.streams) for row in rows] == [
        ("batch", 1, 1),
        ("streams", 1, 1),
        ("streams", 1, 2),
    ]
    assert all(row.count == len(row.samples.milliseconds) * row.batch for row in rows)
    assert all(row.images_per_second > 0 for row in rows)


def test_a_free_batch_is_measured_at_each_size(tmp_path: Path, toy_model: object, protocol: Protocol) -> None:
    free = toy_model(tmp_path / "free.onnx", batch=None)  # type: ignore[operator]
    rows = run_throughput([ModelUnderTest(free)], protocol, ThroughputOptions((1, 3), (1,)), generated(4, 1))
    assert [(row.mode, row.batch) for row in rows] == [("batch", 1), ("batch", 3), ("streams", 1)]


def ratio(value: float) -> dict[str, dict[str, Comparison]]:
    return {"ratios": {"e2e": Comparison(value, Interval(value, value), True, 24)}}


def test_the_fastest_accurate_row_is_chosen(make_row: MakeRow) -> None:
    slow, fast = make_row(10), make_row(5, fields=ratio(0.5))
    assert choose([slow, fast]) == 1
    unproven = make_row(1, precision="bf16", fields=ratio(0.1))
    assert choose([slow, fast, unproven]) == 1
    proven = make_row(1, precision="bf16", fields=ratio(0.1) | {"parity_passed": True})
    assert choose([slow, fast, proven]) == 2
    inaccurate = make_row(1, fields=ratio(0.1) | {"accuracy": Accuracy({"AP": 0.1}, 9, "toy", 0.3)})
    assert choose([slow, fast, inaccurate]) == 1
    assert choose([inaccurate]) is None


def test_reduced_precision_needs_something_that_its_accuracy_is_held_against(make_row: MakeRow) -> None:
    alone = Accuracy({"AP": 0.01}, 9)
    assert not is_accurate(make_row(precision="int8", fields={"accuracy": alone}))
    assert is_accurate(make_row(precision="int8", fields={"accuracy": alone, "parity_passed": True}))
    assert is_accurate(make_row(precision="int8", fields={"accuracy": Accuracy({"AP": 0.3}, 9, "toy", 0.29)}))
    assert is_accurate(make_row(fields={"accuracy": alone}))


def test_equally_fast_rows_fall_to_the_fewest_threads(make_row: MakeRow) -> None:
    two, one = make_row(10, threads=2), make_row(10.1, threads=1, fields=ratio(1.01))
    assert choose([two, one]) == 1


def test_tuning_keeps_its_choice_for_the_file(
    toy: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    assert read_tuned(toy) is None
    tuned = tune(toy, protocol=protocol, threads=(1,))
    choice = read_tuned(toy)
    assert choice is not None
    assert (choice.path, choice.backend) == (str(toy.resolve()), tuned.row.subject.backend)
    assert len({row.subject.backend for row in tuned.report.rows}) >= 1
    with Detector(toy, backend="auto") as detector:
        assert (detector.info.backend, detector.info.precision) == (
            choice.backend,
            tuned.row.subject.precision,
        )
    assert tuned_opening(toy, {"device": "auto", "threads": None})[2]["threads"] == 1
    assert tuned_opening(toy, {"device": "auto", "threads": 2})[2]["threads"] == 2


def test_auto_opens_the_faster_file_that_was_chosen(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    faster = tmp_path / "faster.onnx"
    faster.write_bytes(toy.read_bytes())
    write_tuned(toy, TunedOpening(str(faster), "onnxruntime", threads=1))
    with Detector(toy, backend="auto") as detector:
        assert detector.info.path == str(faster)
    faster.unlink()
    with Detector(toy, backend="auto") as detector:
        assert detector.info.path == str(toy)


def test_a_chosen_file_that_became_another_model_is_not_opened(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    graph, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    for file in (graph, weights):
        file.write_bytes(b"1")
    write_tuned(toy, TunedOpening(str(graph), "openvino"))
    assert read_tuned(toy) is not None
    weights.write_bytes(b"2")
    assert read_tuned(toy) is None


def test_a_choice_is_for_the_weights_beside_the_graph(tmp_path: Path) -> None:
    graph, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    graph.write_text("<net/>")
    weights.write_bytes(b"1")
    first = tuned_path(graph)
    weights.write_bytes(b"2")
    assert tuned_path(graph) != first
    whole = tmp_path / "model.onnx"  # an OpenVINO export beside it is none of its business
    whole.write_bytes(b"3")
    assert tuned_path(whole).stem.count("_") == 0


def test_a_choice_of_another_machine_does_not_count(
    toy: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    tune(toy, protocol=protocol, threads=(1,))
    file = tuned_path(toy)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"machine": "another"}))
    assert read_tuned(toy) is None


def test_tuning_for_a_cache_that_cannot_be_written_to_measures_nothing(
    toy: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "file"))
    told = Told()
    with pytest.raises(UsageError, match="YOLOX_DEPLOY_CACHE"):
        tune(toy, protocol=protocol, threads=(1,), report=told)
    assert told.steps == []


def test_tuning_without_a_backend_names_the_extra(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"yolox-deploy\[onnxruntime\]"):
        ways([toy])
    with pytest.raises(UsageError, match=r"no backend here opens model\.xyz"):
        ways([Path("model.xyz")])


def test_tuning_without_an_accurate_way_fails(
    toy: Path, protocol: Protocol, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolox_deploy.benchmarks.tuning.choose", lambda rows: None)
    with pytest.raises(GateError, match="--max-ap-drop"):
        tune(toy, protocol=protocol, threads=(1,))


def test_tables_keep_scopes_apart(make_report: MakeReport, make_row: MakeRow) -> None:
    timed = make_row(fields={})
    timed = replace(timed, scopes={**timed.scopes, "device": samples(9)})
    found = tables(make_report(timed, make_row(12, 3)))
    assert [table.title.split(":")[0].split(",")[0] for table in found] == ["host", "e2e", "device", "files"]
    assert found[2].rows[1][1:] == ("–",) * (len(found[2].columns) - 1)
    assert all(len(row) == len(table.columns) for table in found for row in table.rows)


def test_one_reason_is_told_once(make_report: MakeReport, make_row: MakeRow) -> None:
    rows = [make_row(fields={"warnings": ("random weights",)}, label=label) for label in ("one", "two")]
    note = Note("warning", "one, two: random weights")
    assert note in notes(make_report(*rows))
    assert str(note) == "warning: one, two: random weights"


def test_tables_mark_what_was_struck_out(make_report: MakeReport, make_row: MakeRow) -> None:
    bad = make_row(fields={"accuracy": Accuracy({"AP": 0.1}, 9, "toy", 0.3)}, label="bad")
    report = make_report(make_row(), bad)
    assert tables(report)[0].struck == {1}
    assert "bad (struck out)" in tables(report)[0].rows[1][0]
    note = notes(report)[-1]
    assert note.kind == "struck out"
    assert str(note).startswith("struck out: bad: AP 0.1000, at least 0.3000")


def test_mlperf_adds_its_estimate(make_report: MakeReport, make_row: MakeRow) -> None:
    report = make_report(make_row(), protocol=Protocol.mlperf())
    assert "p90 early stop" in tables(report)[0].columns
    assert "p90 early stop" not in tables(make_report(make_row()))[0].columns
