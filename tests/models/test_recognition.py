"""Networks recognised by their shapes, what a file tells of them, and legacy weights by their first convolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy import Detector
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.models import ModelConfig, build_model, get_config, load_checkpoint, read_checkpoint
from yolox_deploy.models.model_config import Architecture
from yolox_deploy.models.naming import configured, named, vary
from yolox_deploy.models.recognition import is_legacy, recognise, shapes_of


def shapes(config: ModelConfig, classes: int = 5) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(build_model(config, classes).state_dict())


def saved(path: Path, model: str | ModelConfig, classes: int = 5, **entries: Any) -> Path:
    torch.save({"model": build_model(model, classes).state_dict(), **entries}, path)
    return path


@pytest.mark.parametrize(
    ("depth", "width", "depthwise"),
    [
        (0.67, 0.5, True),
        (0.33, 0.5, True),
        (1.0, 0.25, False),
        (1.67, 0.33, True),
        (0.1, 0.125, False),
        (2.0, 0.4, False),
        (0.33, 1.015625, False),
    ],
)
def test_own_depth_width_and_depthwise_are_read(depth: float, width: float, depthwise: bool) -> None:
    config = ModelConfig("mine", depth, width, depthwise)
    found = recognise(shapes(config))
    assert found is not None
    assert shapes(found) == shapes(config)
    assert (found.depthwise, found.test_size) == (depthwise, 640)
    assert get_config(found.name) == found


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["yolox_tiny", "yolox_d0.67_w0.5_dw", "nms_free@0.125"])
def test_the_channels_of_the_picture_are_read(name: str, channels: int) -> None:
    found = recognise(shapes(get_config(f"{name}_{channels}ch")))
    assert found is not None
    assert (found.name, found.channels) == (f"{name}_{channels}ch", channels)


@pytest.mark.parametrize(
    ("name", "test_size"),
    [
        ("yolox_nano_relu", 416),
        ("yolox_d0.67_w0.5_dw_lrelu_1ch", 640),
        ("yolox_nano@0.125_relu", 416),
        ("yolox_darknet53_silu", 640),
        ("yolox_darknet53@0.25_4ch", 640),
    ],
)
def test_names_stand_for_configurations(name: str, test_size: int) -> None:
    config = get_config(name.replace("_", "-").upper())
    assert (config.name, config.test_size, config.weights_url) == (name, test_size, None)
    assert named(replace(config, name="mine")).record() == config.record()


def test_a_name_of_the_zoo_comes_back() -> None:
    tiny = vary(get_config("yolox_nano"), width=0.375, depthwise=False)
    assert tiny is get_config("yolox_tiny")
    assert vary(get_config("yolox_nano_relu"), activation="silu") is get_config("yolox_nano")
    assert configured(None, Architecture(depth=0.33, width=0.5)) is get_config("yolox_s")
    assert configured(None, Architecture(depth=0.33)) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolox_d9_w1", "the depth is 9; expected more than 0, at most 4"),
        ("yolox_d1_w0.01", "the width is 0.01; expected 0.0625 to 4"),
        ("yolox_nano_2ch", "2 channels; expected one of"),
    ],
)
def test_names_of_networks_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get_config(name)


def test_darknet_has_one_depth() -> None:
    with pytest.raises(UsageError, match="which only a width changes"):
        vary(get_config("yolox_darknet53"), depth=0.67)


def test_a_model_of_ones_own_is_checked() -> None:
    with pytest.raises(UsageError, match="the activation is 'gelu'; expected silu, lrelu or relu"):
        build_model(ModelConfig("mine", 0.33, 0.125, activation="gelu"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"the width is 0\.01"):
        build_model(ModelConfig("mine", 0.33, 0.01))


@pytest.mark.parametrize(
    "entries", [{}, {"architecture": "YOLOX"}, {"architecture": {"depth": 3}}, {"model_name": "x"}]
)
def test_without_a_record_the_model_tells_the_activation(tmp_path: Path, entries: dict[str, Any]) -> None:
    checkpoint = read_checkpoint(saved(tmp_path / "a.pth", "yolox_nano@0.125_relu", **entries))
    assert (checkpoint.model_name, checkpoint.is_recorded) == ("yolox_d0.33_w0.125_dw", False)
    stated = checkpoint.architecture(None, Architecture(activation="relu"))
    assert stated.name == "yolox_d0.33_w0.125_dw_relu"


def test_a_record_tells_the_activation(tmp_path: Path) -> None:
    config = get_config("yolox_nano@0.125_relu")
    path = saved(tmp_path / "a.pth", config, model_name=config.name, architecture=config.record())
    checkpoint = read_checkpoint(path)
    assert (checkpoint.config, checkpoint.is_recorded) == (config, True)
    assert checkpoint.architecture(get_config("yolox_nano@0.125"), Architecture()) == config
    with pytest.raises(UsageError, match="was trained with relu, as it says; leave the activation silu out"):
        checkpoint.architecture(None, Architecture(activation="silu"))
    with Detector(path, runtime_options={"imgsz": (64, 64)}) as detector:
        assert detector.info.artifact.model == config.name


def test_a_record_of_another_network_does_not_count(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", "yolox_nano@0.125", architecture=get_config("yolox_s").record())
    assert read_checkpoint(path).model_name == "yolox_d0.33_w0.125_dw"


def test_the_name_in_a_narrow_checkpoint_of_before_is_enough(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", "yolox_nano@0.0625", model_name="yolox_nano@0.0625")
    with Detector(path, runtime_options={"imgsz": (64, 64)}) as detector:
        assert detector.info.artifact.model == "yolox_nano@0.0625"
        assert detector.info.notes == ()


def test_the_runtime_takes_the_activation(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", "yolox_nano@0.125")
    options = {"imgsz": (64, 64), "activation": "relu"}
    with Detector(path, runtime_options=options) as detector:
        assert detector.info.artifact.model == "yolox_d0.33_w0.125_dw_relu"
    with pytest.raises(UsageError, match="the activation is 'gelu'"):
        Detector(path, runtime_options={"activation": "gelu"})


def test_channels_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", "yolox_nano@0.125_1ch")
    assert read_checkpoint(path).notes == ("it reads 1 channel: grey pictures",)
    with pytest.raises(CheckpointError, match="and it reads 1 channel: grey pictures"):
        load_checkpoint(build_model("yolox_nano@0.125", 5), path)


@pytest.mark.parametrize(
    ("model", "entries", "told"),
    [
        ("yolox_nano", {}, False),
        ("yolox_nano", {"start_epoch": 300, "optimizer": {}, "best_ap": 0.25}, False),
        ("yolox_nano", {"curr_ap": 0.25}, True),
        ("yolox_nano@0.125", {}, True),
    ],
)
def test_whose_names_the_classes_have_is_told(
    tmp_path: Path, model: str, entries: dict[str, Any], told: bool
) -> None:
    """But not of what may be a file of the authors', which names no classes either."""
    doubts = read_checkpoint(saved(tmp_path / "a.pth", model, 80, **entries)).doubts
    assert any("called as COCO's are; others are given by --names" in doubt for doubt in doubts) == told


@pytest.mark.parametrize("name", ["yolox_nano", "yolox_s", "yolox_darknet53@0.25", "yolox_nano_1ch"])
def test_weights_that_saw_no_picture_are_not_legacy(name: str) -> None:
    """Their mean is 0.048 to 0.095: as large as that of a young legacy model."""
    assert not is_legacy(build_model(name).state_dict())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("passes", [1, 20])
def test_young_weights_are_told_apart(passes: int, legacy: bool) -> None:
    """Measured: 0.0096 and 0.0025 after 1 and 20 passes over pictures 0-255, 0.049 and 0.058 over normalised ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model("yolox_nano").train()
        pictures = torch.rand(2, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
        for _ in range(passes):
            model((pictures - 0.5) / 0.225 if legacy else pictures * 255)
    assert is_legacy(model.state_dict()) == (legacy and passes > 1)


@pytest.mark.parametrize("ours", [False, True])
def test_what_our_trainer_wrote_is_never_legacy(tmp_path: Path, ours: bool) -> None:
    """A young network may have a first convolution as large as that; ours was fed 0-255, whatever it became."""
    config = get_config("yolox_nano@0.125")
    weights = build_model(config, 6).state_dict()
    weights["backbone.backbone.stem.conv.bn.weight"] *= 2
    entries = {"model_name": config.name, "architecture": config.record()} if ours else {}
    torch.save({"model": weights, **entries}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").is_legacy is not ours


def test_the_packaged_weights_are_not_legacy(nano_weights: Path) -> None:
    assert not read_checkpoint(nano_weights).is_legacy


def test_the_real_weights_are_not_legacy_and_need_no_words(coco_nano_weights: Path) -> None:
    checkpoint = read_checkpoint(coco_nano_weights)
    assert checkpoint.notes == checkpoint.doubts == ()
