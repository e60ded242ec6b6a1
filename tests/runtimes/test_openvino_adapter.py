"""The OpenVINO adapter on small real models: one convolution shows precision, copies and errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import openvino as ov
import pytest
from openvino import opset13

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo, write_sidecar
from yolox_deploy.errors import ArtifactError, ClosedError, UsageError
from yolox_deploy.runtimes.onnxruntime_adapter import OnnxRuntime
from yolox_deploy.runtimes.openvino_adapter import (
    OpenVino,
    OpenVinoOptions,
    check_precision,
    choose_device,
    choose_precision,
    prepare_cache,
)

SHAPE = (1, 3, 32, 32)
INFO = ArtifactInfo("unknown", ("thing",), (32, 32), format="openvino")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model.xml")


def save_model(path: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    kernel = np.random.default_rng(0).normal(size=(16, 3, 3, 3)).astype(np.float32)
    images = opset13.parameter(list(shape), np.float32, name="images")
    images.output(0).set_names({"images"})
    features = opset13.convolution(images, opset13.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
    output = opset13.sigmoid(features)
    output.output(0).set_names({"output"})
    ov.save_model(ov.Model([output], [images], "small"), str(path), compress_to_fp16=False)
    return path


def save_onnx(path: Path, metadata: dict[str, str]) -> Path:
    kernel = onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "kernel")
    node = onnx.helper.make_node("Conv", ["images", "kernel"], ["output"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "small",
        [value("images", onnx.TensorProto.FLOAT, SHAPE)],
        [value("output", onnx.TensorProto.FLOAT, (1, 2, 32, 32))],
        [kernel],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, str(path))
    return path


def picture(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def needs_bf16() -> None:
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")


def test_float32_is_the_default_and_shown(model: Path) -> None:
    with OpenVino(model) as runtime:
        assert runtime.loaded.precision == "fp32"
        assert runtime.loaded.details["convolutions"] == {"fp32": 1}
        assert runtime.loaded.device == "cpu"
        assert runtime.inputs[0].name == "images"
        assert runtime.outputs[0].shape == (1, 16, 32, 32)


def test_bf16_runs_when_the_option_says_so(model: Path) -> None:
    needs_bf16()
    exact = OpenVino(model).infer({"images": picture()})["output"]
    with OpenVino(model, OpenVinoOptions(precision="bf16")) as runtime:
        assert runtime.loaded.precision == "bf16"
        assert runtime.loaded.details["convolutions"] == {"bf16": 1}
        error = np.abs(runtime.infer({"images": picture()})["output"] - exact).max()
    assert 0 < error < 0.05


def test_bf16_runs_when_the_file_was_exported_for_it(model: Path) -> None:
    needs_bf16()
    write_sidecar(model, replace(INFO, precision="bf16"), (model.with_suffix(".bin"),))
    assert OpenVino(model).loaded.precision == "bf16"
    assert OpenVino(model, OpenVinoOptions(precision="fp32")).loaded.precision == "fp32"


def test_fp16_weights_run_in_float32_on_a_cpu_and_are_not_called_fp16(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "half.xml"
    ov.save_model(ov.Core().read_model(model), str(small), compress_to_fp16=True)
    write_sidecar(small, replace(INFO, precision="fp16"), (small.with_suffix(".bin"),))
    with OpenVino(small) as runtime:
        assert runtime.loaded.precision == "fp32"
        assert runtime.loaded.details["convolutions"] == {"fp32": 1}


@pytest.mark.parametrize(
    ("asked", "exported", "device", "offered", "expected"),
    [
        ("auto", "fp32", "CPU", ("FP32", "BF16"), "fp32"),
        ("auto", "int8", "CPU", ("FP32", "BF16", "INT8"), "fp32"),
        ("auto", "bf16", "CPU", ("FP32", "BF16"), "bf16"),
        ("auto", "fp16", "CPU", ("FP32", "FP16"), "fp32"),
        ("auto", "fp16", "GPU.0", ("FP32", "FP16"), "fp16"),
        ("bf16", "fp32", "CPU", ("FP32", "BF16"), "bf16"),
        ("fp32", "bf16", "CPU", ("FP32", "BF16"), "fp32"),
    ],
)
def test_choice_of_precision(
    asked: str, exported: str, device: str, offered: tuple[str, ...], expected: str
) -> None:
    assert choose_precision(asked, exported, device, offered) == expected


def test_bf16_on_a_cpu_without_it_is_refused() -> None:
    with pytest.raises(UsageError, match=r"bf16, which this CPU does not have; pass precision='fp32'"):
        choose_precision("bf16", "fp32", "CPU", ("FP32", "INT8"))
    with pytest.raises(ArtifactError, match=r"exported for bf16.*pass precision='fp32'"):
        choose_precision("auto", "bf16", "CPU", ("FP32", "INT8"))


def test_a_precision_that_openvino_replaced_is_refused() -> None:
    assert check_precision("bf16", "bf16", "CPU") == "bf16"
    with pytest.raises(ArtifactError, match="fp16 was wanted, OpenVINO runs bf16"):
        check_precision("fp16", "bf16", "CPU")


def test_devices() -> None:
    machine = SimpleNamespace(available_devices=["CPU", "GPU.0", "GPU.1"])
    named = [choose_device(asked, machine) for asked in ("auto", "cpu", "gpu", "gpu:1")]
    assert named == ["CPU", "CPU", "GPU", "GPU.1"]
    with pytest.raises(UsageError, match=r"OpenVINO finds CPU, GPU\.0, GPU\.1 here"):
        choose_device("npu", machine)
    with pytest.raises(UsageError, match="openvino takes auto, cpu, gpu, gpu:N and npu"):
        choose_device("cuda", machine)


def test_threads_and_hint_are_obtained(model: Path) -> None:
    with OpenVino(model, OpenVinoOptions(threads=1, hint="throughput")) as runtime:
        assert runtime.loaded.details["threads"] == 1
        assert runtime.loaded.details["hint"] == "throughput"
    with pytest.raises(UsageError, match="hint is 'fast'; openvino takes latency, throughput"):
        OpenVinoOptions(hint="fast")


def test_results_belong_to_the_caller(model: Path) -> None:
    with OpenVino(model) as runtime:
        first = runtime.infer({"images": picture(1)})["output"]
        kept = first.copy()
        runtime.infer({"images": picture(2)})
        np.testing.assert_array_equal(first, kept)
    first += 1  # writable, and still there after close()


def test_threads_do_not_mix_results(model: Path) -> None:
    with OpenVino(model, OpenVinoOptions(hint="throughput")) as runtime:
        expected = [runtime.infer({"images": picture(seed)})["output"] for seed in range(4)]

        def repeat(seed: int) -> bool:
            runs = (runtime.infer({"images": picture(seed)})["output"] for _ in range(20))
            return all(np.allclose(run, expected[seed], atol=1e-5) for run in runs)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(repeat, range(4)))


def test_closed(model: Path) -> None:
    runtime = OpenVino(model)
    runtime.close()
    runtime.close()
    with pytest.raises(ClosedError):
        runtime.infer({"images": picture()})


def test_free_batch(tmp_path: Path) -> None:
    with OpenVino(save_model(tmp_path / "free.xml", (-1, 3, 32, 32))) as runtime:
        assert runtime.inputs[0].shape == (None, 3, 32, 32)
        for batch in (1, 3):
            output = runtime.infer({"images": picture(0, (batch, 3, 32, 32))})["output"]
            assert output.shape == (batch, 16, 32, 32)


def test_second_load_comes_from_the_cache(model: Path, own_cache: Path) -> None:
    first, second = OpenVino(model), OpenVino(model)
    assert (first.loaded.details["from_cache"], second.loaded.details["from_cache"]) == (False, True)
    assert second.loaded.details["cache_dir"] == str(own_cache / "openvino")
    expected = first.infer({"images": picture()})["output"]
    np.testing.assert_allclose(second.infer({"images": picture()})["output"], expected, atol=1e-6)


def test_the_cache_does_not_carry_one_precision_into_another(model: Path, own_cache: Path) -> None:
    needs_bf16()
    expected = OpenVino(model, OpenVinoOptions(cache_dir=None)).infer({"images": picture()})["output"]
    OpenVino(model, OpenVinoOptions(precision="bf16"))
    with OpenVino(model) as runtime:
        assert runtime.loaded.details["convolutions"] == {"fp32": 1}
        np.testing.assert_array_equal(runtime.infer({"images": picture()})["output"], expected)


def test_a_damaged_cache_is_made_anew(model: Path, own_cache: Path) -> None:
    OpenVino(model).close()
    blobs = list((own_cache / "openvino").glob("*.blob"))
    assert blobs
    for blob in blobs:
        blob.write_bytes(blob.read_bytes()[:100])
    assert OpenVino(model).loaded.details["from_cache"] is False


def test_no_cache_and_no_place_for_one(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenVino(model, OpenVinoOptions(cache_dir=None)).loaded.details["cache_dir"] is None
    with pytest.raises(UsageError, match="cannot be made"):
        prepare_cache(model / "inside a file")
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(model))
    assert prepare_cache("auto") is None


@pytest.mark.parametrize("remains", [None, b""])
def test_missing_weights_are_named(model: Path, remains: bytes | None) -> None:
    weights = model.with_suffix(".bin")
    weights.unlink()
    if remains is not None:
        weights.write_bytes(remains)
    with pytest.raises(ArtifactError, match=r"needs model\.bin beside it"):
        OpenVino(model)


def test_damaged_files_are_refused(model: Path) -> None:
    weights = model.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"openvino could not load .*model\.xml"):
        OpenVino(model)
    weights.write_bytes(whole)
    model.write_text(model.read_text(encoding="utf-8")[:700], encoding="utf-8")
    with pytest.raises(ArtifactError, match="openvino could not load"):
        OpenVino(model)


def test_another_format_under_the_suffix_is_refused(model: Path, tmp_path: Path) -> None:
    other = shutil.copy(save_onnx(tmp_path / "a.onnx", {}), tmp_path / "other.xml")
    shutil.copy(model.with_suffix(".bin"), tmp_path / "other.bin")
    with pytest.raises(ArtifactError, match=r"other\.xml is an ONNX file, not an OpenVINO IR: rename"):
        OpenVino(other)


def test_reason_is_the_last_line_of_openvinos_message(model: Path) -> None:
    message = (
        "Exception from src/core.cpp:84:\nCheck 'x' failed at y.cpp:1:\nIncorrect weights in bin file!\n\n"
    )
    runtime = OpenVino(model)
    assert runtime._reason(RuntimeError(message)) == "Incorrect weights in bin file!"
    assert runtime._reason(RuntimeError()) == "RuntimeError"


def test_metadata_of_an_onnx_file_is_read(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "described.onnx", {METADATA_KEY: replace(INFO, boxes="decoded").to_json()})
    with OpenVino(path) as runtime:
        assert runtime.artifact == replace(INFO, boxes="decoded")
    with OpenVino(save_onnx(tmp_path / "foreign.onnx", {})) as runtime:
        assert runtime.artifact is None


def test_official_file_gives_what_onnxruntime_gives(shared: Path) -> None:
    path = shared / "real" / "yolox_nano_official.onnx"
    tensor = picture(3, (1, 3, 416, 416)) * 255
    with OpenVino(path) as ours, OnnxRuntime(path) as reference:
        expected = reference.infer({"images": tensor})["output"]
        np.testing.assert_allclose(ours.infer({"images": tensor})["output"], expected, rtol=1e-3, atol=1e-3)


def test_probe_names_version_and_devices() -> None:
    found = OpenVino.probe()
    assert found["version"] == ov.__version__
    assert "FP32" in found["CPU"]


def test_loading_sends_nothing_and_writes_nothing_home(model: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import os, sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.connect', 'socket.getaddrinfo', 'urllib.Request')):\n"
        "        os.write(2, f'CONNECTION {event}'.encode())\n"  # also from a forked sender
        "        raise OSError('no connections here')\n"
        "sys.addaudithook(refuse)\n"
        "from yolox_deploy.runtimes.openvino_adapter import OpenVino\n"
        "OpenVino(sys.argv[1]).close()\n"
        "assert 'CI' not in os.environ\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(model)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CONNECTION" not in done.stderr
    assert list(home.iterdir()) == []
