"""What version 0.1.0 wrote is still read: see `files_0_1_0/README.md`."""

from __future__ import annotations

import csv
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detections, Detector
from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.benchmarks import BenchReport
from yolox_deploy.data.priors import load_priors
from yolox_deploy.errors import YoloxDeployError
from yolox_deploy.exporter.source_model import load_source_model
from yolox_deploy.runtimes.registry import entries
from yolox_deploy.streaming import read_record
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.scenes import CLASS_NAMES
from yolox_deploy.training import recipe
from yolox_deploy.training.recipes import load_toml
from yolox_deploy.tuned import machine, read_tuned

OLD = Path(__file__).with_name("files_0_1_0")
MODELS = {"onnxruntime": "tiny_onnx.onnx", "openvino": "tiny_openvino.xml", "ncnn": "tiny_ncnn.param"}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the old run and ablation, its checkpoints unpacked, beside the data set of both."""
    for name in ("run", "ablation"):
        shutil.copytree(OLD / name, tmp_path / name)
    for packed in (tmp_path / "run").glob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    data = write_scenes(tmp_path / "scenes", train=4, val=2, size=(64, 64))
    result = tmp_path / "ablation" / "nms_free-s0" / "result.json"
    content = json.loads(result.read_text())
    content["settings"]["data"] = str(data)
    result.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_found(found: Detections, expected: list[dict[str, object]]) -> None:
    assert [item.class_name for item in found] == [row["class_name"] for row in expected]
    assert found.boxes == pytest.approx(np.array([row["box"] for row in expected]), abs=1e-3)
    assert found.scores == pytest.approx(np.array([row["score"] for row in expected]), abs=1e-5)


@pytest.mark.parametrize("backend", MODELS)
def test_model_files(backend: str) -> None:
    try:
        next(entry for entry in entries() if entry.name == backend).load().probe()
    except YoloxDeployError as error:
        pytest.skip(f"{backend} cannot run here: {error}")
    expected = json.loads((OLD / "detections.json").read_text())["detections"]
    with Detector(OLD / "models" / MODELS[backend], backend=backend, conf=0.3, threads=1) as detector:
        info: ArtifactInfo = detector.info.artifact
        assert_found(detector.predict(OLD / "picture.png"), expected)
    assert (info.origin, info.class_names, info.input_size) == ("metadata", ("cat", "dog"), (64, 64))
    assert (info.weights_sha256, info.versions["yolox-deploy"]) == ("ab" * 32, "0.1.0")
    assert info.parity is not None
    assert info.parity["passed"] is True
    assert len(expected) == 8


def test_a_choice_of_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written on this machine: a choice is for the machine that made it, and names the file's place."""
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    model = OLD / "models" / MODELS["onnxruntime"]
    content = json.loads((OLD / "choice.json").read_text())
    kept = tmp_path / "tuned" / f"{content['content']}.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps(content | {"machine": machine(), "model": str(model), "path": str(model)}))
    choice = read_tuned(model)
    assert choice is not None
    assert (choice.backend, choice.device, choice.threads) == ("openvino", "cpu", 1)
    assert choice.figures == {"e2e_p50_ms": 0.1}


def test_a_benchmark_report() -> None:
    report = BenchReport.load(OLD / "report.json")
    (row,) = report.rows
    assert (row.subject.label, row.subject.input_size) == ("tiny_onnx onnxruntime fp32", (64, 64))
    assert (report.protocol.iterations, report.environment.cpu) == (40, "AMD EPYC")
    content = json.loads((OLD / "report.json").read_text())["rows"][0]
    assert row.headline.summary.p50 == content["scopes"]["host"]["summary"]["p50"]
    assert list(row.phases) == ["pre", "infer", "post"]
    assert not row.rejected
    assert row.reference_loop is not None  # called "yardstick" there


def test_a_record_of_a_stream(tmp_path: Path) -> None:
    record = read_record(OLD / "stream.jsonl")
    assert (record.source, record.policy, record.frames, record.dropped) == ("frames", "every frame", 4, 0)
    assert (record.model["input_size"], record.class_names) == ([64, 64], ("cat", "dog"))
    assert [event.frame for event in record.events] == [0, 1, 2, 3]
    expected = json.loads((OLD / "detections.json").read_text())["detections"]
    assert_found(record.events[0].detections, expected)
    assert record.save(tmp_path / "again.jsonl").read_text() == (OLD / "stream.jsonl").read_text()


def test_priors() -> None:
    priors = load_priors(OLD / "priors.json", (64, 64))
    assert priors.shape == (3, 3, 2)
    assert priors[0, 0].tolist() == [6.0, 5.0]


def test_settings() -> None:
    config = recipe(data=Path("scenes"), **load_toml(OLD / "settings.toml"))
    assert (config.model, config.epochs, config.batch, config.imgsz) == ("yolox_nano", 30, 8, (96, 160))
    assert (config.assigner, config.box_loss, config.iou_aware) == ("simota_release", "giou", True)
    assert (config.learning_rate, config.multiscale) == (0.02, (64, 160))
    assert (config.augmentation.mosaic, config.augmentation.mixup_scale) == (0.25, (0.8, 1.2))


def test_a_checkpoint_is_a_model(beside: Path) -> None:
    subject = load_source_model("yolox_nano@0.0625", beside / "run" / "best.pth", None)
    assert (subject.class_names, subject.input_size) == (CLASS_NAMES, (64, 64))
    assert np.isfinite(subject.run(np.full((1, 3, 64, 64), 114, np.float32))).all()


def test_a_run_goes_on(call: Call, beside: Path) -> None:
    code, out, err = call("train", "--resume", "run", "--epochs", 3, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert (printed["epochs"], printed["last"]) == (3, "run/last.pth")
    with (beside / "run" / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["2", "3"], "counted from 0 there"
    assert rows[0]["total"] == "10.76771212"
    assert float(rows[1]["total"]) > 0


def test_a_finished_ablation(call: Call, beside: Path) -> None:
    chosen = {"rows": "nms_free", "seeds": 0, "width": 0.0625, "imgsz": 64, "epochs": 2, "batch": 2}
    options = [part for name, value in chosen.items() for part in (f"--{name}", value)]
    code, out, err = call(
        "ablate", "--data", "scenes", *options, "--report-only", "--json", "--out", "ablation"
    )
    assert code == 0, err
    printed, old = json.loads(out), json.loads((OLD / "ablation" / "ablation.json").read_text())
    assert printed["rows"] == old["rows"]
    assert printed["rows"][0]["latency_ms"] == pytest.approx(0.225, abs=0.001)
    assert (beside / "ablation" / "ablation.md").is_file()
