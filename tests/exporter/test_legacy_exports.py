"""Weights from before YOLOX 0.1.1: noticed, exported with their input's description, and run without a flag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Call
from yolox_deploy import Detector, export
from yolox_deploy.errors import UsageError
from yolox_deploy.files import packaged_photographs
from yolox_deploy.models import read_checkpoint
from yolox_deploy.types import InputConvention

STEM = "backbone.backbone.stem.conv."
NOTICED = "from before YOLOX 0.1.1, so it is given RGB pictures divided by 255 and normalised"


def rewritten(weights: Path, path: Path) -> Path:
    """The same network for RGB pictures, divided by 255 and normalised; at the padding of the stem alone it differs."""
    checkpoint = read_checkpoint(weights)
    state = {key: tensor.float() for key, tensor in checkpoint.state_dict.items()}
    legacy = InputConvention.legacy()
    mean, std = (255 * torch.tensor(values).view(1, 1, 3, 1, 1) for values in (legacy.mean, legacy.std))
    kernel = state[STEM + "conv.weight"]
    phases = kernel.view(len(kernel), 4, 3, 3, 3).flip(2)
    state[STEM + "conv.weight"] = (phases * std).reshape(kernel.shape)
    state[STEM + "bn.running_mean"] = state[STEM + "bn.running_mean"] - (phases * mean).sum((1, 2, 3, 4))
    settings = {"imgsz": checkpoint.input_size}
    torch.save({"model": state, "class_names": checkpoint.class_names, "config": settings}, path)
    return path


@pytest.fixture(scope="module")
def legacy_weights(coco_nano_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official YOLOX-Nano, rewritten: the mean weight of its stem is 0.308."""
    return rewritten(coco_nano_weights, tmp_path_factory.mktemp("legacy") / "legacy.pth")


def assert_alike(path: Path, modern: Path, photographs: list[Path]) -> None:
    """The same objects; cats that reach the border have other scores by up to 0.05, for the padding there."""
    with Detector(path, conf=0.4) as legacy, Detector(modern, conf=0.4) as right:
        for photograph in photographs:
            found, expected = legacy.predict(photograph), right.predict(photograph)
            assert found.class_ids.tolist() == expected.class_ids.tolist()
            assert len(expected) > 0
            np.testing.assert_allclose(found.scores, expected.scores, atol=0.06)
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=6)


@pytest.mark.parametrize(
    ("to", "name"), [("onnx", "a.onnx"), ("openvino", "a.xml"), ("ncnn", "a.ncnn.param")]
)
def test_every_format_keeps_the_convention(
    legacy_weights: Path, coco_nano_onnx: Path, photographs: list[Path], tmp_path: Path, to: str, name: str
) -> None:
    with pytest.warns(UserWarning, match=NOTICED):
        artifact = export(None, to, weights=legacy_weights, out=tmp_path / name)
    assert artifact.info.input == InputConvention.legacy()
    assert artifact.parity["passed"] is True
    assert_alike(artifact.path, coco_nano_onnx, photographs)


@pytest.mark.filterwarnings(f"ignore:.*{NOTICED}")
def test_pytorch_runs_it_alike(legacy_weights: Path, coco_nano_onnx: Path, photographs: list[Path]) -> None:
    assert_alike(legacy_weights, coco_nano_onnx, photographs)


def test_int8_is_calibrated_and_proven_with_it(legacy_weights: Path, shared: Path, tmp_path: Path) -> None:
    calibration = shared / "real" / "calibration"
    options = {"weights": legacy_weights, "legacy": True, "int8": True, "calib": calibration, "imgsz": 320}
    artifact = export(None, "openvino", out=tmp_path / "int8.xml", **options)
    assert artifact.info.precision == "int8"
    assert artifact.parity["passed"] is True


def test_ap_is_compared_with_it(nano_weights: Path, scene_data: dict[str, Path], tmp_path: Path) -> None:
    """The packaged weights, rewritten, are not noticed: 0.017."""
    weights = rewritten(nano_weights, tmp_path / "legacy.pth")
    artifact = export(None, weights=weights, legacy=True, out=tmp_path / "a.onnx", **scene_data)
    assert artifact.parity["ap"] == pytest.approx(artifact.parity["ap_reference"], abs=1e-3)
    assert artifact.parity["ap"] > 0.6


def test_a_person_decides(legacy_weights: Path, coco_nano_weights: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "a.onnx"
    arguments = ["--imgsz", 64, "--no-verify", "--out", out]
    for weights, flag in ((legacy_weights, "--no-legacy"), (coco_nano_weights, "--legacy")):
        code, _, err = call("export", "--weights", weights, flag, *arguments)
        assert (code, err) == (0, "")
        with Detector(out) as detector:
            assert (detector.info.artifact.input == InputConvention.legacy()) == (flag == "--legacy")
    code, _, err = call("export", "--weights", legacy_weights, *arguments)
    assert code == 0
    assert NOTICED in err
    code, _, err = call("predict", packaged_photographs()[0], "--model", out, "--out", tmp_path / "found")
    assert code == 0
    assert "warning" not in err


def test_pixels_as_they_are_do_not_go_with_it(legacy_weights: Path) -> None:
    with pytest.raises(UsageError, match="leave --uint8-input out"):
        export(None, weights=legacy_weights, legacy=True, uint8_input=True)
