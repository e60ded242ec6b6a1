"""The public surface changes on purpose only."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import yolox_deploy
from yolox_deploy.converters import ExportOptions
from yolox_deploy.thresholds import ThresholdFields, Thresholds

ROOT = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"^ *from (yolox_deploy[\w.]*) import (.+)$", re.MULTILINE)


def public_names() -> dict[str, list[str]]:
    """The names under each heading of docs/api.md."""
    _, *sections = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("\n## ")
    return {
        text.split("\n")[0]: re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.MULTILINE) for text in sections
    }


PUBLIC = public_names()


@pytest.mark.parametrize("package", PUBLIC)
def test_the_page_and_the_code_have_the_same_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(PUBLIC[package]) == sorted(module.__all__)
    for name in module.__all__:
        found = getattr(module, name)
        assert found is not None
        assert not callable(found) or found.__doc__, f"{package}.{name} has no docstring"
    assert set(module.__all__) <= set(dir(module))


def test_importing_the_faces_loads_nothing_behind_them() -> None:
    faces = [package for package in PUBLIC if hasattr(importlib.import_module(package), "__path__")]
    code = f"import sys, {', '.join(faces)}; print(*sorted(m for m in sys.modules if m.startswith('yolox_deploy.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ground = {"_lazy", "_version", "class_names", "detection_forms", "detections", "errors", "types"}
    assert set(done.stdout.split()) <= {*faces, *(f"yolox_deploy.{name}" for name in ground)}


def test_the_page_names_every_package() -> None:
    packages = {item.name for item in pkgutil.iter_modules(yolox_deploy.__path__) if item.ispkg}
    private = {"cli", "exporter", "foreign", "migrate", "vendors"}
    assert packages - private <= {package.rpartition(".")[2] for package in PUBLIC}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_readme_and_docs_use_public_names_only(page: Path) -> None:
    for package, names in IMPORT.findall(page.read_text(encoding="utf-8")):
        assert set(names.split(", ")) <= set(PUBLIC.get(package, ())), f"{package}: {names}"


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
    "yolox_deploy.train": {"model": "yolox_nano", "weights": None, "epochs": None, "callbacks": ()},
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
        ("yolox_deploy.evaluation.evaluate", Thresholds.evaluation()),
        ("yolox_deploy.evaluation.analysis.analyse", Thresholds.evaluation()),
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
