"""The NCNN target: what pnnx makes of our networks, run by NCNN and compared with PyTorch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pnnx
import pytest
import torch
from torch import nn

from yolox_deploy.artifact import ArtifactInfo, files_of, read_sidecar, write_sidecar
from yolox_deploy.converters import Converted, ExportOptions, Source
from yolox_deploy.converters.ncnn_target import (
    convert,
    finish_param,
    run_pnnx,
    stored_precision,
    to_float16,
    weight_records,
)
from yolox_deploy.errors import RuntimeFailure, UsageError
from yolox_deploy.models import ModelConfig, build_model, get_config
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime

SIZE = (96, 160)
SMALLER = {"yolox_nano": 0.25, "yolox_tiny": 0.25, "yolox_darknet53": 0.25}
"""Zoo models by the width that they are tested at: every layer and wire of them, few channels."""


def drawn(config: str | ModelConfig) -> YOLOX:
    """An evaluation-mode model of three classes whose BatchNorms are not the identity."""
    torch.manual_seed(0)
    model = build_model(config, 3).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            for statistic, low in ((module.running_var, 0.5), (module.running_mean, -0.5)):
                assert statistic is not None
                statistic.uniform_(low, low + 1)
        elif isinstance(module, nn.Conv2d):
            module.weight.data.normal_(0, module.weight[0].numel() ** -0.5)
    return model


def source(model: nn.Module, size: tuple[int, int] = SIZE) -> Source:
    """A source without an ONNX file, which this target does not read."""
    versions = {"yolox-deploy": "0", "onnx": "1", "opset": "18"}
    return Source(model, Path("absent.onnx"), ArtifactInfo("toy", ("a", "b", "c"), size, versions=versions))


def predict(path: Path, image: np.ndarray) -> np.ndarray:
    """The output of the file at `path` for one (1, 3, H, W) image."""
    with NcnnRuntime(path, NcnnOptions(threads=1)) as runtime:
        output: np.ndarray = runtime.infer({"images": image})["output"]
        return output


def assert_near(output: np.ndarray, expected: np.ndarray) -> None:
    """Equal within 1e-5 of the range of the boxes, which must be one: equal constants would prove nothing."""
    spread = np.ptp(expected[..., :4])
    assert spread > 0.2
    assert np.abs(output - expected).max() < 1e-5 * spread


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 2, (1, 3, *SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def nano() -> YOLOX:
    return drawn("yolox_nano")


@pytest.fixture(scope="module")
def converted(nano: YOLOX, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """yolox_nano in float32; tests leave its files as they are."""
    return convert(source(fuse(nano)), tmp_path_factory.mktemp("ncnn") / "nano.param", ExportOptions())


@pytest.mark.parametrize("name", SMALLER)
def test_equals_pytorch(name: str, image: np.ndarray, tmp_path: Path) -> None:
    model = drawn(replace(get_config(name), width=SMALLER[name]))
    expected = model(torch.from_numpy(image)).numpy()
    path = convert(source(fuse(model)), tmp_path / "model.param", ExportOptions()).path
    output = predict(path, image)
    assert output.shape == expected.shape == (1, 315, 8)
    assert_near(output, expected)


def test_leaves_the_pair_only_and_describes_it(converted: Converted) -> None:
    path, info = converted.path, converted.info
    assert files_of(path) == (path, path.with_suffix(".bin"))
    assert sorted(file.name for file in path.parent.iterdir()) == ["nano.bin", "nano.param"]
    assert (info.format, info.precision, info.batch, info.boxes) == ("ncnn", "fp32", 1, "raw")
    assert info.details == {"input_name": "images", "output_name": "output"}
    assert set(info.versions) == {"yolox-deploy", "torch", "pnnx"}
    text = path.read_text()
    assert " 0 1 images 0=160 1=96 2=3\n" in text
    assert " output 0=0\n" in text
    assert "in0" not in text.replace(" in0 ", " ", 1)  # the Input layer keeps its own name


def test_travels_with_a_sidecar(converted: Converted, image: np.ndarray, tmp_path: Path) -> None:
    for file in files_of(converted.path):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / converted.path.name
    write_sidecar(path, converted.info)
    sidecar = read_sidecar(path)
    assert sidecar is not None
    assert (sidecar.info, sidecar.vouches) == (converted.info, True)
    with NcnnRuntime(path, NcnnOptions(threads=1)) as runtime:
        assert runtime.artifact == converted.info
        assert runtime.outputs[0].shape == (1, None, 8)
        np.testing.assert_array_equal(
            runtime.infer({"images": image})["output"], predict(converted.path, image)
        )


def test_float16_weights_are_rounded_to_nearest(nano: YOLOX, image: np.ndarray, tmp_path: Path) -> None:
    fused = fuse(nano)
    stem = next(module for module in fused.modules() if isinstance(module, nn.Conv2d))
    stem.weight.data *= 1e-4  # float16 holds these as subnormals only; pnnx would write zeros
    halved = copy.deepcopy(fused)
    for module in halved.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.half().float()
    result = convert(source(fused), tmp_path / "half.param", ExportOptions(precision="fp16"))
    assert result.info.precision == "fp16"
    scale = image * np.float32(1e4)
    assert_near(predict(result.path, scale), halved(torch.from_numpy(scale)).numpy())
    weights = sum(m.weight.numel() for m in fused.modules() if isinstance(m, nn.Conv2d))
    assert result.path.with_suffix(".bin").stat().st_size < 2.2 * weights


@pytest.mark.parametrize("batch", [2, None])
def test_other_batches_are_refused_before_any_work(nano: YOLOX, batch: int | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch 1"):
        convert(source(nano), tmp_path / "nano.param", ExportOptions(batch=batch))
    assert not list(tmp_path.iterdir())


def test_pnnx_failure_shows_what_pnnx_said(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no TorchScript")
    with pytest.raises(RuntimeFailure, match=r"(?s)pnnx could not convert.*exit code.*failed"):
        run_pnnx(pnnx.EXEC_PATH, tmp_path, SIZE)


def test_operations_that_ncnn_lacks_are_named(tmp_path: Path) -> None:
    unfused = drawn(replace(get_config("yolox_nano"), depth=0.1, width=0.125))  # its Focus stem slices
    with pytest.raises(RuntimeFailure, match=r"Tensor\.slice"):
        convert(source(unfused), tmp_path / "nano.param", ExportOptions())
    assert not list(tmp_path.iterdir())


def test_finish_param_refuses_another_output() -> None:
    text = "7767517\n2 2\nInput in0 0 1 in0\nSigmoid last 1 1 in0 out1\n"
    with pytest.raises(RuntimeFailure, match="Sigmoid last 1 1 in0 out1"):
        finish_param(text, SIZE)


def test_weight_records_and_their_length() -> None:
    text = (
        "7767517\n3 3\nInput in0 0 1 in0\n"
        "Convolution a 1 1 in0 1 0=2 1=3 11=3 5=1 6=54\n"
        "ConvolutionDepthWise b 1 1 1 2 0=3 1=1 5=0 6=3 7=3 9=2 -23310=1,1.0e-01\n"
    )
    records = weight_records(text)
    assert records == [(54, 2), (3, 0)]
    assert stored_precision(records, 4 * (1 + 54 + 2) + 4 * (1 + 3)) == "fp32"
    assert stored_precision(records, 4 * (1 + 27 + 2) + 4 * (1 + 2)) == "fp16"
    with pytest.raises(RuntimeFailure, match="neither float32 nor float16"):
        stored_precision(records, 100)


def test_to_float16_pads_and_keeps_biases(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    np.array([0, 1.5, 1e-6, -3, 0.1], "<f4").tofile(path)  # flag, three weights, one bias
    to_float16([(3, 1)], path)
    data = path.read_bytes()
    assert data[:4] == bytes.fromhex("476b3001")
    np.testing.assert_array_equal(np.frombuffer(data, "<f2", 4, 4), np.array([1.5, 1e-6, -3, 0], "<f2"))
    assert np.frombuffer(data, "<f4", 1, 12) == np.float32(0.1)


def test_to_float16_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    np.array([0, 7e4], "<f4").tofile(tmp_path / "model.bin")
    with pytest.raises(UsageError, match="65504"):
        to_float16([(1, 0)], tmp_path / "model.bin")
