"""Networks that the zoo does not have: exported, opened and compared like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Call
from yolox_deploy import Detector, export
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.evaluation import coco_ap
from yolox_deploy.exporter.source_model import load_source_model
from yolox_deploy.images import load_image
from yolox_deploy.models import ModelConfig, build_model
from yolox_deploy.models.model_config import Architecture

OWN = ModelConfig("mine", 0.67, 0.125, depthwise=True, activation="relu")
NAMES = ("ball", "cup", "fish", "key", "leaf", "star")


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare state dict of `OWN`, of six classes."""
    path = tmp_path_factory.mktemp("own") / "own.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(build_model(OWN, 6).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("model", "stated", "name"),
    [
        (None, {}, "yolox_d0.67_w0.125_dw"),
        (None, {"activation": "relu"}, "yolox_d0.67_w0.125_dw_relu"),
        (None, {"depth": 0.67, "width": 0.125, "depthwise": True}, "yolox_d0.67_w0.125_dw"),
        ("yolox_d0.67_w0.125_dw_relu", {}, "yolox_d0.67_w0.125_dw_relu"),
        (OWN, {}, "mine"),
    ],
)
def test_an_own_network_is_exported(
    own_weights: Path, tmp_path: Path, model: Any, stated: dict[str, Any], name: str
) -> None:
    options = {"weights": own_weights, "imgsz": 64, "class_names": NAMES, **stated}
    artifact = export(model, out=tmp_path / "own.onnx", **options)
    assert (artifact.info.model, artifact.parity["passed"]) == (name, True)


@pytest.mark.parametrize("to", ["openvino", "ncnn"])
def test_other_formats_take_relu(own_weights: Path, tmp_path: Path, to: str) -> None:
    out = tmp_path / {"openvino": "own.xml", "ncnn": "own.ncnn.param"}[to]
    artifact = export(None, to, weights=own_weights, activation="relu", imgsz=64, out=out)
    assert artifact.parity["passed"] is True


def test_the_activation_is_a_part_of_the_function(nano_weights: Path) -> None:
    """Nothing in a state dict tells it; with the wrong one raw boxes are off by more than they are large."""
    image = torch.rand(1, 3, 64, 64).mul(255).numpy()
    right, wrong = (
        load_source_model(None, nano_weights, None, Architecture(activation=name)).run(image)[..., :4]
        for name in ("silu", "lrelu")
    )
    assert abs(right - wrong).max() > abs(right).mean()


@pytest.mark.parametrize(
    ("stated", "error", "message"),
    [
        ({"depth": 1.0}, CheckpointError, "looks like yolox_d0.67_w0.125_dw with 6 classes.*no name, depth"),
        ({"depthwise": False}, CheckpointError, "looks like yolox_d0.67_w0.125_dw"),
        ({"activation": "gelu"}, UsageError, "the activation is 'gelu'; expected silu, lrelu, relu"),
        ({"width": 9.0}, UsageError, r"the width is 9; expected 0\.0625 to 4"),
    ],
)
def test_what_contradicts_the_weights_is_refused(
    own_weights: Path, stated: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(None, weights=own_weights, **stated)


def test_random_weights_of_a_stated_network(tmp_path: Path, call: Call) -> None:
    stated = ["--depth", 0.67, "--width", 0.125, "--depthwise", "--activation", "lrelu"]
    out = tmp_path / "own.onnx"
    code, printed, err = call("export", *stated, "--weights", "random", "--imgsz", 64, "--out", out)
    assert (code, err) == (0, "")
    assert "yolox_d0.67_w0.125_dw_lrelu, onnx fp32, 64x64" in printed
    code, _, err = call("export", "--depth", 0.67, "--weights", "random")
    assert code == 2
    assert "--depth and --width" in err


def test_a_detector_and_its_evaluation_take_it(own_weights: Path, scene_data: dict[str, Path]) -> None:
    options = {"imgsz": (64, 64), "activation": "relu"}
    with Detector(own_weights, override={"class_names": NAMES}, runtime_options=options) as detector:
        assert detector.info.artifact.model == "yolox_d0.67_w0.125_dw_relu"
        assert coco_ap(detector, *scene_data.values())["AP"] >= 0


def test_the_ap_of_an_own_network_is_compared(
    own_weights: Path, scene_data: dict[str, Path], tmp_path: Path
) -> None:
    options = {"weights": own_weights, "class_names": NAMES, "activation": "relu", "imgsz": 64}
    artifact = export(None, out=tmp_path / "own.onnx", **options, **scene_data)
    assert artifact.parity["ap"] == pytest.approx(artifact.parity["ap_reference"], abs=1e-4)


def test_notes_and_doubts_are_told(own_weights: Path, tmp_path: Path, call: Call) -> None:
    weights = torch.load(own_weights, weights_only=True)
    path = tmp_path / "ddp.pth"
    torch.save({f"module.{key}": value for key, value in weights.items()}, path)
    arguments = ["export", "--weights", path, "--imgsz", 64, "--no-verify", "--out", tmp_path / "a.onnx"]
    code, _, err = call(*arguments)
    assert code == 0
    assert err == f"warning: {path}: 'module.' was taken off all names\n"


def test_whose_names_were_given_is_printed(nameless_weights: Path, tmp_path: Path, call: Call) -> None:
    arguments = ["--weights", nameless_weights, "--imgsz", 64, "--no-verify", "--out", tmp_path / "a.onnx"]
    code, printed, err = call("export", *arguments)
    assert (code, err) == (0, "")
    assert "class names: COCO's 80, as the checkpoint names none; --names FILE gives others" in printed


@pytest.mark.parametrize(
    ("to", "name"), [("onnx", "a.onnx"), ("openvino", "a.xml"), ("ncnn", "a.ncnn.param")]
)
@pytest.mark.parametrize(("channels", "order"), [(1, "GRAY"), (4, "BGRA")])
def test_stems_of_other_channels(
    photographs: list[Path], tmp_path: Path, to: str, name: str, channels: int, order: str
) -> None:
    """Named by the size alone, as by a person who does not know; what they read is told."""
    weights = tmp_path / "grey.pth"
    torch.save(build_model(f"yolox_nano@0.125_{channels}ch", 6).state_dict(), weights)
    with pytest.warns(UserWarning, match=f"it reads {channels} channel"):
        artifact = export("yolox_nano@0.125", to, weights=weights, imgsz=64, out=tmp_path / name)
    assert artifact.parity["passed"] is True
    assert artifact.info.input.color_order == order
    with pytest.warns(UserWarning, match=f"it reads {channels} channel"):
        reference = Detector(weights, conf=0, runtime_options={"imgsz": (64, 64)})
    with reference, Detector(artifact.path, conf=0) as detector:
        picture = load_image(photographs[0])
        if channels == 4:
            picture = np.dstack((picture, picture[..., 1]))
        found, expected = detector.predict(picture), reference.predict(picture)
        np.testing.assert_allclose(found.scores[:20], expected.scores[:20], atol=1e-4)


def test_a_grey_network_takes_pixels_as_they_are(tmp_path: Path) -> None:
    options = {"weights": "random", "uint8_input": True, "imgsz": 64, "class_names": NAMES}
    artifact = export("yolox_nano@0.125_1ch", out=tmp_path / "a.onnx", **options)
    assert artifact.parity["passed"] is True
    assert (artifact.info.input.layout, artifact.info.input.channels) == ("NHWC", 1)
