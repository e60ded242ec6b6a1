"""The seam to CUDA: both implementations against stand-ins that have the names of the real packages."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError
from yolox_deploy.runtimes.cuda_device import CudaBindingsDevice, PyCudaDevice
from yolox_deploy.vendors import gpu
from yolox_deploy.vendors.gpu import Gpu, cuda_package, find_gpu


class Status(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100


RESULTS = {
    "cuDeviceGetCount": 1,
    "cuDeviceGetName": b"NVIDIA A10\0\0",
    "cuDevicePrimaryCtxRetain": "context",
    "cuStreamCreate": 77,
    "cuEventCreate": "event",
    "cuEventElapsedTime": 2.5,
    "cuStreamEndCapture": "graph",
    "cuGraphInstantiate": "executable",
}
"""What a function of the driver gives beside its status."""


class FakeDriver(ModuleType):
    """`cuda.bindings.driver` on one "GPU" in host memory: functions return (status, value...)."""

    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
    )
    SILENT = (
        "cuInit",
        "cuDevicePrimaryCtxRelease",
        "cuCtxPushCurrent",
        "cuCtxPopCurrent",
        "cuMemFree",
        "cuMemFreeHost",
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuStreamSynchronize",
        "cuStreamDestroy",
        "cuStreamBeginCapture",
        "cuEventRecord",
        "cuEventDestroy",
        "cuGraphDestroy",
        "cuGraphExecDestroy",
        "cuGraphLaunch",
    )
    NAMES = (*RESULTS, *SILENT, "cuDeviceGet", "cuDeviceGetAttribute", "cuMemAlloc", "cuMemHostAlloc")

    def __init__(self) -> None:
        super().__init__("driver")
        self.log: list[str] = []
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.failing: dict[str, Status] = {}
        self.blocks: list[Any] = []
        for name in self.NAMES:
            setattr(self, name, self._function(name))

    def _function(self, name: str) -> Any:
        def function(*arguments: Any) -> tuple[Any, ...]:
            self.log.append(name)
            self.arguments[name] = arguments
            if name in self.failing:
                return (self.failing[name], None)[: 1 if name in self.SILENT else 2]
            if name in self.SILENT:
                return (Status.CUDA_SUCCESS,)
            return Status.CUDA_SUCCESS, self._value(name, arguments)

        return function

    def _value(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in ("cuMemAlloc", "cuMemHostAlloc"):
            self.blocks.append(ctypes.create_string_buffer(arguments[0]))
            return ctypes.addressof(self.blocks[-1])
        if name == "cuDeviceGet":
            return arguments[0]
        if name == "cuDeviceGetAttribute":
            return {"major": 8, "minor": 6}[arguments[0]]
        return RESULTS[name]


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


def balance(driver: FakeDriver) -> int:
    """How many contexts were left on the thread's stack."""
    return driver.log.count("cuCtxPushCurrent") - driver.log.count("cuCtxPopCurrent")


def test_stand_in_has_the_names_of_cuda_bindings() -> None:
    real = pytest.importorskip("cuda.bindings.driver", reason="needs cuda-bindings")
    assert [name for name in FakeDriver.NAMES if not hasattr(real, name)] == []
    assert real.CUstream_flags.CU_STREAM_NON_BLOCKING == 1
    assert hasattr(real.CUstreamCaptureMode, "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL")
    for name in vars(FakeDriver.CUdevice_attribute):
        assert hasattr(real.CUdevice_attribute, name)


def test_primary_context_is_retained_pushed_popped_and_released(driver: FakeDriver) -> None:
    device = CudaBindingsDevice(driver, 0)
    assert device.stream == 77
    with pytest.raises(KeyError), device.active():
        raise KeyError
    device.close()
    assert balance(driver) == 0
    assert driver.log.count("cuDevicePrimaryCtxRetain") == driver.log.count("cuDevicePrimaryCtxRelease") == 1
    assert driver.log[-5:] == [
        "cuEventDestroy",
        "cuEventDestroy",
        "cuStreamDestroy",
        "cuCtxPopCurrent",
        "cuDevicePrimaryCtxRelease",
    ]


def test_buffers_are_pinned_copied_on_the_stream_and_freed(driver: FakeDriver) -> None:
    device = CudaBindingsDevice(driver, 0)
    with device.active():
        buffer = device.allocate(16)
        buffer.host[:] = 7
        assert bytes(driver.blocks[1].raw) == bytes([7] * 16), "host is the pinned memory itself"
        device.upload(buffer, 8)
        pinned = ctypes.addressof(driver.blocks[1])
        assert driver.arguments["cuMemcpyHtoDAsync"] == (buffer.address, pinned, 8, 77)
        device.download(buffer, 4)
        assert driver.arguments["cuMemcpyDtoHAsync"] == (pinned, buffer.address, 4, 77)
        device.free(buffer)
    assert driver.log[-3:-1] == ["cuMemFree", "cuMemFreeHost"]


def test_failed_allocation_leaves_nothing_behind(driver: FakeDriver) -> None:
    device = CudaBindingsDevice(driver, 0)
    driver.failing["cuMemHostAlloc"] = Status.CUDA_ERROR_OUT_OF_MEMORY
    with device.active(), pytest.raises(RuntimeFailure, match=r"cuMemHostAlloc.*CUDA_ERROR_OUT_OF_MEMORY"):
        device.allocate(16)
    assert "cuMemFree" in driver.log


def test_failed_start_releases_the_context(driver: FakeDriver) -> None:
    driver.failing["cuStreamCreate"] = Status.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(RuntimeFailure, match="cuStreamCreate"):
        CudaBindingsDevice(driver, 0)
    assert balance(driver) == 0
    assert driver.log[-1] == "cuDevicePrimaryCtxRelease"


def test_graph_is_captured_launched_and_destroyed(driver: FakeDriver) -> None:
    device = CudaBindingsDevice(driver, 0)
    driver.log.clear()
    with device.active():
        graph = device.capture(lambda: driver.log.append("work"))
        device.launch(graph)
        device.mark(0)
        device.mark(1)
        device.synchronize()
        assert device.elapsed_ms() == 2.5
        device.destroy(graph)
    assert driver.log[1:6] == [
        "cuStreamBeginCapture",
        "work",
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
    ]
    assert driver.arguments["cuGraphLaunch"] == ("executable", 77)
    assert driver.arguments["cuGraphExecDestroy"] == ("executable",)


def test_failed_capture_gives_the_stream_back(driver: FakeDriver) -> None:
    device = CudaBindingsDevice(driver, 0)

    def fail() -> None:
        raise RuntimeFailure("enqueue failed")

    with device.active(), pytest.raises(RuntimeFailure, match="enqueue failed"):
        device.capture(fail)
    assert driver.log[-2] == "cuStreamEndCapture"


class FakePyCuda(ModuleType):
    """`pycuda.driver`: objects that free themselves, and a context with a stack."""

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.log: list[str] = []
        fake = self

        class Context:
            def push(self) -> None:
                fake.log.append("push")

            def pop(self) -> None:
                fake.log.append("pop")

        class Device:
            def __init__(self, index: int) -> None:
                assert index == 0

            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "Tesla V100-SXM2-16GB"

            def compute_capability(self) -> tuple[int, int]:
                return (7, 0)

            def retain_primary_context(self) -> Context:
                fake.log.append("retain")
                return Context()

        class Stream:
            handle = 88

            def synchronize(self) -> None:
                fake.log.append("synchronize")

            def __del__(self) -> None:
                fake.log.append("stream gone")

        class Event:
            def record(self, stream: Stream) -> None:
                fake.log.append("record")

            def time_till(self, other: Event) -> float:
                return 3.5

        class Allocation:
            def __init__(self, nbytes: int) -> None:
                self.block = ctypes.create_string_buffer(nbytes)
                self.__array_interface__ = {
                    "data": (ctypes.addressof(self.block), False),
                    "shape": (nbytes,),
                    "typestr": "|u1",
                    "version": 3,
                }

            def __int__(self) -> int:
                return ctypes.addressof(self.block)

            def free(self) -> None:
                fake.log.append("free")

        self.Device, self.Stream, self.Event, self.mem_alloc = Device, Stream, Event, Allocation
        self.pagelocked_empty = lambda nbytes, dtype: np.asarray(Allocation(nbytes))

    def init(self) -> None:
        self.log.append("init")

    def memcpy_htod_async(self, dest: int, src: np.ndarray, stream: Any) -> None:
        ctypes.memmove(dest, src.ctypes.data, src.nbytes)

    def memcpy_dtoh_async(self, dest: np.ndarray, src: int, stream: Any) -> None:
        ctypes.memmove(dest.ctypes.data, src, dest.nbytes)


def test_pycuda_works_on_the_primary_context_without_autoinit() -> None:
    driver = FakePyCuda()
    device = PyCudaDevice(driver, 0)
    with device.active():
        buffer = device.allocate(8)
        buffer.host[:] = range(8)
        device.upload(buffer, 8)
        buffer.host[:] = 0
        device.download(buffer, 4)
        np.testing.assert_array_equal(buffer.host, [0, 1, 2, 3, 0, 0, 0, 0])
        device.mark(0)
        device.mark(1)
        device.synchronize()
        assert device.elapsed_ms() == 3.5
        device.free(buffer)
    device.close()
    assert driver.log[:2] == ["init", "retain"]
    assert driver.log.count("free") == 2
    assert driver.log[-3:] == ["push", "stream gone", "pop"], "PyCUDA frees in the current context only"
    assert driver.log.count("push") == driver.log.count("pop")


def test_pycuda_context_is_retained_once_for_all_devices() -> None:
    driver = FakePyCuda()
    first, second = PyCudaDevice(driver, 0), PyCudaDevice(driver, 0)
    first.close()
    second.close()
    assert driver.log.count("retain") == 1


def test_pycuda_has_no_graphs() -> None:
    device = PyCudaDevice(FakePyCuda(), 0)
    assert not device.has_graphs
    with pytest.raises(UsageError, match="install cuda-bindings"):
        device.capture(lambda: None)


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("cuda-bindings", Gpu(0, "NVIDIA A10", (8, 6))),
        ("pycuda", Gpu(0, "Tesla V100-SXM2-16GB", (7, 0))),
    ],
)
def test_find_gpu(monkeypatch: pytest.MonkeyPatch, package: str, expected: Gpu) -> None:
    driver = FakeDriver() if package == "cuda-bindings" else FakePyCuda()
    monkeypatch.setattr(gpu, "require", lambda module, extra: driver)
    found = find_gpu(0, package)
    assert found == expected
    assert found.capability == "{}.{}".format(*expected.compute_capability)
    with pytest.raises(ArtifactError, match=r"no cuda:1; this machine has 1"):
        find_gpu(1, package)


def test_no_gpu_is_a_clear_sentence(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver) -> None:
    driver.failing["cuInit"] = Status.CUDA_ERROR_NO_DEVICE
    monkeypatch.setattr(gpu, "require", lambda module, extra: driver)
    with pytest.raises(ArtifactError, match=r"no NVIDIA GPU.*CUDA_ERROR_NO_DEVICE.*nvidia-smi"):
        find_gpu(0, "cuda-bindings")


def test_unknown_package_names_the_known() -> None:
    with pytest.raises(UsageError, match="cuda-bindings, pycuda"):
        cuda_package("cupy")
