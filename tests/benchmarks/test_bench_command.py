"""`yolox-deploy bench` and `tune` from the command line's side, and the plan of what to measure."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.conftest import Told
from yolox_deploy.benchmarks import BenchReport, Protocol
from yolox_deploy.benchmarks.model_files import pictures_tag
from yolox_deploy.benchmarks.plan import (
    PlanOptions,
    plan_models,
    with_threads,
)
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.benchmarks.ways import usable_entries, variants
from yolox_deploy.cli.bench import bench_command, choose_protocol, parse_share
from yolox_deploy.cli.common import numbers
from yolox_deploy.cli.predict import predict_command
from yolox_deploy.cli.tune import tune_command
from yolox_deploy.errors import GateError, MissingExtraError, RegressionError, UsageError

if TYPE_CHECKING:
    from tests.conftest import ToyModel


def call(command: object, *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module", autouse=True)
def short_protocol(protocol: Protocol) -> Iterator[None]:
    """`--quick` takes a fraction of a second here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Protocol, "quick", classmethod(lambda cls: protocol))
        yield


@pytest.fixture(scope="module")
def saved(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of one quick run."""
    path = tmp_path_factory.mktemp("bench") / "base.json"
    result = call(bench_command, toy, "--quick", "--latency-only", "--out", path)
    assert result.exit_code == 0, result.output
    assert "host" in result.stdout
    return path


def test_a_saved_report_can_be_read(saved: Path) -> None:
    report = BenchReport.load(saved)
    assert report.protocol.name == "quick"
    assert report.rows[0].headline.summary.count >= report.protocol.iterations


def test_json_on_standard_output_has_statistics_but_no_samples(toy: Path) -> None:
    result = call(bench_command, toy, "--quick", "--latency-only", "--json")
    content = json.loads(result.stdout)
    assert set(content["rows"][0]["scopes"]["host"]) == {"block", "summary"}


def test_a_run_slower_than_its_base_ends_with_a_regression(toy: Path, saved: Path, tmp_path: Path) -> None:
    content = json.loads(saved.read_text())
    for row in content["rows"]:
        for samples in row["scopes"].values():
            samples["milliseconds"] = [time / 1000 for time in samples["milliseconds"]]
    base = tmp_path / "faster.json"
    base.write_text(json.dumps(content))
    result = call(bench_command, toy, "--quick", "--latency-only", "--compare", base, "--max-slowdown", "5%")
    assert isinstance(result.exception, RegressionError)
    assert "now over then" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quick", "--mlperf"),
        ("--max-slowdown", "fast"),
        ("--threads", "0"),
        ("--out", "report.exe"),
        ("--models", "nano"),
        ("--backends", "nonsense"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_measured(
    toy: Path, arguments: tuple[str, str]
) -> None:
    assert isinstance(call(bench_command, toy, *arguments).exception, UsageError)


def test_tune_says_what_it_chose(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    result = call(tune_command, toy, "--threads", "1", "--json")
    assert json.loads(result.stdout)["choice"]["path"] == str(toy.resolve())


def test_options_are_parsed() -> None:
    assert (parse_share("5%"), parse_share("0.05"), parse_share("2.5%")) == (0.05, 0.05, 0.025)
    assert numbers("1,2,2,4") == (1, 2, 4)
    assert numbers(None) == ()
    assert choose_protocol(False, False).name == "default"
    assert choose_protocol(False, True).iterations == 1024


def test_the_plan_goes_every_way_that_works_here() -> None:
    found = variants(precisions=("fp32",))
    assert {way.backend for way in found} == {entry.name for entry in usable_entries()}
    assert {way.precision for way in found} == {"fp32"}
    with pytest.raises(UsageError, match="no way to run"):
        variants(("onnxruntime",), ("fp64",))


def test_the_plan_exports_once_and_then_uses_its_cache(
    nano_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    options = PlanOptions(("yolox_nano",), ("onnxruntime",), ("fp32",), weights=nano_weights, imgsz=(64, 64))
    told = Told()
    first = plan_models(options, told)
    again = plan_models(options, told)
    assert [candidate.path for candidate in first.candidates] == [c.path for c in again.candidates]
    assert len(told.steps) == 1
    assert first.candidates[0].path.is_file()


def test_weights_belong_to_one_model(nano_weights: Path) -> None:
    with pytest.raises(UsageError, match="one model"):
        plan_models(PlanOptions(("yolox_nano", "yolox_tiny"), weights=nano_weights))


def test_threads_are_swept_where_they_mean_something(toy: Path) -> None:
    swept = with_threads([ModelUnderTest(toy)], (1, 2))
    assert [candidate.threads for candidate in swept] == [1, 2]
    assert with_threads([ModelUnderTest(toy)], ()) == (ModelUnderTest(toy),)


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_measured(
    toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "report.json", tmp_path / "a.json" / ".." / "a.json"):
        (tmp_path / "a.json").mkdir(exist_ok=True)
        result = call(bench_command, toy, "--quick", "--out", out)
        assert isinstance(result.exception, UsageError)
        assert result.output == ""
    assert (
        call(bench_command, toy, "--quick", "--latency-only", "--out", tmp_path / "new" / "a.md").exit_code
        == 0
    )
    assert (tmp_path / "new" / "a.md").is_file()


def test_throughput_takes_threads_and_files_of_a_fixed_batch(
    toy: Path, toy_model: ToyModel, tmp_path: Path
) -> None:
    four = toy_model(tmp_path / "four.onnx", batch=4)
    arguments = ("--quick", "--latency-only", "--throughput", "--streams", "1", "--threads", "1,2", "--json")
    content = json.loads(call(bench_command, toy, four, *arguments).stdout)
    assert [row["subject"]["batch"] for row in content["rows"]] == [1, 1]
    found = [(row["mode"], row["batch"], row["subject"]["threads"]) for row in content["throughput"]]
    assert found == [
        (mode, size, count) for size in (1, 4) for count in (1, 2) for mode in ("batch", "streams")
    ]
    assert "left out: latency of four.onnx: it takes 4 pictures at a time" in content["warnings"]
    alone = call(bench_command, four, *arguments[:-1])
    assert alone.exit_code == 0, alone.output
    assert "four onnxruntime fp32 batch 4" in alone.stdout
    assert "other programs" not in alone.stdout  # no latency was measured during which they could disturb


def test_a_struck_out_row_ends_with_code_5_after_the_figures(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolox_deploy.benchmarks.rows._proof", lambda one: False)
    out = tmp_path / "report.json"
    result = call(bench_command, toy, "--quick", "--latency-only", "--json", "--out", out)
    assert isinstance(result.exception, GateError)
    assert json.loads(result.stdout)["rows"][0]["struck_out"] is True
    assert out.is_file()


def test_the_comparison_tells_its_verdict_and_what_is_missing(toy: Path, saved: Path, tmp_path: Path) -> None:
    content = json.loads(saved.read_text())
    gone = json.loads(json.dumps(content["rows"][0]))
    gone["subject"] |= {"label": "gone", "precision": "int8"}
    content["rows"].append(gone)
    base = tmp_path / "base.json"
    base.write_text(json.dumps(content))
    arguments = (toy, "--quick", "--latency-only", "--compare", base, "--max-slowdown", "10000%")
    result = call(bench_command, *arguments)
    assert result.exit_code == 0, result.output
    assert "within the limit" in result.stdout
    assert "only in the saved report, not compared: gone" in result.stdout
    strict = call(bench_command, *arguments, "--strict", "--json")
    assert isinstance(strict.exception, RegressionError)
    told = json.loads(strict.stdout)
    assert told["missing"] == ["gone"]
    assert told["comparison"][0]["verdict"] == "within the limit"


def test_a_report_without_a_common_row_is_still_shown_and_written(
    toy: Path, saved: Path, tmp_path: Path
) -> None:
    content = json.loads(saved.read_text())
    content["rows"][0]["subject"]["precision"] = "int8"
    (tmp_path / "base.json").write_text(json.dumps(content))
    out = tmp_path / "out.json"
    result = call(
        bench_command, toy, "--quick", "--latency-only", "--compare", tmp_path / "base.json", "--out", out
    )
    assert isinstance(result.exception, UsageError)
    assert "host memory to host memory" in result.stdout
    assert out.is_file()


def test_what_an_extra_would_mend_ends_with_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"yolox-deploy\[export\]"):
        plan_models(PlanOptions())
    monkeypatch.setattr("yolox_deploy.benchmarks.ways.usable_entries", lambda names=None: [])
    with pytest.raises(MissingExtraError, match=r"yolox-deploy\[onnxruntime\]"):
        plan_models(PlanOptions())


def test_int8_of_other_pictures_is_another_file(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"1")
    first = pictures_tag(tmp_path)
    assert pictures_tag(tmp_path) == first
    picture.write_bytes(b"22")
    second = pictures_tag(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"1")
    assert len({first, second, pictures_tag(tmp_path)}) == 3


@pytest.fixture(scope="module")
def labelled(toy: Path, tmp_path_factory: pytest.TempPathFactory, photographs: list[Path]) -> Path:
    """YOLO text of what the model itself finds in two photographs, as the training split."""
    folder = tmp_path_factory.mktemp("labelled") / "set"
    options = ["--model", toy, "--no-images", "--save-txt", folder]
    result = call(predict_command, *photographs[:2], *options)
    assert result.exit_code == 0, result.output
    return folder


def test_ap_is_measured_on_a_data_set_of_any_format(toy: Path, labelled: Path, tmp_path: Path) -> None:
    options = ["--data", labelled, "--split", "all", "--json"]
    result = call(bench_command, toy, "--quick", "--latency-only", *options)
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["rows"][0]
    assert row["accuracy"]["figures"]["AP"] == pytest.approx(1)
    assert row["accuracy"]["images"] == 2
    assert row["subject"]["images"] == "2 pictures of labelled0/set"
    file = tmp_path / "toy.onnx"
    file.write_bytes(toy.read_bytes())
    result = call(tune_command, file, "--threads", "1", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["choice"]["figures"]["AP"] == pytest.approx(1)


def test_a_split_that_no_data_set_has_is_refused(toy: Path, labelled: Path) -> None:
    result = call(bench_command, toy, "--quick", "--data", labelled, "--split", "best")
    assert isinstance(result.exception, UsageError)
    assert "expected train, val, test, all" in str(result.exception)
