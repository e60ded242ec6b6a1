"""Networks of one's own in training: by TOML, --set, options, and in what a run leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import Call
from yolox_deploy import Detector, export
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.models import ModelConfig, build_model, get_config, read_checkpoint
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import TrainConfig, recipe
from yolox_deploy.training.config import to_dict
from yolox_deploy.training.pretrained import load_pretrained
from yolox_deploy.training.recipes import from_dict, load_toml, override

DATA = Path("data")
TOML = """\
epochs = 2
[architecture]
depth = 0.67
width = 0.125
depthwise = true
activation = "relu"
"""
NAME = "yolox_d0.67_w0.125_dw_relu"


def test_a_table_of_toml_takes_the_place_of_a_model(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(TOML)
    config = recipe(None, DATA, **load_toml(file))
    assert (config.model, config.epochs, config.size) == (NAME, 2, (640, 640))
    assert config.multiscale == (480, 800)
    assert from_dict(to_dict(config)) == config


def test_a_named_model_keeps_its_recipe() -> None:
    config = recipe("yolox_nano", DATA, **{"architecture.activation": "relu"})
    assert (config.model, config.size, config.augmentation.mosaic) == ("yolox_nano_relu", (416, 416), 0.5)
    assert override(config, {"architecture.width": "0.125"}).model == "yolox_d0.33_w0.125_dw_relu"
    assert from_dict(to_dict(config)) == config


def test_a_configuration_of_ones_own_is_taken() -> None:
    config = recipe(ModelConfig("mine", 0.67, 0.125, depthwise=True, activation="relu"), DATA)
    assert config.model == NAME


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no model is named; expected one, or architecture.depth and architecture.width"),
        ({"architecture.depth": 0.67}, "no model is named"),
        ({"architecture.activation": "gelu"}, "the activation is 'gelu'"),
        ({"architecture.depht": 1.0}, "did you mean architecture.depth"),
        ({"architecture.depth": "x"}, "architecture.depth is 'x'; expected a number"),
        ({"architecture.depth": 9.0, "architecture.width": 1.0}, "the depth is 9"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe(None, DATA, **values)


def test_pictures_to_train_on_have_three_channels() -> None:
    with pytest.raises(UsageError, match="yolox_nano_1ch reads 1 channels; pictures to train on have 3"):
        TrainConfig("yolox_nano_1ch", DATA)


def test_a_run_tells_its_architecture(tmp_path: Path, call: Call) -> None:
    """Trained from a table, opened, exported and gone on with by what the files tell alone."""
    scenes = write_scenes(tmp_path / "data", train=4, val=2, size=(64, 64))
    file, out = tmp_path / "settings.toml", tmp_path / "run"
    file.write_text(TOML)
    short = ["--batch", 2, "--imgsz", 64, "--workers", 0, "--device", "cpu", "--set", "multiscale=none"]
    short += ["--set", "eval_every=3"]  # after two steps a ReLU network answers infinite numbers
    code, printed, err = call("train", "--config", file, "--data", scenes, "--out", out, *short)
    assert code == 0, err
    assert f"yolox-deploy export {NAME} --weights" in printed
    checkpoint = read_checkpoint(out / "best.pth")
    assert (checkpoint.config, checkpoint.is_recorded) == (get_config(NAME), True)
    assert checkpoint.input_size == (64, 64)
    with Detector(out / "best.pth") as detector:
        assert detector.info.artifact.model == NAME
        assert detector.info.notes == ()
    for model in (None, NAME, "yolox_d0.67_w0.125_dw"):
        artifact = export(model, weights=out / "best.pth", out=tmp_path / "own.onnx", verify=False)
        assert artifact.info.model == NAME
    code, _, err = call("train", "--resume", out, "--epochs", 3, "--workers", 0)
    assert code == 0, err
    goes_on = ["--weights", out / "best.pth", "--recipe", "paper", "--epochs", 1]
    arguments = ["--model", "yolox_d0.67_w0.125_dw", *goes_on, *short]
    code, _, err = call("train", "--data", scenes, "--out", tmp_path / "on", *arguments)
    assert code == 0, err
    assert "They were trained with relu and go on with silu; --activation relu keeps it." in err


def saved(path: Path, model: YOLOX) -> Path:
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, path)
    return path


def test_weights_of_others_are_taken_for_another_class_count(tmp_path: Path) -> None:
    path = saved(tmp_path / "ddp.pth", build_model("yolox_d0.67_w0.125_dw", 7))
    messages = load_pretrained(build_model("yolox_d0.67_w0.125_dw_relu", 3), path)
    assert f"{path}: 'module.' was taken off all names." in messages
    assert any("the class predictors start anew" in message for message in messages)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "ddp.pth", build_model("yolox_d0.67_w0.125_dw", 3))
    match = r"does not fit yolox_nano@0.125: it looks like yolox_d0.67_w0.125_dw; train that with --model yolox_d0"
    with pytest.raises(CheckpointError, match=match):
        load_pretrained(build_model("yolox_nano@0.125", 3), path)


def test_official_weights_need_a_model(tmp_path: Path, call: Call) -> None:
    (tmp_path / "settings.toml").write_text(TOML)
    arguments = ["--config", tmp_path / "settings.toml", "--data", tmp_path, "--weights", "official"]
    code, _, err = call("train", *arguments)
    assert code == 2
    assert "--weights official needs the name of a model" in err
