"""Building engines for real: TensorRT-RTX's builder needs no GPU, and its interface is TensorRT's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.conftest import Told
from yolox_deploy.artifact import ArtifactInfo, Sidecar, read_sidecar, sidecar_path, write_sidecar
from yolox_deploy.converters import ExportOptions, Source, tensorrt_build, tensorrt_target
from yolox_deploy.converters.tensorrt_target import build_engine, convert_tensorrt, convert_tensorrt_rtx
from yolox_deploy.errors import ArtifactError, MissingExtraError, UsageError
from yolox_deploy.models import ZOO
from yolox_deploy.synthetic.scenes import CLASS_NAMES
from yolox_deploy.types import InputConvention, Report
from yolox_deploy.vendors.gpu import Gpu
from yolox_deploy.vendors.tensorrt_sdk import Sdk, load_sdk

pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")

SMALL = (64, 64)


def save_toy(
    path: Path, shape: list[int | str], *, kind: str = "float32", half_layers: int = 0, nhwc: bool = False
) -> Source:
    """Two convolutions, one with a bias, `images` (N, 3, H, W) to `output` (N, 6, H, W); free dimensions are names."""
    pixels = [shape[0], *shape[2:], 3] if nhwc else shape
    nodes, tensor = [], "images"
    if nhwc:
        nodes.append(helper.make_node("Transpose", [tensor], ["nchw"], name="permute", perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Cast", ["nchw"], ["float"], name="to_float", to=TensorProto.FLOAT))
        tensor = "float"
    weights = {
        "a": np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32),
        "b": np.random.default_rng(1).normal(size=(6, 4, 1, 1)).astype(np.float32),
        "bias": np.arange(6, dtype=np.float32),
    }
    if half_layers:
        weights["a"] = weights["a"].astype(np.float16)
        nodes.append(helper.make_node("Cast", [tensor], ["half"], to=TensorProto.FLOAT16))
        nodes.append(helper.make_node("Conv", ["half", "a"], ["c_half"], name="conv_a"))
        nodes.append(helper.make_node("Cast", ["c_half"], ["c"], to=TensorProto.FLOAT))
    else:
        nodes.append(helper.make_node("Conv", [tensor, "a"], ["c"], name="conv_a"))
    nodes.append(helper.make_node("Relu", ["c"], ["r"], name="relu"))
    nodes.append(helper.make_node("Conv", ["r", "b", "bias"], ["output"], name="conv_b"))
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", dtype, pixels)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [shape[0], 6, *shape[2:]])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    height, width = (side if isinstance(side, int) else 64 for side in shape[2:])
    convention = InputConvention("NHWC", "uint8") if nhwc else InputConvention()
    batch = shape[0] if isinstance(shape[0], int) else None
    info = ArtifactInfo("toy", ("thing",), (height, width), batch=batch, input=convention)
    return Source(nn.Identity(), path, info)


@pytest.fixture
def toy(tmp_path: Path) -> Source:
    return save_toy(tmp_path / "source.onnx", [1, 3, *SMALL])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.engine"


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return load_sdk("tensorrt-rtx")


def is_readable(sdk: Sdk, engine: Path) -> bool:
    """Whether the library recognises the file as an engine of its own version (asked without a GPU)."""
    trt = sdk.module
    runtime = trt.Runtime(sdk.logger)
    _, problems = runtime.get_engine_validity(engine.read_bytes()[: runtime.engine_header_size])
    faults = trt.EngineInvalidityDiagnostics
    return not problems & (int(faults.MALFORMED_ENGINE) | int(faults.VERSION_MISMATCH))


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "FLOAT"), ("fp16", "HALF"), ("bf16", "BF16")])
def test_real_network_in_each_precision(
    nano_onnx: Path, target: Path, sdk: Sdk, precision: str, kind: str
) -> None:
    info = ArtifactInfo("yolox_nano", CLASS_NAMES, (480, 640))
    source = Source(nn.Identity(), nano_onnx, info)
    options = ExportOptions(precision=precision, compute_capability=(8, 6))
    converted = convert_tensorrt_rtx(source, target, options)
    assert converted.info.precision == precision
    assert converted.info.format == "tensorrt-rtx"
    assert converted.info.versions["tensorrt-rtx"] == sdk.version
    details = converted.info.details
    assert details["layers"] == {kind: 113}
    assert details["compute_capability"] == ["8.6"]
    assert details["tensorrt"] == sdk.version
    assert details["profile"] == {}
    assert "not yet run" in details["note"]
    assert is_readable(sdk, target)
    write_sidecar(target, converted.info)
    assert read_sidecar(target) == Sidecar(converted.info, True)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "yolox_nano" else pytest.mark.slow) for name in ZOO]
)
def test_every_model_of_the_zoo(tmp_path: Path, target: Path, sdk: Sdk, name: str) -> None:
    import torch

    from yolox_deploy.converters.onnx_target import make_source
    from yolox_deploy.models import build_model
    from yolox_deploy.models.fusion import fuse

    with torch.device("meta"):  # drawing 99 million random weights would take longer than the rest
        model = build_model(name)
    model = model.to_empty(device="cpu")
    for value in model.state_dict().values():
        value.copy_(torch.rand(value.shape).add(0.5))  # equal weights would be merged
    options = ExportOptions(precision="fp16", compute_capability=(8, 9))
    info = ArtifactInfo(name, tuple(f"c{i}" for i in range(80)), SMALL)
    source = make_source(fuse(model), info, options, tmp_path)
    converted = convert_tensorrt_rtx(source, target, options)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert converted.info.details["layers"] == {"HALF": convolutions}
    assert converted.info.precision == "fp16"
    assert is_readable(sdk, target)


@pytest.mark.parametrize("name", ["nms_free@0.125", "end_to_end_coupled@0.125"])
def test_end_to_end_rows_say_that_they_need_no_suppression(
    tmp_path: Path, target: Path, sdk: Sdk, name: str
) -> None:
    from yolox_deploy.converters.onnx_target import make_source
    from yolox_deploy.models import build_model
    from yolox_deploy.models.fusion import fuse

    model = build_model(name, 3)
    options = ExportOptions(precision="fp16", compute_capability=(8, 9))
    info = ArtifactInfo(name, ("a", "b", "c"), SMALL, **model.config.output_form())
    converted = convert_tensorrt_rtx(make_source(fuse(model), info, options, tmp_path), target, options)
    write_sidecar(target, converted.info)
    found = ArtifactInfo.from_json(sidecar_path(target).read_text())
    assert (found.suppression, found.priors) == ("not_needed", model.config.priors)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert found.details["layers"] == {"HALF": convolutions}
    assert is_readable(sdk, target)


def test_damaged_engine_is_told_from_a_good_one(toy: Source, target: Path, sdk: Sdk) -> None:
    convert_tensorrt_rtx(toy, target, ExportOptions())
    content = bytearray(target.read_bytes())
    content[:16] = bytes(16)
    target.write_bytes(content)
    assert not is_readable(sdk, target)


def test_portable_engine_without_a_compute_capability(toy: Source, target: Path) -> None:
    details = convert_tensorrt_rtx(toy, target, ExportOptions()).info.details
    assert details["compute_capability"] == ["8.0+"]
    assert details["gpu"] is None


def test_unknown_compute_capability_names_the_known(toy: Source, target: Path) -> None:
    with pytest.raises(UsageError, match=r"7\.0; it knows SM.*SM86"):
        convert_tensorrt_rtx(toy, target, ExportOptions(compute_capability=(7, 0)))


def test_free_batch_gets_a_profile(tmp_path: Path, target: Path) -> None:
    source = save_toy(tmp_path / "source.onnx", ["batch", 3, *SMALL])
    details = convert_tensorrt_rtx(source, target, ExportOptions(batch=None, max_batch=4)).info.details
    assert details["profile"]["images"] == {
        "min": [1, 3, 64, 64],
        "opt": [4, 3, 64, 64],
        "max": [4, 3, 64, 64],
    }


def test_free_size_gets_a_profile_when_its_range_is_named(tmp_path: Path, target: Path) -> None:
    source = save_toy(tmp_path / "source.onnx", [1, 3, "height", "width"])
    with pytest.raises(UsageError, match="name their range"):
        convert_tensorrt_rtx(source, target, ExportOptions())
    options = ExportOptions(size_range=((32, 64), (96, 128)))
    details = convert_tensorrt_rtx(source, target, options).info.details
    assert details["profile"]["images"] == {
        "min": [1, 3, 32, 64],
        "opt": [1, 3, 64, 64],
        "max": [1, 3, 96, 128],
    }


@pytest.mark.parametrize(
    "options",
    [ExportOptions(batch=None, max_batch=0), ExportOptions(batch=None, size_range=((96, 96), (128, 128)))],
)
def test_impossible_ranges_are_refused(tmp_path: Path, target: Path, options: ExportOptions) -> None:
    source = save_toy(tmp_path / "source.onnx", ["batch", 3, "height", "width"])
    with pytest.raises(UsageError, match=r"expected at least 1|do not hold"):
        convert_tensorrt_rtx(source, target, options)
    assert not target.exists()


def test_uint8_input(tmp_path: Path, target: Path) -> None:
    source = save_toy(tmp_path / "source.onnx", ["batch", 3, *SMALL], kind="uint8", nhwc=True)
    options = ExportOptions(precision="fp16", batch=None, uint8_input=True, max_batch=2)
    converted = convert_tensorrt_rtx(source, target, options)
    assert converted.info.input.dtype == "uint8"
    assert converted.info.details["profile"]["images"]["max"] == [2, 64, 64, 3]


def test_int8_keeps_half_precision_between_its_convolutions(
    photographs: list[Path], toy: Source, target: Path, tmp_path: Path
) -> None:
    calib = tmp_path / "calib"
    calib.mkdir()
    for picture in photographs[:2]:
        (calib / picture.name).symlink_to(picture)
    options = ExportOptions(precision="int8", calib=calib)
    assert convert_tensorrt_rtx(toy, target, options).info.details["layers"] == {"INT8": 2}
    options = dataclasses.replace(options, float_layers=("conv_b",))
    converted = convert_tensorrt_rtx(toy, target, options)
    assert converted.info.details["layers"] == {"INT8": 1, "HALF": 1}
    assert converted.info.precision == "int8"


def test_precision_is_never_the_one_merely_asked_for(tmp_path: Path, toy: Source, sdk: Sdk) -> None:
    parsed = tensorrt_build.parse(sdk, toy.onnx)
    with pytest.raises(ArtifactError, match=r"fp16 was asked for.*'FLOAT': 2"):
        tensorrt_build.achieved_precision(parsed, "fp16")
    mixed = save_toy(tmp_path / "mixed.onnx", [1, 3, *SMALL], half_layers=1)
    with pytest.raises(ArtifactError, match=r"'HALF': 1, 'FLOAT': 1"):
        tensorrt_build.achieved_precision(tensorrt_build.parse(sdk, mixed.onnx), "fp16")


def test_half_inputs_are_refused(tmp_path: Path, sdk: Sdk) -> None:
    model = onnx.load(str(save_toy(tmp_path / "toy.onnx", [1, 3, *SMALL], half_layers=1).onnx))
    del model.graph.node[0]  # the cast of the input
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.node[0].input[0] = "images"
    onnx.save(model, str(tmp_path / "half.onnx"))
    parsed = tensorrt_build.parse(sdk, tmp_path / "half.onnx")
    parsed.layers.pop("FLOAT")
    with pytest.raises(ArtifactError, match="'images' is HALF; expected FLOAT"):
        tensorrt_build.achieved_precision(parsed, "fp16")


def test_settings_reach_the_builder(sdk: Sdk) -> None:
    trt = sdk.module
    builder = trt.Builder(sdk.logger)
    config = tensorrt_target.make_config(sdk, builder, ExportOptions(workspace_mib=64))
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 64 << 20
    assert not config.get_flag(trt.BuilderFlag.TF32), "fp32 means float32, not its 10-bit rounding"


def test_progress_is_told(toy: Source, target: Path) -> None:
    told = Told()
    convert_tensorrt_rtx(toy, target, ExportOptions(report=told))
    steps = told.counts
    phases = {phase for phase, _, _ in steps}
    assert len(phases) > 1
    for phase in phases:
        assert steps[max(i for i, step in enumerate(steps) if step[0] == phase)][1] > 0
    assert all(0 <= done <= total for _, done, total in steps)


def test_interrupting_the_progress_ends_the_build(toy: Source, target: Path) -> None:
    class Interrupting(Report):
        def advance(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_tensorrt_rtx(toy, target, ExportOptions(report=Interrupting()))
    assert not target.exists()


def test_graph_that_cannot_be_read_names_the_node(tmp_path: Path, sdk: Sdk) -> None:
    source = save_toy(tmp_path / "source.onnx", [1, 3, *SMALL], kind="uint8", nhwc=True)
    with pytest.raises(ArtifactError, match=r"cannot read the graph.*permute"):
        tensorrt_build.parse(sdk, source.onnx)


def test_graph_that_cannot_be_built_gives_the_reason(tmp_path: Path, target: Path) -> None:
    boxes, scores = np.zeros((1, 4, 4), np.float32), np.zeros((1, 1, 4), np.float32)
    nodes = [
        helper.make_node("Add", ["images", "boxes"], ["moved"]),
        helper.make_node("NonMaxSuppression", ["moved", "scores", "most"], ["picked"], name="suppress"),
        helper.make_node("Cast", ["picked"], ["output"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(boxes, "boxes"),
            numpy_helper.from_array(scores, "scores"),
            numpy_helper.from_array(np.array([4]), "most"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(tmp_path / "nms.onnx"))
    sdk = load_sdk("tensorrt-rtx")
    parsed = tensorrt_build.parse(sdk, tmp_path / "nms.onnx")  # the parser takes the operator
    config = tensorrt_target.make_config(sdk, parsed.builder, ExportOptions())
    with pytest.raises(ArtifactError, match=r"cannot build the engine.*suppress"):
        tensorrt_build.serialize(sdk, parsed, config, target)


def test_target_trt_without_tensorrt_names_the_extra(toy: Source, target: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"yolox-deploy\[tensorrt\]"):
        convert_tensorrt(toy, target, ExportOptions())


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_target_trt_keeps_timings_for_the_next_build(
    toy: Source, target: Path, sdk: Sdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    twin = dataclasses.replace(sdk, flavor="tensorrt")  # the builder's interface is the same
    gpu = Gpu(0, "NVIDIA A10", (8, 6))
    for _ in range(2):
        converted = build_engine(twin, toy, target, ExportOptions(precision="fp16"), gpu)
    assert converted.info.format == "tensorrt"
    assert converted.info.details["gpu"] == "NVIDIA A10"
    assert converted.info.details["compute_capability"] == ["8.6"]
    caches = list((tmp_path / "cache" / "tensorrt").iterdir())
    assert [cache.name for cache in caches] == [f"timing-{sdk.version}-sm8.6.cache"]
    assert caches[0].stat().st_size > 0


def test_target_trt_builds_for_the_gpu_it_has_only(
    toy: Source, target: Path, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twin(flavor: str) -> Sdk:
        return dataclasses.replace(sdk, flavor=flavor)

    def a10(*_: Any) -> Gpu:
        return Gpu(0, "NVIDIA A10", (8, 6))

    monkeypatch.setattr(tensorrt_target, "load_sdk", twin)
    monkeypatch.setattr(tensorrt_target, "find_gpu", a10)
    with pytest.raises(UsageError, match=r"NVIDIA A10 \(8\.6\).*8\.9 was asked for.*trt-rtx"):
        convert_tensorrt(toy, target, ExportOptions(compute_capability=(8, 9)))
