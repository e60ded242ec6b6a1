"""The size to run a model at: named by whoever opens a file that leaves it free, in one way for all backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.brief import shorten
from tests.conftest import Call
from yolox_deploy import Detector
from yolox_deploy.converters import ExportOptions, Source
from yolox_deploy.converters.ncnn_target import convert
from yolox_deploy.errors import UsageError

SIZE = (64, 96)
FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]


@pytest.fixture
def free(toy_model: Any, tmp_path: Path) -> Path:
    """A file that leaves its height and width free and works at 64x96 alone."""
    path: Path = toy_model(tmp_path / "free.onnx", FOUND)
    model = onnx.load(str(path))
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, str(path))
    return path


@pytest.fixture
def ncnn_file(nameless_weights: Path, tmp_path: Path) -> Path:
    """NCNN's pair without a sidecar and without a size in it."""
    pytest.importorskip("ncnn")
    from yolox_deploy.artifact import ArtifactInfo
    from yolox_deploy.exporter.source_model import load_source_model
    from yolox_deploy.models.fusion import fuse

    source_model = load_source_model("yolox_nano", nameless_weights, None)
    info = ArtifactInfo("yolox_nano", source_model.class_names, SIZE)
    path = tmp_path / "nano.param"
    convert(Source(fuse(source_model.network), path, info), path, ExportOptions())
    text = path.read_text().replace(f" 0={SIZE[1]} 1={SIZE[0]} 2=3", "")
    path.write_text(text)
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("how", [{"override": {"input_size": SIZE}}, {"runtime_options": {"imgsz": SIZE}}])
def test_a_file_that_leaves_it_free_is_told_it(free: Path, backend: str, how: dict[str, Any]) -> None:
    pytest.importorskip(backend)
    with Detector(free, backend=backend, threads=1, **how) as detector:
        assert detector.info.artifact.input_size == SIZE
        assert len(detector.predict(np.full((64, 96, 3), 90, np.uint8))) == 1


def test_a_checkpoint_runs_at_the_size_asked_for(nano_weights: Path) -> None:
    with Detector(nano_weights, override={"input_size": [96, 160]}, threads=1) as detector:
        assert detector.info.artifact.input_size == (96, 160)
        assert detector.prepare(np.zeros((96, 160, 3), np.uint8)).tensor.shape == (1, 3, 96, 160)
        detector.warmup(1)


def test_an_ncnn_file_that_does_not_say_it_is_told_it(ncnn_file: Path) -> None:
    with pytest.raises(UsageError, match="set it with --imgsz HxW"):
        Detector(ncnn_file, threads=1)
    with Detector(ncnn_file, override={"input_size": SIZE}, threads=1) as detector:
        assert detector.info.artifact.input_size == SIZE
        detector.warmup(1)


@pytest.mark.parametrize(
    "how", [{"override": {"input_size": (96, 96)}}, {"runtime_options": {"imgsz": (96, 96)}}]
)
def test_a_file_of_a_fixed_size_says_which_and_how_to_get_another(
    nano_onnx: Path, toy_model: Any, tmp_path: Path, how: dict[str, Any]
) -> None:
    with pytest.raises(
        UsageError,
        match=r"takes images of 480x640 only.*96x96 was asked for.*export yolox_nano --weights FILE --imgsz 96x96",
    ):
        Detector(nano_onnx, **how)
    with pytest.raises(UsageError, match=r"images of 64x96 only.*export MODEL --weights FILE --imgsz 96x96"):
        Detector(toy_model(tmp_path / "toy.onnx"), **how)


@pytest.mark.parametrize(
    ("size", "message"),
    [((100, 96), "the nearest sizes are 96x96 and 128x96"), ("wide", "input_size is 'wide'; expected")],
)
def test_a_size_that_cannot_work_is_refused(free: Path, size: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detector(free, override={"input_size": size})


def annotations(picture: Path) -> Path:
    categories = [{"id": i, "name": f"class_{i}"} for i in range(3)]
    images = [{"id": 9, "file_name": picture.name, "width": 192, "height": 128}]
    file = picture.parent.parent / "instances.json"
    file.write_text(json.dumps({"images": images, "categories": categories, "annotations": []}))
    return file


@pytest.mark.parametrize(
    "arguments",
    [
        lambda free, picture: ["predict", picture, "--model", free, "--no-images"],
        lambda free, picture: [
            "eval",
            free,
            "--images",
            picture.parent,
            "--annotations",
            annotations(picture),
        ],
        lambda free, picture: ["stream", picture.parent, "--model", free, "--rate", 0],
        lambda free, picture: ["bench", free, "--quick"],
        lambda free, picture: ["tune", free, "--threads", 1],
    ],
    ids=["predict", "eval", "stream", "bench", "tune"],
)
def test_every_command_that_opens_a_model_takes_the_size(
    call: Call,
    free: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Callable[[Path, Path], list[object]],
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    shorten(monkeypatch)
    code, _, err = call(*arguments(free, picture))
    assert code == 4
    assert "give the size it was made for: --imgsz HxW" in err
    code, _, err = call(*arguments(free, picture), "--imgsz", "64x96")
    assert code == 0, err
    assert "Traceback" not in err


def test_what_tune_chose_is_opened_at_the_size_that_it_was_measured_at(
    call: Call, free: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    shorten(monkeypatch)
    code, _, err = call("tune", free, "--threads", 1, "--imgsz", "64x96")
    assert code == 0, err
    with Detector(free, backend="auto") as detector:
        assert detector.info.artifact.input_size == SIZE
