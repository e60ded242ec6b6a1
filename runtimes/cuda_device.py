"""Memory, one stream and CUDA graphs of one GPU: the seam between the adapter and the two CUDA packages.

Both implementations work on the device's *primary* context, the one that PyTorch and the CUDA runtime use, so
they live beside them in one process (a context of our own, as `pycuda.autoinit` makes, would not).

Written against the packages' real interfaces; not yet run on a GPU by the authors.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError, require
from yolox_deploy.vendors.gpu import CUDA_PACKAGES, call, cuda_package


@dataclass(frozen=True, eq=False)
class Buffer:
    """Page-locked host memory and as much GPU memory.

    Attributes:
        host: (nbytes,) uint8; a view of memory that `CudaDevice.free` gives back.
        address: of the GPU memory.
        handles: what the implementation frees.
    """

    host: NDArray[np.uint8]
    address: int
    handles: tuple[Any, ...]


class CudaDevice(Protocol):
    """One GPU with one stream. Everything but `active` and `close` is called inside `with device.active()`.

    Attributes:
        package: name of the package behind it.
        has_graphs: whether `capture` works.
        stream: the stream's address, as `execute_async_v3` takes it.
    """

    package: str
    has_graphs: bool
    stream: int

    def active(self) -> AbstractContextManager[None]:
        """Make the primary context current in this thread, and restore the former one afterwards."""

    def allocate(self, nbytes: int) -> Buffer:
        """A pair of buffers; `free` them before `close`."""

    def free(self, buffer: Buffer) -> None:
        """Give both halves back; views of `buffer.host` must not be used any more."""

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        """Queue a copy of the first `nbytes` from host to GPU."""

    def download(self, buffer: Buffer, nbytes: int) -> None:
        """Queue a copy of the first `nbytes` from GPU to host."""

    def mark(self, event: int) -> None:
        """Queue a time stamp: event 0 before the network, 1 after it."""

    def elapsed_ms(self) -> float:
        """Milliseconds between the two latest time stamps; call it after `synchronize`."""

    def synchronize(self) -> None:
        """Wait until the stream is idle; errors of queued work surface here."""

    def capture(self, work: Callable[[], None]) -> Any:
        """Record what `work` queues as a CUDA graph instead of running it; `destroy` it before `close`."""

    def launch(self, graph: Any) -> None:
        """Queue a recorded graph."""

    def destroy(self, graph: Any) -> None:
        """Free a recorded graph."""

    def close(self) -> None:
        """Free the stream and let go of the primary context."""


def open_device(index: int = 0, package: str = "auto") -> CudaDevice:
    """The GPU with that number, through "cuda-bindings", "pycuda" or ("auto") the first that is installed.

    Raises:
        MissingExtraError: the package is not installed.
        RuntimeFailure: CUDA reports an error.
    """
    name = cuda_package(package)
    driver = require(CUDA_PACKAGES[name], "pycuda" if name == "pycuda" else "tensorrt")
    return CudaBindingsDevice(driver, index) if name == "cuda-bindings" else PyCudaDevice(driver, index)


class CudaBindingsDevice:
    """The device through NVIDIA's `cuda-bindings`: every call's status is checked by `vendors.gpu.call`.

    Args:
        driver: the module `cuda.bindings.driver`.
        index: the GPU's number.
    """

    package = "cuda-bindings"
    has_graphs = True

    def __init__(self, driver: Any, index: int) -> None:
        self._driver = driver
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", index)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)
        try:
            with self.active():
                self._stream = self._call("cuStreamCreate", int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
                self._events = tuple(self._call("cuEventCreate", 0) for _ in range(2))
        except BaseException:
            self._call("cuDevicePrimaryCtxRelease", self._device)
            raise
        self.stream = int(self._stream)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def allocate(self, nbytes: int) -> Buffer:
        address = self._call("cuMemAlloc", nbytes)
        try:
            pinned = self._call("cuMemHostAlloc", nbytes, 0)
        except BaseException:
            self._call("cuMemFree", address)
            raise
        host = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(int(pinned)))
        return Buffer(host, int(address), (address, pinned))

    def free(self, buffer: Buffer) -> None:
        address, pinned = buffer.handles
        try:
            self._call("cuMemFree", address)
        finally:
            self._call("cuMemFreeHost", pinned)

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        address, pinned = buffer.handles
        self._call("cuMemcpyHtoDAsync", address, pinned, nbytes, self._stream)

    def download(self, buffer: Buffer, nbytes: int) -> None:
        address, pinned = buffer.handles
        self._call("cuMemcpyDtoHAsync", pinned, address, nbytes, self._stream)

    def mark(self, event: int) -> None:
        self._call("cuEventRecord", self._events[event], self._stream)

    def elapsed_ms(self) -> float:
        return float(self._call("cuEventElapsedTime", *self._events))

    def synchronize(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> Any:
        # Thread-local: other threads of the process may allocate while this one records.
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)
        try:
            work()
        except BaseException:
            self._driver.cuStreamEndCapture(self._stream)  # its status only repeats that the capture failed
            raise
        graph = self._call("cuStreamEndCapture", self._stream)
        try:
            return self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, graph: Any) -> None:
        self._call("cuGraphLaunch", graph, self._stream)

    def destroy(self, graph: Any) -> None:
        self._call("cuGraphExecDestroy", graph)

    def close(self) -> None:
        try:
            with self.active():
                for event in self._events:
                    self._call("cuEventDestroy", event)
                self._call("cuStreamDestroy", self._stream)
        finally:
            self._call("cuDevicePrimaryCtxRelease", self._device)

    def _call(self, function: str, *arguments: Any) -> Any:
        return call(self._driver, function, *arguments)


@functools.cache
def _pycuda_primary_context(driver: Any, index: int) -> Any:
    """The primary context, kept until the process ends.

    PyCUDA's `Context.detach` leaves the context on the thread's stack when it lets go of it, and does nothing
    at all in another thread (its src/cpp/cuda.hpp), so it is retained once and shared.
    """
    driver.init()
    return driver.Device(index).retain_primary_context()


class PyCudaDevice:
    """The device through PyCUDA, which checks every call itself. It cannot capture CUDA graphs.

    Args:
        driver: the module `pycuda.driver`.
        index: the GPU's number.
    """

    package = "pycuda"
    has_graphs = False

    def __init__(self, driver: Any, index: int) -> None:
        self._driver = driver
        self._context = _pycuda_primary_context(driver, index)
        with self.active():
            self._stream = driver.Stream()
            self._events = (driver.Event(), driver.Event())
        self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def allocate(self, nbytes: int) -> Buffer:
        memory = self._driver.mem_alloc(nbytes)
        host = self._driver.pagelocked_empty(nbytes, np.uint8)
        return Buffer(host, int(memory), (memory,))

    def free(self, buffer: Buffer) -> None:
        buffer.handles[0].free()
        base: Any = buffer.host.base
        base.free()

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        self._driver.memcpy_htod_async(buffer.address, buffer.host[:nbytes], self._stream)

    def download(self, buffer: Buffer, nbytes: int) -> None:
        self._driver.memcpy_dtoh_async(buffer.host[:nbytes], buffer.address, self._stream)

    def mark(self, event: int) -> None:
        self._events[event].record(self._stream)

    def elapsed_ms(self) -> float:
        start, end = self._events
        return float(start.time_till(end))

    def synchronize(self) -> None:
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> Any:
        raise UsageError("PyCUDA cannot capture CUDA graphs; install cuda-bindings for them")

    def launch(self, graph: Any) -> None:
        raise UsageError("PyCUDA has no CUDA graphs")

    def destroy(self, graph: Any) -> None:
        raise UsageError("PyCUDA has no CUDA graphs")

    def close(self) -> None:
        with self.active():
            del self._events, self._stream  # freed by their destructors, which need the context current
