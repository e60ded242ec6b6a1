"""The ONNX Runtime adapter: which provider is asked for, which is accepted, and what precision that computes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from yolox_deploy import Artifact, Detector, export
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.runtimes.onnxruntime_adapter import (
    PROVIDERS,
    OnnxRuntimeOptions,
    check_provider,
    choose_provider,
    executed_precision,
    provider_list,
)

GPU_PACKAGE = [PROVIDERS["tensorrt"], PROVIDERS["cuda"], PROVIDERS["cpu"]]


@pytest.fixture
def gpu_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with onnxruntime-gpu where there is no GPU: the provider is offered, and the session does not get it."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_PACKAGE)


@pytest.mark.usefixtures("gpu_package")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_auto_takes_the_cpu_where_the_gpu_cannot_be_had(nano_onnx: Path) -> None:
    with Detector(nano_onnx) as detector:
        assert detector.info.device == "cpu"
        assert "did not load" in detector.info.details["gpu_refused"]


@pytest.mark.usefixtures("gpu_package")
@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize(
    "options", [{"device": "cuda"}, {"device": "cuda:0"}, {"runtime_options": {"provider": "cuda"}}]
)
def test_a_gpu_that_was_named_is_not_replaced(nano_onnx: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"CUDAExecutionProvider was asked for.*allow_cpu_fallback=True"):
        Detector(nano_onnx, **options)


@pytest.mark.skipif(PROVIDERS["cuda"] in onnxruntime.get_available_providers(), reason="the package has CUDA")
@pytest.mark.parametrize(
    "options", [{"device": "cuda"}, {"device": "cuda:1"}, {"runtime_options": {"provider": "tensorrt"}}]
)
def test_the_cpu_is_taken_where_the_package_has_no_gpu_and_it_is_allowed(
    nano_onnx: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"has only .*onnxruntime-gpu.*allow_cpu_fallback=True"):
        Detector(nano_onnx, **options)
    accepted = {**options.get("runtime_options", {}), "allow_cpu_fallback": True}
    with Detector(nano_onnx, **{**options, "runtime_options": accepted}) as detector:
        assert detector.info.device == "cpu"
        assert "has only" in detector.info.details["gpu_refused"]


def test_a_provider_that_raises_is_named(nano_onnx: Path) -> None:
    options = OnnxRuntimeOptions(device="cuda")
    with pytest.raises(ArtifactError, match="the driver is too old"):
        check_provider(PROVIDERS["cuda"], [PROVIDERS["cpu"]], options, "the driver is too old")
    check_provider(
        PROVIDERS["cuda"], [PROVIDERS["cpu"]], OnnxRuntimeOptions(device="cuda", allow_cpu_fallback=True)
    )


def test_cuda_computes_float32_as_float32() -> None:
    assert choose_provider(OnnxRuntimeOptions(device="cuda:1"), GPU_PACKAGE) == ("cuda", 1)
    (name, options), cpu = provider_list("cuda", 1, "fp32")
    assert (name, cpu) == (PROVIDERS["cuda"], PROVIDERS["cpu"])
    assert options == {"device_id": 1, "use_tf32": 0}
    assert provider_list("cpu", 0, "fp32") == [PROVIDERS["cpu"]]


@pytest.mark.parametrize(
    ("precision", "half", "integer"), [("fp32", False, False), ("fp16", True, False), ("int8", True, True)]
)
def test_tensorrt_builds_in_the_files_precision_and_leaves_the_rest_to_cuda(
    precision: str, half: bool, integer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    (first, options), (second, _), third = provider_list("tensorrt", 0, precision)
    assert [first, second, third] == GPU_PACKAGE
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (half, integer)
    assert options["trt_engine_cache_enable"] is True
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path)
    assert Path(options["trt_engine_cache_path"]).is_dir()


def test_half_precision_is_not_claimed_for_the_cpu(tmp_path: Path) -> None:
    artifact: Artifact = export(
        "yolox_nano", weights="random", imgsz=64, fp16=True, verify=False, out=tmp_path / "h.onnx"
    )
    with Detector(artifact.path) as detector:
        assert (detector.info.precision, detector.info.artifact.precision) == ("fp32", "fp16")
    assert executed_precision("fp16", on_cpu=False) == "fp16"
    assert executed_precision("int8", on_cpu=True) == "int8"
