"""OpenVINO conversions of a real YOLOX-Nano at a small size, with untrained weights."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
import torch

from yolox_deploy.artifact import ArtifactInfo, files_of
from yolox_deploy.converters import ExportOptions, Source
from yolox_deploy.converters.base import get_target
from yolox_deploy.converters.calibration import CalibrationSet
from yolox_deploy.converters.onnx_target import make_source
from yolox_deploy.converters.openvino_target import after_last_convolutions, convert, precision_of, quantize
from yolox_deploy.errors import InputError, RuntimeFailure, UsageError
from yolox_deploy.models import build_model
from yolox_deploy.models.fusion import fuse
from yolox_deploy.runtimes.onnxruntime_adapter import OnnxRuntime
from yolox_deploy.runtimes.openvino_adapter import OpenVino, OpenVinoOptions
from yolox_deploy.types import InputConvention

SIZE = (64, 96)
MakeSource = Callable[..., Source]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeSource:
    torch.manual_seed(0)
    network = fuse(build_model("yolox_nano", 3))

    @cache  # an export takes seconds
    def build(**options: Any) -> Source:
        wanted = ExportOptions(**options)
        info = ArtifactInfo("yolox-nano", ("a", "b", "c"), SIZE, batch=wanted.batch)
        return make_source(network, info, wanted, tmp_path_factory.mktemp("source"))

    return build


@pytest.fixture(scope="module")
def source(make: MakeSource) -> Source:
    return make()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    for index in range(3):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, (120, 90)))
    return folder


def tensor(batch: int = 1) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (batch, 3, *SIZE)).astype(np.float32)


def run(path: Path, images: np.ndarray) -> np.ndarray:
    with OpenVino(path, OpenVinoOptions(cache_dir=None)) as runtime:
        return runtime.infer({"images": images})[runtime.outputs[0].name]


def reference(source: Source, images: np.ndarray) -> np.ndarray:
    with OnnxRuntime(source.onnx) as runtime:
        return runtime.infer({"images": images})["output"]


def test_float32(source: Source, tmp_path: Path) -> None:
    converted = convert(source, tmp_path / "model.xml", ExportOptions())
    assert converted.path == tmp_path / "model.xml"
    assert files_of(converted.path) == (tmp_path / "model.xml", tmp_path / "model.bin")
    assert set(tmp_path.iterdir()) == set(files_of(converted.path))
    info = converted.info
    assert (info.format, info.precision, info.class_names) == ("openvino", "fp32", ("a", "b", "c"))
    assert info.versions["openvino"] == ov.__version__
    assert info.versions["torch"] == torch.__version__
    assert info.details["openvino"]["convolutions"] == 113
    assert list(info.details["openvino"]["elements"]) == ["f32"]
    np.testing.assert_allclose(run(converted.path, tensor()), reference(source, tensor()), atol=1e-3)


def test_float16_halves_the_weights(source: Source, tmp_path: Path) -> None:
    whole = convert(source, tmp_path / "whole.xml", ExportOptions())
    half = convert(source, tmp_path / "half.xml", ExportOptions(precision="fp16"))
    assert half.info.precision == "fp16"
    elements = half.info.details["openvino"]["elements"]
    assert elements["f16"] > 100 * elements.get("f32", 0)
    sizes = [one.path.with_suffix(".bin").stat().st_size for one in (half, whole)]
    ratio = sizes[0] / sizes[1]
    assert 0.49 < ratio < 0.52


def test_bfloat16_is_float32_weights_and_a_note_for_the_runtime(source: Source, tmp_path: Path) -> None:
    converted = convert(source, tmp_path / "model.xml", ExportOptions(precision="bf16"))
    assert converted.info.precision == "bf16"
    assert list(converted.info.details["openvino"]["elements"]) == ["f32"]


def test_free_batch_and_suppression_in_the_graph(make: MakeSource, tmp_path: Path) -> None:
    options = ExportOptions(batch=None, decode=True, nms=True, conf=0.0)
    converted = convert(make(batch=None, decode=True), tmp_path / "model.xml", options)
    assert converted.info.suppression == "in_graph"
    rows = run(converted.path, tensor(2))
    assert rows.shape[1] == 7
    assert set(rows[:, 0]) == {0.0, 1.0}


def test_int8(make: MakeSource, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = make(decode=True)
    logger_class = logging.getLoggerClass()
    options = ExportOptions(
        precision="int8", decode=True, calib=pictures, float_layers=get_target("openvino").float_layers[0]
    )
    converted = convert(source, tmp_path / "model.xml", options)
    assert capfd.readouterr() == ("", "")
    assert logging.getLoggerClass() is logger_class
    details = converted.info.details["openvino"]
    assert converted.info.precision == "int8"
    assert "nncf" in converted.info.versions
    assert details["quantizers"] > 90
    assert details["elements"]["i8"] > 10 * details["elements"]["f32"]
    assert details["calibration"] == 3
    assert len(details["float_layers"]) == 10  # nine predictors and the stem

    model = ov.Core().read_model(converted.path)
    behind = set(after_last_convolutions(model))
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ops()}
    assert "FakeQuantize" not in {kinds[name] for name in behind}
    exact, found = reference(source, tensor()), run(converted.path, tensor())
    assert np.abs(found[..., 4:] - exact[..., 4:]).mean() < 0.01
    with OpenVino(converted.path, OpenVinoOptions(cache_dir=None)) as runtime:
        assert runtime.loaded.precision == "int8"
        executed = runtime.loaded.details["convolutions"]
    assert executed["fp32"] == 10
    assert executed["int8"] == 103


def test_int8_refuses_what_cannot_work(source: Source, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "model.xml"
    with pytest.raises(UsageError, match="--calib DIR"):
        convert(source, path, ExportOptions(precision="int8"))
    with pytest.raises(UsageError, match="nothing is left for INT8"):
        convert(source, path, ExportOptions(precision="int8", calib=pictures, float_layers=("",)))
    with pytest.raises(InputError, match="no picture"):
        convert(source, path, ExportOptions(precision="int8", calib=tmp_path))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="broken"):
        convert(source, path, ExportOptions(precision="int8", calib=tmp_path))


def test_calibration_tensors_fill_the_batch_and_can_be_read_twice(source: Source, pictures: Path) -> None:
    info = ArtifactInfo("yolox-nano", ("a",), SIZE, batch=2)
    batches = CalibrationSet(pictures, info)
    first, second = list(batches), list(batches)
    assert [batch.shape for batch in first] == [(2, 3, *SIZE)] * 2
    np.testing.assert_array_equal(first[1][0], first[1][1])
    assert not np.array_equal(first[0][0], first[0][1])
    np.testing.assert_array_equal(first, second)


def test_calibration_pictures_without_a_fourth_channel_are_opaque(pictures: Path) -> None:
    info = ArtifactInfo("four", ("a",), SIZE, input=InputConvention(color_order="BGRA", resize="stretch"))
    for tensor in CalibrationSet(pictures, info):
        assert tensor.shape == (1, 4, *SIZE)
        assert (tensor[:, 3] == 255).all()


def test_what_follows_the_last_convolutions(make: MakeSource) -> None:
    model = ov.convert_model(str(make(decode=True).onnx))
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ops()}
    found = {kinds[name] for name in after_last_convolutions(model)}
    assert {"Sigmoid", "Exp", "Concat", "Transpose"} <= found
    assert found.isdisjoint({"Convolution", "GroupConvolution", "Swish", "MaxPool"})


@pytest.mark.parametrize(
    ("quantizers", "elements", "expected"),
    [
        (0, {"f32": 10}, "fp32"),
        (0, {"f16": 10, "f32": 2}, "fp16"),
        (5, {"f32": 2, "i8": 10}, "int8"),
        (5, {"f32": 10}, "fp32"),  # quantisers without INT8 weights speed nothing up
    ],
)
def test_precision_is_read_from_the_file(quantizers: int, elements: dict[str, int], expected: str) -> None:
    assert precision_of({"quantizers": quantizers, "elements": elements}) == expected


def test_a_broken_source_is_reported(source: Source, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(source.onnx.read_bytes()[:2000])
    with pytest.raises(RuntimeFailure, match="OpenVINO could not convert"):
        convert(Source(source.module, broken, source.info), tmp_path / "model.xml", ExportOptions())


def test_a_failure_inside_nncf_is_reported(source: Source, pictures: Path) -> None:
    model = ov.convert_model(str(source.onnx))
    other_size = ArtifactInfo("yolox-nano", ("a",), (96, 96))
    with pytest.raises(RuntimeFailure, match="NNCF could not quantise the model") as caught:
        quantize(model, other_size, ExportOptions(precision="int8", calib=pictures))
    assert caught.value.__cause__ is not None


def test_conversion_sends_nothing_and_writes_nothing_home(source: Source, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "info.json").write_text(source.info.to_json(), encoding="utf-8")
    script = (
        "import os, sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.connect', 'socket.getaddrinfo', 'urllib.Request')):\n"
        "        os.write(2, f'CONNECTION {event}'.encode())\n"  # also from a forked sender
        "        raise OSError('no connections here')\n"
        "sys.addaudithook(refuse)\n"
        "from pathlib import Path\n"
        "from yolox_deploy.artifact import ArtifactInfo\n"
        "from yolox_deploy.converters.base import ExportOptions, Source, get_target\n"
        "from yolox_deploy.converters.openvino_target import _import_nncf\n"
        "from yolox_deploy.converters.openvino_target import convert\n"
        "from yolox_deploy.host import no_telemetry\n"
        "onnx, folder = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "info = ArtifactInfo.from_json((folder / 'info.json').read_text())\n"
        "convert(Source(None, onnx, info), folder / 'model.xml', ExportOptions())\n"
        "with no_telemetry():\n"
        "    _import_nncf()\n"
        "assert 'CI' not in os.environ\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(source.onnx), str(tmp_path)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CONNECTION" not in done.stderr
    assert list(home.iterdir()) == []
