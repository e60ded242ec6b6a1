"""The public surface changes on purpose only."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import pytest

import yolox_deploy
from yolox_deploy.converters.base import ExportOptions
from yolox_deploy.thresholds import ThresholdFields, Thresholds

PINNED = {
    "yolox_deploy": ["Artifact", "Detections", "Detector", "__version__", "export"],
    "yolox_deploy.evaluation": ["coco_ap", "streaming_ap"],
    "yolox_deploy.models": [
        *("YOLOX", "ZOO", "Checkpoint", "Complexity", "ModelConfig", "Published"),
        *("build_model", "check_input_size", "count", "fuse", "get_config", "identify", "load_checkpoint"),
        "read_checkpoint",
    ],
}


@pytest.mark.parametrize("package", PINNED)
def test_the_public_names_are_pinned(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PINNED[package])
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        _ = yolox_deploy.Detektor


FIXED: dict[str, dict[str, object]] = {
    "yolox_deploy.Detector": {
        **{"backend": None, "device": "auto", "conf": 0.25, "iou": 0.45, "class_agnostic": False},
        **{"max_detections": 300, "threads": None},
    },
    "yolox_deploy.export": {
        **{"weights": None, "fp16": False, "bf16": False, "int8": False, "imgsz": None, "batch": 1},
    },
    "yolox_deploy.postprocess.postprocess": {"class_agnostic": False, "max_detections": None},
    "yolox_deploy.models.build_model": {"num_classes": 80},
    "yolox_deploy.evaluation.coco_ap": {"conf": 0.01, "iou": 0.65},
}
"""Names, keywords and defaults that other programs rely on."""


@pytest.mark.parametrize("path", FIXED)
def test_fixed_signatures_keep_their_keywords_and_defaults(path: str) -> None:
    module, _, name = path.rpartition(".")
    found = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert {key: found[key].default for key in FIXED[path]} == FIXED[path]


@pytest.mark.parametrize(
    ("path", "thresholds"),
    [
        ("yolox_deploy.Detector", Thresholds()),
        ("yolox_deploy.export", Thresholds()),
        ("yolox_deploy.converters.base.ExportOptions", Thresholds()),
        ("yolox_deploy.evaluation.coco_ap", Thresholds.evaluation()),
        ("yolox_deploy.evaluation.streaming_ap", Thresholds.evaluation()),
    ],
)
def test_written_defaults_are_those_of_the_thresholds(path: str, thresholds: Thresholds) -> None:
    module, _, name = path.rpartition(".")
    found = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert (found["conf"].default, found["iou"].default) == (thresholds.conf, thresholds.iou)


def test_every_option_of_a_conversion_is_a_keyword_of_export() -> None:
    keywords = inspect.signature(yolox_deploy.export).parameters
    own = {"precision"}  # by fp16, bf16 and int8
    for field in dataclasses.fields(ExportOptions):
        if field.name not in own:
            assert keywords[field.name].default == field.default, field.name


def test_what_a_call_may_change_are_the_thresholds() -> None:
    assert set(ThresholdFields.__annotations__) == {f.name for f in dataclasses.fields(Thresholds)}


@pytest.mark.parametrize(
    "name", ["predict", "predict_batch", "stream", "warmup", "close", "info", "__enter__", "__exit__"]
)
def test_the_detector_keeps_its_methods(name: str) -> None:
    assert hasattr(yolox_deploy.Detector, name)


@pytest.mark.parametrize(
    "name", ["to_dict", "to_json", "to_coco", "to_supervision", "plot", "__len__", "__iter__"]
)
def test_detections_keep_their_methods(name: str) -> None:
    assert hasattr(yolox_deploy.Detections, name)
