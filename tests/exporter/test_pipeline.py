"""Export: a file with proof under the final name, or nothing."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.conftest import Told
from yolox_deploy import Artifact, Detector, cli, export
from yolox_deploy.benchmarks.plan import PlanOptions, plan_models
from yolox_deploy.class_names import default_class_names
from yolox_deploy.cli.export import parity_rows
from yolox_deploy.converters import Source
from yolox_deploy.converters.base import TARGETS
from yolox_deploy.errors import CheckpointError, GateError, InputError, UsageError, YoloxDeployError
from yolox_deploy.exporter.numbers import RAW_TOLERANCE
from yolox_deploy.exporter.source_model import RANDOM_WEIGHTS, SourceModel, load_source_model
from yolox_deploy.models.fusion import fuse
from yolox_deploy.runtimes import open_runtime
from yolox_deploy.synthetic.scenes import CLASS_NAMES


def test_the_description_is_in_the_file_and_tells_its_origin(
    nano_artifact: Artifact, nano_weights: Path
) -> None:
    info = nano_artifact.info
    with open_runtime(nano_artifact.path) as runtime:
        assert runtime.artifact == info
    assert (info.model, info.input_size, info.batch) == ("yolox_nano", (480, 640), 1)
    assert (info.boxes, info.precision, info.format, info.origin) == ("raw", "fp32", "onnx", "metadata")
    assert info.class_names == CLASS_NAMES
    assert info.weights_sha256 == hashlib.sha256(nano_weights.read_bytes()).hexdigest()
    assert {"yolox-deploy", "torch", "onnx", "numpy"} <= set(info.versions)


def test_the_proof_is_in_the_description(nano_artifact: Artifact) -> None:
    parity = nano_artifact.parity
    assert parity == nano_artifact.info.parity
    assert parity["verified"] is True
    assert parity["passed"] is True
    assert 0 < parity["max_error_boxes"] < RAW_TOLERANCE
    assert 0 < parity["max_error_scores"] < 1e-4
    assert parity["photographs"] == 3


def test_nothing_but_the_file_is_left(nano_onnx: Path) -> None:
    assert list(nano_onnx.parent.iterdir()) == [nano_onnx]


def test_stem_and_normalisation_are_folded(nano_onnx: Path) -> None:
    graph = onnx.load(str(nano_onnx)).graph
    kinds = {node.op_type for node in graph.node}
    assert not {"Slice", "BatchNormalization", "Gather", "Loop"} & kinds
    first = next(node for node in graph.node if node.op_type == "Conv")
    weights = next(tensor for tensor in graph.initializer if tensor.name == first.input[1])
    assert tuple(weights.dims) == (16, 3, 6, 6)


def test_options_of_the_graph_are_proven_and_recorded(flexible_onnx: Path) -> None:
    with open_runtime(flexible_onnx) as runtime:
        info = runtime.artifact
    assert info is not None
    assert info.parity is not None
    assert info.parity["batches"] == [1, 3]
    assert (info.batch, info.boxes, info.input_size) == (None, "decoded", (64, 96))
    assert (info.input.layout, info.input.dtype) == ("NHWC", "uint8")
    assert info.class_names == ("cat", "dog", "bird")
    assert info.weights_sha256 is None
    assert info.details["weights"] == "random"


def test_a_detector_obeys_the_options_of_the_graph(flexible_onnx: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (50 + 30 * i, 80, 3), np.uint8) for i in range(3)]
    with Detector(flexible_onnx, conf=0.0, max_detections=20, threads=1) as detector:
        together = detector.predict_batch(images)
        for image, found in zip(images, together, strict=True):
            alone = detector.predict(image)
            np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
            assert 0 < len(found) <= 20  # boxes in the padding vanish
            assert (found.boxes[:, 2:] <= [image.shape[1], image.shape[0]]).all()


@pytest.fixture
def quick_export(nano_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports start from the graph of `nano_artifact` instead of tracing the network again."""

    def make_source(source_model: SourceModel, *_: Any) -> Source:
        return Source(fuse(source_model.network), nano_artifact.path, nano_artifact.info)

    monkeypatch.setattr("yolox_deploy.exporter.pipeline._make_source", make_source)


@pytest.mark.usefixtures("quick_export")
def test_a_failed_gate_exits_5_and_keeps_the_old_file(
    nano_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "nano.onnx"
    out.write_bytes(b"the file of yesterday")
    for limit in ("RAW_TOLERANCE", "ROUNDINGS"):  # no two libraries round alike
        monkeypatch.setattr(f"yolox_deploy.exporter.numbers.{limit}", 0.0)
    arguments = ["export", "yolox_nano", "--weights", str(nano_weights), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["yolox-deploy", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 5
    said = capsys.readouterr().err
    assert "differs too much from PyTorch and was not kept: " in said
    assert "(limits: max_error 0" in said
    assert "{" not in said
    assert out.read_bytes() == b"the file of yesterday"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("quick_export")
def test_a_file_without_proof_says_so(nano_weights: Path, tmp_path: Path) -> None:
    told = Told()
    artifact = export(None, weights=nano_weights, out=tmp_path / "nano.onnx", verify=False, report=told)
    assert artifact.parity == {"verified": False, "reason": "skipped on request (--no-verify)"}
    assert "comparing with PyTorch" not in told.steps
    with open_runtime(artifact.path) as runtime:
        assert runtime.artifact == artifact.info


@pytest.mark.usefixtures("quick_export")
def test_an_export_replaces_the_file_of_before(nano_weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "nano.onnx"
    out.write_bytes(b"the file of yesterday")
    assert export("yolox_nano", weights=nano_weights, out=out).parity["passed"] is True
    assert list(tmp_path.iterdir()) == [out]


def test_openvino_and_ncnn_files_of_one_model_keep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both formats keep their weights in a `.bin`."""
    monkeypatch.chdir(tmp_path)
    options = {"weights": "scenes", "imgsz": 64, "verify": False}
    paths = [export(None, to, **options).path for to in ("openvino", "ncnn")]
    assert [path.name for path in paths] == ["yolox_nano.xml", "yolox_nano.ncnn.param"]
    with pytest.raises(UsageError, match=r"yolox_nano\.bin belongs to yolox_nano\.xml.*--out"):
        export(None, "ncnn", out="yolox_nano.param", **options)
    grey = np.full((64, 64, 3), 114, np.uint8)
    for path in paths:
        with Detector(path, threads=1) as detector:
            detector.predict(grey)


@pytest.mark.usefixtures("quick_export")
def test_accuracy_is_compared_where_annotations_are_given(
    scene_data: dict[str, Path], nano_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "nano.onnx"
    parity = export("yolox_nano", weights=nano_weights, out=out, **scene_data).parity
    assert parity["passed"] is True
    assert parity["photographs"] == 6
    assert 0.5 < parity["ap"] == pytest.approx(parity["ap_reference"], abs=0.0005)
    assert parity_rows(parity)[-1][0].startswith("AP (PyTorch")
    again = {"data": scene_data["annotations"].parent.parent, "split": "val"}
    other = export("yolox_nano", weights=nano_weights, out=out, **again).parity
    assert (other["ap"], other["photographs"]) == (parity["ap"], 6)
    monkeypatch.setattr(
        "yolox_deploy.exporter.gate.AP_LOSS", {"fp32": -0.1}
    )  # asks for more than the checkpoint has
    out.write_bytes(b"the file of yesterday")
    with pytest.raises(GateError, match="ap_reference"):
        export("yolox_nano", weights=nano_weights, out=out, **scene_data)
    assert out.read_bytes() == b"the file of yesterday"


def test_int8_is_calibrated_on_the_training_split(
    scene_data: dict[str, Path], nano_weights: Path, tmp_path: Path
) -> None:
    data = scene_data["annotations"].parent.parent
    options = {"int8": True, "imgsz": (96, 128), "verify": False, "weights": nano_weights}
    made = export("yolox_nano", out=tmp_path / "a.onnx", data=data, **options)
    by_folder = export("yolox_nano", out=tmp_path / "b.onnx", calib=data / "train", **options)
    assert made.info.precision == "int8"
    assert made.path.stat().st_size == pytest.approx(by_folder.path.stat().st_size, rel=1e-3)
    with pytest.raises(UsageError, match="--int8 needs pictures"):
        export("yolox_nano", out=tmp_path / "c.onnx", **options)


@pytest.mark.usefixtures("quick_export")
def test_accuracy_is_compared_whatever_the_checkpoint_is_called(
    scene_data: dict[str, Path], nano_weights: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "best_ckpt.pth.tar"
    weights.symlink_to(nano_weights)
    out = tmp_path / "out" / "nano.onnx"
    assert export("yolox_nano", weights=weights, out=out, **scene_data).parity["passed"] is True
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_accuracy_of_random_weights_is_refused_before_any_work(
    scene_data: dict[str, Path], tmp_path: Path
) -> None:
    told = Told()
    with pytest.raises(UsageError, match="random weights have no accuracy"):
        export("yolox_nano", weights="random", out=tmp_path / "a.onnx", report=told, **scene_data)
    assert told.steps == ["loading the weights"]


def test_suppression_in_the_graph_is_evaluated_at_its_own_overlap(
    scene_data: dict[str, Path], nano_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nms.onnx"
    parity = export("yolox_nano", weights=nano_weights, out=out, nms=True, conf=0.01, **scene_data).parity
    assert parity["passed"] is True
    assert parity["detections"] > 20
    assert 0.5 < parity["ap"] == pytest.approx(parity["ap_reference"], abs=0.0005)


@pytest.mark.parametrize("name", ["source.onnx", "source"])
def test_the_file_may_be_called_as_the_graph_it_is_made_from(tmp_path: Path, name: str) -> None:
    to, out = ("onnx", tmp_path / name) if name.endswith(".onnx") else ("openvino", tmp_path / f"{name}.xml")
    artifact = export("yolox_nano", to, weights="random", imgsz=64, out=out)
    assert artifact.parity["passed"] is True
    assert artifact.path.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "tensorflow"}, r"no target 'tensorflow'; expected --to onnx"),
        ({"fp16": True, "int8": True}, "choose one precision; --fp16 and --int8 were given"),
        ({"int8": True}, "--int8 needs pictures to calibrate on: add --calib DIR"),
        ({"imgsz": 100}, "nearest sizes are 96x96 and 128x128"),
        ({"imgsz": (64, 90)}, "nearest sizes are 64x64 and 64x96"),
        ({"imgsz": 0}, "does not work"),
        ({"imgsz": "416"}, "imgsz is '416'; expected numbers"),
        ({"conf": 0.5}, "--conf would have no effect: .* only with --nms"),
        ({"iou": 0.5, "max_detections": 10}, "--iou and --max-detections would have no effect"),
        ({"workspace_mib": 64}, "--workspace-mib would have no effect with --to onnx"),
        ({"to": "openvino", "max_batch": 4}, "--max-batch would have no effect with --to openvino"),
        ({"compute_capability": (8, 6)}, r"--compute-capability .* TensorRT engines only"),
        ({"batch": 0}, "the batch is 0; expected a number from 1"),
        ({"batch": -1}, "the batch is -1"),
        ({"batch": "2"}, "the batch is '2'"),
        ({"unit8_input": True}, "unknown option of an export 'unit8_input'.*did you mean 'uint8_input'"),
        ({"precision": "fp16"}, "unknown option of an export 'precision'"),
        ({"annotations": "a.json"}, "add --images DIR"),
        ({"data": "set", "annotations": "a.json"}, "--data names a whole data set: give it alone"),
        ({"data": "set", "images": "."}, "--data names a whole data set: give it alone"),
        ({"out": "nano.xml"}, r"--to onnx writes \.onnx files; --out is nano\.xml"),
        ({"out": "."}, r"--out: \. is a folder; expected the name of a file"),
        ({"model": "yolox_nono"}, "did you mean yolox_nano"),
        ({"model": None}, "random weights need the name of a model"),
        ({"model": None, "weights": None}, "name a model .* or give --weights"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        export(**{"model": "yolox_nano", "weights": RANDOM_WEIGHTS, **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_a_target_lacks_is_refused_with_the_targets_that_have_it(target: Any, tmp_path: Path) -> None:
    lacking = [name for name in ("fp16", "bf16", "int8") if name not in target.precisions]
    flags = {"decode": {"decode": True}, "nms": {"nms": True}, "uint8_input": {"uint8_input": True}}
    refused: list[dict[str, Any]] = [{name: True, "calib": tmp_path} for name in lacking]
    refused += [options for flag, options in flags.items() if flag not in target.flags]
    refused += [{"batch": None}] if "dynamic_batch" not in target.flags else []
    for options in refused:
        with pytest.raises(UsageError, match=r"Targets (with|that do)"):
            export("yolox_nano", target.name, weights=RANDOM_WEIGHTS, out=tmp_path / "never", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_pictures_is_found_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture at"):
        export("yolox_nano", weights=RANDOM_WEIGHTS, images=tmp_path / "none", out=tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("weights", "names", "size"),
    [
        ("nano_weights", CLASS_NAMES, (480, 640)),
        ("nameless_weights", default_class_names(80), (416, 416)),
    ],
)
def test_a_checkpoint_names_its_own_model(
    request: pytest.FixtureRequest, weights: str, names: tuple[str, ...], size: tuple[int, int]
) -> None:
    subject = load_source_model(None, request.getfixturevalue(weights), None)
    assert subject.network.config.name == "yolox_nano"
    assert not subject.network.training
    assert (subject.class_names, subject.input_size) == (names, size)


def test_a_checkpoint_is_used_at_the_size_it_was_trained_at(tmp_path: Path) -> None:
    weights = load_source_model("yolox_nano", RANDOM_WEIGHTS, None).network.state_dict()
    path = tmp_path / "trained.pth"
    torch.save({"model": weights, "config": {"imgsz": [64, 96]}}, path)
    artifact = export(None, weights=path, verify=False, out=tmp_path / "trained.onnx")
    assert artifact.info.input_size == (64, 96)
    with Detector(path) as detector:
        assert detector.info.artifact.input_size == (64, 96)
    plan = plan_models(PlanOptions(("yolox_nano",), weights=path, backends=("torch",), precisions=("fp32",)))
    assert plan.candidates[0].runtime_options["imgsz"] == (64, 96)
    assert export(None, weights=path, imgsz=64, verify=False, out=tmp_path / "a.onnx").info.input_size == (
        64,
        64,
    )


@pytest.mark.parametrize(
    ("model", "names", "error"),
    [("yolox_tiny", None, CheckpointError), ("yolox_nano", ("cat", "dog"), UsageError)],
)
def test_weights_that_do_not_fit_are_refused(
    nano_weights: Path, model: str, names: tuple[str, ...] | None, error: type[YoloxDeployError]
) -> None:
    with pytest.raises(error):
        load_source_model(model, nano_weights, names)


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_source_model("yolox_nano", tmp_path / "none.pth", None)


def test_random_weights_are_the_same_each_time() -> None:
    first, second = (
        load_source_model("yolox_nano", RANDOM_WEIGHTS, None).network.state_dict() for _ in range(2)
    )
    assert all((first[key] == second[key]).all() for key in first)


def test_the_proof_as_a_table(nano_artifact: Artifact) -> None:
    rows = parity_rows(nano_artifact.parity)
    assert rows[0][0] == "compared with PyTorch float32"
    assert [row[2] for row in rows[1:]] == [RAW_TOLERANCE] * 2
    assert parity_rows({"verified": False, "reason": "asked"}) == [("not compared", "asked", None)]
