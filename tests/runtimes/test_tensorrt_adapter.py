"""The TensorRT adapter up to the GPU.

What is real: TensorRT-RTX builds the engines of the preflight tests, and each name of the stand-in for its
runtime is checked against the real classes. What stands in: the GPU. `FakeDevice` runs queued work when it is
waited for, as a stream does, so that a missing wait or a reused buffer shows in the numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolox_deploy.artifact import ArtifactInfo, sidecar_path, write_sidecar
from yolox_deploy.errors import (
    ArtifactError,
    ClosedError,
    MissingExtraError,
    RuntimeFailure,
    UsageError,
    YoloxDeployError,
)
from yolox_deploy.runtimes import open_runtime, tensorrt_adapter
from yolox_deploy.runtimes.cuda_device import Buffer
from yolox_deploy.runtimes.tensorrt_adapter import (
    TensorRT,
    TensorRTOptions,
    check_version,
    gpu_index,
    rebuild_command,
    runs_on,
)
from yolox_deploy.runtimes.tensorrt_session import EngineSession
from yolox_deploy.vendors.gpu import Gpu, find_gpu
from yolox_deploy.vendors.tensorrt_sdk import Sdk, check_gpu, load_sdk

A10 = Gpu(0, "NVIDIA A10", (8, 6))
V100 = Gpu(0, "Tesla V100-SXM2-16GB", (7, 0))


class FakeDevice:
    """Memory in NumPy arrays, and a queue that `synchronize` empties."""

    package = "fake"
    stream = 7

    def __init__(self, has_graphs: bool = True) -> None:
        self.has_graphs = has_graphs
        self.log: list[str] = []
        self.memory: dict[int, np.ndarray] = {}
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.capture_fails = False
        self.depth = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def note(self, event: str) -> None:
        assert self.depth == 1, f"{event} outside of the context"
        self.log.append(event)

    def allocate(self, nbytes: int) -> Buffer:
        self.note("allocate")
        address = 4096 * (len(self.log) + 1)
        self.memory[address] = np.full(nbytes, 0xEE, np.uint8)
        return Buffer(np.full(nbytes, 0xDD, np.uint8), address, ())

    def free(self, buffer: Buffer) -> None:
        self.note("free")
        del self.memory[buffer.address]

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        self.note("upload")
        self.push(lambda: np.copyto(self.memory[buffer.address][:nbytes], buffer.host[:nbytes]))

    def download(self, buffer: Buffer, nbytes: int) -> None:
        self.note("download")
        self.push(lambda: np.copyto(buffer.host[:nbytes], self.memory[buffer.address][:nbytes]))

    def push(self, work: Callable[[], None]) -> None:
        (self.queue if self.recording is None else self.recording).append(work)

    def mark(self, event: int) -> None:
        self.note(f"mark {event}")

    def elapsed_ms(self) -> float:
        self.note("elapsed")
        return 1.5

    def synchronize(self) -> None:
        self.note("synchronize")
        while self.queue:
            self.queue.pop(0)()

    def capture(self, work: Callable[[], None]) -> Any:
        self.note("capture")
        self.recording = []
        work()
        graph, self.recording = self.recording, None
        if self.capture_fails:
            raise RuntimeFailure("CUDA: cuStreamEndCapture failed with CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        return graph

    def launch(self, graph: Any) -> None:
        self.note("launch")
        self.queue += graph

    def destroy(self, graph: Any) -> None:
        self.note("destroy graph")

    def close(self) -> None:
        assert self.depth == 0
        self.log.append("close")


class FakeRuntimeCache:
    """`IRuntimeCache`: keeps what it is given."""

    content = b""

    def deserialize(self, blob: bytes) -> bool:
        self.content = bytes(blob)
        return True

    def serialize(self) -> bytes:
        return self.content + b"kernel"


class FakeRuntimeConfig:
    """`IRuntimeConfig`."""

    def __init__(self) -> None:
        self.cuda_graph_strategy = "disabled"
        self.cache = FakeRuntimeCache()

    def create_runtime_cache(self) -> FakeRuntimeCache:
        return self.cache

    def set_runtime_cache(self, cache: FakeRuntimeCache) -> bool:
        return cache is self.cache


class FakeContext:
    """`IExecutionContext` of a network that doubles its input; `rows` of "output" may depend on the data."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = engine.input_shape
        self.allocator: Any = None

    def __del__(self) -> None:
        self.engine.device.log.append("context gone")

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return self.engine.addresses_accepted

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        self.allocator = output_allocator
        return True

    def get_max_output_size(self, name: str) -> int:
        return int(np.prod(self.shape)) * 4

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        dependent = name == "output" and self.engine.data_dependent
        return (-1, *self.shape[1:]) if dependent else self.shape

    def execute_async_v3(self, stream_handle: int) -> bool:
        device = self.engine.device
        device.note("execute")
        assert stream_handle == device.stream
        if self.engine.broken:
            self.engine.errors.append("IExecutionContext::enqueueV3: illegal memory access")
            return False
        shape, target = self.shape, self.addresses.get("output")
        if self.allocator is not None:
            shape = (1, *shape[1:])
            nbytes = int(np.prod(shape)) * 4
            target = self.allocator.reallocate_output_async("output", 0, nbytes, 256, stream_handle)
            self.allocator.notify_shape("output", shape)
        count = int(np.prod(shape))
        source = self.addresses["images"]

        def work() -> None:
            assert target is not None
            values = device.memory[source][: count * 4].view(np.float32) * 2
            np.copyto(device.memory[target][: count * 4], values.view(np.uint8))

        device.push(work)
        return True


class FakeEngine:
    """`ICudaEngine` with one input and one output, batch 1 or free from 1 to 4."""

    num_io_tensors = 2

    def __init__(self, device: FakeDevice, errors: deque[str], *, free_batch: bool = False) -> None:
        self.device, self.errors = device, errors
        self.input_shape = (-1 if free_batch else 1, 3)
        self.data_dependent = self.broken = False
        self.addresses_accepted = True
        self.context_is_made = True
        self.config = FakeRuntimeConfig()

    def get_tensor_name(self, index: int) -> str:
        return ("images", "output")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "images" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return "FLOAT"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 3) if name == "output" and self.data_dependent else self.input_shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [(1, 3), (4, 3), (4, 3)]

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return self.config

    def create_execution_context(self, config: FakeRuntimeConfig | None = None) -> FakeContext | None:
        return FakeContext(self) if self.context_is_made else None


class FakeRuntime:
    """`Runtime` that hands out the engine prepared by the test, or None for a damaged one."""

    def __init__(self, engine: FakeEngine | None) -> None:
        self.engine = engine

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> FakeEngine | None:
        return self.engine


class FakeModule:
    """The few module-level names that the session uses."""

    __version__ = "10.4.0"

    class TensorIOMode:
        INPUT, OUTPUT = "in", "out"

    class CudaGraphStrategy:
        WHOLE_GRAPH_CAPTURE = "whole"

    class IOutputAllocator:
        pass

    def __init__(self, engine: FakeEngine | None) -> None:
        self.engine = engine

    def Runtime(self, logger: Any) -> FakeRuntime:
        return FakeRuntime(self.engine)

    def nptype(self, dtype: str) -> type:
        return np.float32


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def engine(device: FakeDevice) -> FakeEngine:
    return FakeEngine(device, deque(maxlen=4))


def sdk_of(engine: FakeEngine, flavor: str = "tensorrt") -> Sdk:
    return Sdk(flavor, FakeModule(engine), None, engine.errors)


def ones(batch: int = 1, value: float = 1.0) -> dict[str, np.ndarray]:
    return {"images": np.full((batch, 3), value, np.float32)}


def test_stand_in_has_the_names_of_the_real_interface() -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
    pairs = {
        FakeContext: trt.IExecutionContext,
        FakeEngine: trt.ICudaEngine,
        FakeRuntime: trt.Runtime,
        FakeRuntimeConfig: trt.IRuntimeConfig,
        FakeRuntimeCache: trt.IRuntimeCache,
    }
    for fake, real in pairs.items():
        names = [name for name, value in vars(fake).items() if callable(value) and name[0] != "_"]
        assert names
        assert [name for name in names if not hasattr(real, name)] == []
    assert hasattr(trt.ICudaEngine, "num_io_tensors")
    assert hasattr(trt.IRuntimeConfig, "cuda_graph_strategy")
    for name in ("TensorIOMode", "CudaGraphStrategy", "IOutputAllocator", "Runtime", "nptype"):
        assert hasattr(trt, name)


def test_results_are_right_and_belong_to_the_caller(device: FakeDevice, engine: FakeEngine) -> None:
    session = EngineSession(sdk_of(engine), b"plan", device)
    first = session.run(ones(value=1))["output"]
    second = session.run(ones(value=5))["output"]
    np.testing.assert_array_equal(first, [[2, 2, 2]])
    np.testing.assert_array_equal(second, [[10, 10, 10]])


def test_static_shapes_replay_a_graph_captured_after_one_ordinary_run(
    device: FakeDevice, engine: FakeEngine
) -> None:
    session = EngineSession(sdk_of(engine), b"plan", device)
    assert session.cuda_graph == "captured"
    assert device.log == ["allocate", "allocate", "execute", "synchronize", "capture", "execute"]
    device.log.clear()
    session.run(ones())
    assert device.log == ["upload", "mark 0", "launch", "mark 1", "download", "synchronize"]
    assert session.device_ms() == 1.5


def test_everything_is_freed_in_the_order_of_dependence(device: FakeDevice, engine: FakeEngine) -> None:
    session = EngineSession(sdk_of(engine), b"plan", device)
    device.log.clear()
    session.close()
    assert device.log == ["destroy graph", "free", "free", "context gone", "close"]
    assert device.memory == {}


@pytest.mark.parametrize("reason", ["asked", "package", "capture"])
def test_without_a_graph_it_runs_all_the_same_and_says_why(reason: str) -> None:
    device = FakeDevice(has_graphs=reason != "package")
    device.capture_fails = reason == "capture"
    session = EngineSession(
        sdk_of(FakeEngine(device, deque())), b"plan", device, cuda_graph=reason != "asked"
    )
    expected = {"asked": "not asked for", "package": "fake cannot capture", "capture": "INVALIDATED"}
    assert session.cuda_graph.startswith("off")
    assert expected[reason] in session.cuda_graph
    np.testing.assert_array_equal(session.run(ones())["output"], [[2, 2, 2]])
    session.close()
    assert "launch" not in device.log
    assert "destroy graph" not in device.log


def test_free_batch_takes_its_range_and_nothing_else(device: FakeDevice) -> None:
    session = EngineSession(sdk_of(FakeEngine(device, deque(), free_batch=True)), b"plan", device)
    assert session.input_specs[0].shape == (None, 3)
    assert session.cuda_graph == "off (shapes are not fixed)"
    for batch in (4, 1, 2):
        np.testing.assert_array_equal(session.run(ones(batch))["output"], np.full((batch, 3), 2))
    with pytest.raises(UsageError, match=r"\(5, 3\); the engine was built for \(1, 3\) to \(4, 3\)"):
        session.run(ones(5))


def test_output_whose_shape_depends_on_the_data(device: FakeDevice) -> None:
    engine = FakeEngine(device, deque(), free_batch=True)
    engine.data_dependent = True
    session = EngineSession(sdk_of(engine), b"plan", device)
    assert session.output_specs[0].shape == (None, 3)
    np.testing.assert_array_equal(session.run(ones(4))["output"], [[2, 2, 2]])


def test_allocator_never_hands_out_more_than_it_has(device: FakeDevice) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
    from yolox_deploy.runtimes.tensorrt_session import make_output_allocator

    allocator = make_output_allocator(trt, Buffer(np.zeros(64, np.uint8), 4096, ()))
    assert isinstance(allocator, trt.IOutputAllocator)
    assert allocator.reallocate_output("output", 0, 64, 256) == 4096
    assert allocator.reallocate_output_async("output", 0, 65, 256, 7) is None


def test_failed_run_gives_the_librarys_reason(device: FakeDevice, engine: FakeEngine) -> None:
    session = EngineSession(sdk_of(engine), b"plan", device, cuda_graph=False)
    engine.broken = True
    with pytest.raises(RuntimeFailure, match=r"could not run the network.*illegal memory access"):
        session.run(ones())
    session.close()
    assert device.memory == {}


def test_unreadable_engine_frees_what_was_taken(device: FakeDevice) -> None:
    errors: deque[str] = deque()
    sdk = Sdk("tensorrt", FakeModule(None), None, errors)
    with pytest.raises(ArtifactError, match="TensorRT cannot read the engine"):
        EngineSession(sdk, b"plan", device)
    assert device.log == ["close"]


@pytest.mark.parametrize("fault", ["context_is_made", "addresses_accepted"])
def test_failed_set_up_frees_what_was_taken(device: FakeDevice, engine: FakeEngine, fault: str) -> None:
    setattr(engine, fault, False)
    with pytest.raises(RuntimeFailure, match=r"no execution context|'images' was refused"):
        EngineSession(sdk_of(engine), b"plan", device)
    assert device.memory == {}
    assert device.log[-1] == "close"


def test_rtx_captures_by_itself_and_keeps_its_kernels(
    device: FakeDevice, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    sdk = sdk_of(engine, "tensorrt-rtx")
    session = EngineSession(sdk, b"plan", device)
    assert session.cuda_graph == "by TensorRT-RTX"
    assert engine.config.cuda_graph_strategy == "whole"
    assert "capture" not in device.log
    session.close()
    file = next((tmp_path / "tensorrt-rtx").iterdir())
    assert file.name.endswith("-10.4.0.kernels")
    assert file.read_bytes() == b"kernel"
    EngineSession(sdk, b"plan", FakeDevice()).close()
    assert engine.config.cache.content == b"kernel", "the second session starts with the first one's kernels"


# --- the adapter: preflight, then the contract of a runtime


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real TensorRT-RTX engine for compute capability 8.6, with its sidecar."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
    from onnx import TensorProto, helper, save
    from torch import nn

    from yolox_deploy.converters import ExportOptions, Source
    from yolox_deploy.converters.tensorrt_target import convert_tensorrt_rtx

    folder = tmp_path_factory.mktemp("engine")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "w"], ["output"], name="conv"),
        ],
        "toy",
        [value("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [value("output", TensorProto.FLOAT, [1, 1, 32, 32])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1, 3, 1, 1], [1.0, 2.0, 3.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, str(folder / "source.onnx"))
    source = Source(nn.Identity(), folder / "source.onnx", ArtifactInfo("toy", ("a", "b"), (32, 32)))
    options = ExportOptions(precision="fp16", compute_capability=(8, 6))
    converted = convert_tensorrt_rtx(source, folder / "toy.engine", options)
    write_sidecar(converted.path, converted.info)
    return converted.path


@pytest.fixture
def info(built: Path) -> ArtifactInfo:
    return ArtifactInfo.from_json(sidecar_path(built).read_text())


@pytest.fixture
def described(tmp_path: Path) -> Callable[[ArtifactInfo], Path]:
    """Write some bytes as an engine with that description."""

    def write(info: ArtifactInfo) -> Path:
        path = tmp_path / "model.engine"
        path.write_bytes(b"ftrt\0\0\0\0plan")
        write_sidecar(path, info)
        return path

    return write


def v100_info() -> ArtifactInfo:
    details = {"tensorrt": "10.4.0", "gpu": V100.name, "compute_capability": ["7.0"]}
    return ArtifactInfo("yolox_l", ("a",), (640, 640), precision="fp16", format="tensorrt", details=details)


def test_version_mismatch_names_both_and_the_command(
    info: ArtifactInfo, described: Callable[[ArtifactInfo], Path]
) -> None:
    path = described(replace(info, details={**info.details, "tensorrt": "1.2.0.54"}))
    with pytest.raises(ArtifactError) as caught:
        TensorRT(path)
    message = str(caught.value)
    assert "built with TensorRT-RTX 1.2.0.54 for compute capability 8.6" in message
    assert f"found TensorRT-RTX {load_sdk('tensorrt-rtx').version}" in message
    assert "rebuild with: yolox-deploy export toy --to trt-rtx --weights FILE --fp16 --imgsz 32x32" in message


def test_wrong_gpu_names_both_and_the_command(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_adapter, "find_gpu", lambda *_: Gpu(0, "NVIDIA L4", (8, 9)))
    with pytest.raises(ArtifactError, match=r"capability 8\.6, found NVIDIA L4 .*8\.9.*rebuild with"):
        TensorRT(built)


def test_product_that_is_not_installed_is_named(described: Callable[[ArtifactInfo], Path]) -> None:
    with pytest.raises(MissingExtraError) as caught:
        TensorRT(described(v100_info()))
    assert "built with TensorRT 10.4.0 for Tesla V100-SXM2-16GB, compute capability 7.0" in str(caught.value)
    assert "pip install 'yolox-deploy[tensorrt]'" in str(caught.value)


def test_without_a_gpu_the_sentence_is_clear(built: Path) -> None:
    try:
        find_gpu()
    except YoloxDeployError:
        with pytest.raises(ArtifactError, match="no NVIDIA GPU can be used on this machine"):
            TensorRT(built)
    else:
        pytest.skip("this machine has a GPU")


def test_sidecar_of_another_backend_is_refused(described: Callable[[ArtifactInfo], Path]) -> None:
    with pytest.raises(ArtifactError, match="described as onnx"):
        TensorRT(described(ArtifactInfo("yolox_l", ("a",), (640, 640))))


def test_damaged_engine_is_noticed_before_anything_else(built: Path, tmp_path: Path) -> None:
    for file in built.parent.glob("toy.engine*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "toy.engine").write_bytes(built.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="SHA-256"):
        TensorRT(tmp_path / "toy.engine")


@pytest.mark.parametrize(
    ("options", "message"),
    [(TensorRTOptions(device="cpu"), "cuda:0"), (TensorRTOptions(threads=2), "takes none")],
)
def test_options_of_a_cpu_are_refused(built: Path, options: TensorRTOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TensorRT(built, options)


def test_a_loaded_engine_runs_behind_the_contract(
    built: Path, device: FakeDevice, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = replace(sdk_of(engine), flavor="tensorrt-rtx")
    monkeypatch.setattr(FakeModule, "__version__", load_sdk("tensorrt-rtx").version)
    monkeypatch.setattr(tensorrt_adapter, "load_sdk", lambda flavor: sdk)
    monkeypatch.setattr(tensorrt_adapter, "find_gpu", lambda *_: A10)
    monkeypatch.setattr(tensorrt_adapter, "open_device", lambda *_: device)
    with TensorRT(built, TensorRTOptions(device="cuda:0")) as runtime:
        assert isinstance(runtime, TensorRT)
        assert runtime.loaded.device == "cuda:0"
        assert runtime.loaded.precision == "fp16"
        assert runtime.loaded.details["gpu"] == "NVIDIA A10"
        assert "not yet run" in runtime.loaded.details["note"]
        assert runtime.last_device_ms() is None
        np.testing.assert_array_equal(runtime.infer(ones())["output"], [[2, 2, 2]])
        assert runtime.last_device_ms() == 1.5
        with pytest.raises(UsageError, match="expected dtype float32"):
            runtime.infer({"images": np.ones((1, 3))})
    with pytest.raises(ClosedError):
        runtime.infer(ones())
    assert device.log[-1] == "close"


def test_an_engine_is_opened_from_bytes(
    device: FakeDevice, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_adapter, "installed_flavors", lambda: ("tensorrt",))
    monkeypatch.setattr(tensorrt_adapter, "load_sdk", lambda flavor: sdk_of(engine))
    monkeypatch.setattr(tensorrt_adapter, "find_gpu", lambda *_: A10)
    monkeypatch.setattr(tensorrt_adapter, "open_device", lambda *_: device)
    with open_runtime(b"\1\2\3plan" * 99, format=".engine") as runtime:
        np.testing.assert_array_equal(runtime.infer(ones())["output"], [[2, 2, 2]])
        assert runtime.artifact is None


def test_probe_tells_what_is_missing() -> None:
    try:
        find_gpu()
    except YoloxDeployError:
        with pytest.raises(YoloxDeployError, match=r"NVIDIA GPU|installed"):
            TensorRT.probe()
    else:
        assert "GPU" in TensorRT.probe()


def test_volta_is_sent_to_its_own_extra(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    check_gpu(sdk_of(engine), V100)  # 10.4
    monkeypatch.setattr(FakeModule, "__version__", "10.5.0")
    with pytest.raises(ArtifactError, match=r"Tesla V100.*tensorrt-volta"):
        check_gpu(sdk_of(engine), V100)
    check_gpu(sdk_of(engine), A10)
    with pytest.raises(ArtifactError, match="--to trt"):
        check_gpu(sdk_of(engine, "tensorrt-rtx"), V100)


def test_an_engine_without_a_sidecar_is_not_held_to_one(engine: FakeEngine) -> None:
    check_version(Path("foreign.engine"), None, sdk_of(engine))


@pytest.mark.parametrize(
    ("built_for", "found", "expected"),
    [
        (["8.6"], (8, 6), True),
        (["8.6"], (8, 9), False),
        (["8.6", "12.0"], (12, 0), True),
        (["8.0+"], (7, 5), False),
        (["8.0+"], (8, 0), True),
        (["8.0+"], (12, 1), True),
    ],
)
def test_runs_on(built_for: list[str], found: tuple[int, int], expected: bool) -> None:
    assert runs_on(built_for, found) is expected


def test_rebuild_command_repeats_what_the_sidecar_knows() -> None:
    info = replace(v100_info(), batch=None, precision="int8")
    assert rebuild_command(Path("m.engine"), info) == (
        "yolox-deploy export yolox_l --to trt --weights FILE --int8 --calib DIR --imgsz 640x640 "
        "--batch dynamic --out m.engine"
    )


@pytest.mark.parametrize(("device", "index"), [("auto", 0), ("cuda", 0), ("cuda:3", 3)])
def test_gpu_index(device: str, index: int) -> None:
    assert gpu_index(device) == index


@pytest.mark.parametrize("device", ["cpu", "cuda:", "cuda:x", "gpu"])
def test_gpu_index_refuses(device: str) -> None:
    with pytest.raises(UsageError):
        gpu_index(device)
