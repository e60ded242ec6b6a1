"""One TensorRT engine in memory: its own execution context, stream, pinned buffers and CUDA graph.

The same code drives TensorRT 10, TensorRT 11 and TensorRT-RTX; the module comes in an `Sdk`. Where the two
products differ (who captures the CUDA graph, who keeps compiled kernels), `_make_context` decides.

Written against the real interface; not yet run on a GPU by the authors.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError
from yolox_deploy.files import cache_dir, write_bytes
from yolox_deploy.runtimes.cuda_device import Buffer, CudaDevice
from yolox_deploy.types import TensorSpec
from yolox_deploy.vendors.tensorrt_sdk import EXPORT_TARGETS, Sdk


@dataclass(frozen=True, eq=False)
class Binding:
    """One input or output.

    Attributes:
        spec: name, shape (None where it is free) and dtype.
        smallest: of the shapes that an input may have.
        largest: of these shapes.
        buffer: memory for the largest.
        allocator: what `make_output_allocator` made, where the shape depends on the data.
    """

    spec: TensorSpec
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    buffer: Buffer
    allocator: Any = None

    @property
    def is_static(self) -> bool:
        """Whether every dimension is fixed."""
        return None not in self.spec.shape

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The start of the pinned host memory as an array of `shape`."""
        nbytes = prod(shape) * self.spec.dtype.itemsize
        return self.buffer.host[:nbytes].view(self.spec.dtype).reshape(shape)


def make_output_allocator(trt: Any, buffer: Buffer) -> Any:
    """An `IOutputAllocator` that hands out `buffer` and keeps the `shape` of the latest run.

    The buffer is as large as TensorRT said that the output can become, so a larger request is refused (None),
    which makes the run fail instead of writing beyond it.
    """

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]  # a class of a module known at run time only
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shape: tuple[int, ...] = ()

        def reallocate_output_async(
            self, tensor_name: str, memory: Any, size: int, alignment: int, stream: Any
        ) -> int | None:
            return buffer.address if size <= buffer.host.nbytes else None

        def reallocate_output(self, tensor_name: str, memory: Any, size: int, alignment: int) -> int | None:
            return self.reallocate_output_async(tensor_name, memory, size, alignment, None)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shape = tuple(shape)

    return Allocator()


class EngineSession:
    """An engine ready to run. Calls must not overlap; any thread may make them.

    Args:
        sdk: the flavor the engine was built with.
        plan: the engine file's content.
        device: where to run; closed with the session.
        cuda_graph: replay a CUDA graph where the shapes are static and it can be captured.

    Raises:
        ArtifactError: the engine cannot be read by this version or on this GPU.
        RuntimeFailure: memory or CUDA fails.
    """

    def __init__(self, sdk: Sdk, plan: bytes, device: CudaDevice, *, cuda_graph: bool = True) -> None:
        self._sdk, self._device = sdk, device
        self._owned = ExitStack()  # freed last in, first out: graph, buffers, context, engine, runtime
        self._graph: Any = None
        self.cuda_graph = "off (not asked for)"
        sdk.errors.clear()
        try:
            with device.active():
                self._open(plan, cuda_graph)
        except BaseException:
            self.close()
            raise

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the engine's order."""
        return tuple(binding.spec for binding in self._inputs)

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the engine's order."""
        return tuple(binding.spec for binding in self._outputs)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on contiguous arrays of the right types; the results are copies.

        Raises:
            UsageError: a shape outside the range that the engine was built for.
            RuntimeFailure: TensorRT or CUDA fails.
        """
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._device.active():
            for binding in self._inputs:
                self._set_shape(binding, shapes[binding.spec.name])
            for binding in self._inputs:
                array = inputs[binding.spec.name]
                np.copyto(binding.view(array.shape), array)
                self._device.upload(binding.buffer, array.nbytes)
            self._device.mark(0)
            if self._graph is not None:
                self._device.launch(self._graph)
            else:
                self._enqueue()
            self._device.mark(1)
            results = {binding.spec.name: binding.view(self._shape(binding)) for binding in self._outputs}
            for binding in self._outputs:
                self._device.download(binding.buffer, results[binding.spec.name].nbytes)
            self._device.synchronize()
        return {name: array.copy() for name, array in results.items()}

    @property
    def max_batch(self) -> int:
        """Most images that the engine's profile takes at once."""
        return self._inputs[0].largest[0]

    def device_ms(self) -> float:
        """Milliseconds that the GPU spent on the network of the latest run, without the copies."""
        with self._device.active():
            return self._device.elapsed_ms()

    def close(self) -> None:
        """Free everything, in the order of dependence."""
        try:
            with self._device.active():
                self._owned.close()
        finally:
            self._device.close()

    def _open(self, plan: bytes, cuda_graph: bool) -> None:
        trt = self._sdk.module
        self._runtime = self._keep("_runtime", trt.Runtime(self._sdk.logger))
        self._engine = self._keep("_engine", self._runtime.deserialize_cuda_engine(plan))
        if self._engine is None:
            raise ArtifactError(
                f"{self._sdk.title} cannot read the engine: {self._sdk.take_errors()}; an engine opens with the "
                "version and on the kind of GPU that built it: build it here with: yolox-deploy export MODEL "
                f"--to {EXPORT_TARGETS[self._sdk.flavor]}"
            )
        self._context = self._keep("_context", self._make_context(plan, cuda_graph))
        if self._context is None:
            raise RuntimeFailure(f"no execution context could be made: {self._sdk.take_errors()}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self._inputs = [self._bind_input(name) for name in names if modes[name] == trt.TensorIOMode.INPUT]
        for binding in self._inputs:  # the outputs' largest shapes follow from the inputs'
            self._set_shape(binding, binding.largest)
        self._outputs = [self._bind_output(name) for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        if cuda_graph and self._sdk.flavor == "tensorrt":
            self._capture_graph()

    def _keep(self, attribute: str, value: Any) -> Any:
        """Drop the reference at `close`; TensorRT's objects are freed with their last one."""
        self._owned.callback(lambda: setattr(self, attribute, None))
        return value

    def _make_context(self, plan: bytes, cuda_graph: bool) -> Any:
        if self._sdk.flavor == "tensorrt":
            return self._engine.create_execution_context()
        self._config = config = self._keep("_config", self._engine.create_runtime_config())
        if cuda_graph:  # TensorRT-RTX compiles kernels while it runs, so it decides itself when to capture
            config.cuda_graph_strategy = self._sdk.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            self.cuda_graph = "by TensorRT-RTX"
        cache = config.create_runtime_cache()
        file = _kernel_cache_file(self._sdk, plan)
        if file.is_file():
            cache.deserialize(file.read_bytes())  # refused where GPU, driver or version differ: compiled anew
        config.set_runtime_cache(cache)
        self._owned.callback(_store_kernels, cache, file)
        return self._engine.create_execution_context(config)

    def _bind_input(self, name: str) -> Binding:
        spec = self._spec(name)
        if None in spec.shape:
            smallest, _, largest = (tuple(s) for s in self._engine.get_tensor_profile_shape(name, 0))
        else:
            smallest = largest = tuple(self._engine.get_tensor_shape(name))
        binding = Binding(spec, smallest, largest, self._allocate(prod(largest) * spec.dtype.itemsize))
        self._set_address(binding)
        return binding

    def _bind_output(self, name: str) -> Binding:
        """Memory for the largest output; one whose shape depends on the data reports it as it runs."""
        spec, shape = self._spec(name), tuple(self._context.get_tensor_shape(name))
        if min(shape) >= 0:
            binding = Binding(spec, shape, shape, self._allocate(prod(shape) * spec.dtype.itemsize))
            self._set_address(binding)
            return binding
        buffer = self._allocate(self._context.get_max_output_size(name))
        allocator = make_output_allocator(self._sdk.module, buffer)
        if not self._context.set_output_allocator(name, allocator):
            raise RuntimeFailure(f"the memory of {name!r} was refused: {self._sdk.take_errors()}")
        return Binding(spec, shape, shape, buffer, allocator)

    def _spec(self, name: str) -> TensorSpec:
        shape = tuple(None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name))
        return TensorSpec(name, shape, np.dtype(self._sdk.module.nptype(self._engine.get_tensor_dtype(name))))

    def _allocate(self, nbytes: int) -> Buffer:
        buffer = self._device.allocate(nbytes)
        self._owned.callback(self._device.free, buffer)
        return buffer

    def _set_address(self, binding: Binding) -> None:
        name = binding.spec.name
        if not self._context.set_tensor_address(name, binding.buffer.address):
            raise RuntimeFailure(f"the memory of {name!r} was refused: {self._sdk.take_errors()}")

    def _set_shape(self, binding: Binding, shape: tuple[int, ...]) -> None:
        if binding.is_static:
            return
        name, ranges = binding.spec.name, zip(binding.smallest, shape, binding.largest, strict=True)
        if not all(low <= size <= high for low, size, high in ranges):
            raise UsageError(
                f"input {name!r} is {shape}; the engine was built for {binding.smallest} to "
                f"{binding.largest}. Export it again for a wider range"
            )
        if not self._context.set_input_shape(name, shape):
            raise RuntimeFailure(f"the shape {shape} of {name!r} was refused: {self._sdk.take_errors()}")

    def _shape(self, binding: Binding) -> tuple[int, ...]:
        """The shape of an output for the inputs just run."""
        if binding.allocator is not None:
            return tuple(binding.allocator.shape)
        return tuple(self._context.get_tensor_shape(binding.spec.name))

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._device.stream):
            raise RuntimeFailure(f"{self._sdk.title} could not run the network: {self._sdk.take_errors()}")

    def _capture_graph(self) -> None:
        """Capture after one ordinary run, in which TensorRT settles what a new shape makes necessary."""
        if not all(binding.is_static for binding in (*self._inputs, *self._outputs)):
            self.cuda_graph = "off (shapes are not fixed)"
            return
        if not self._device.has_graphs:
            self.cuda_graph = f"off ({self._device.package} cannot capture)"
            return
        self._enqueue()
        self._device.synchronize()
        try:
            self._graph = self._device.capture(self._enqueue)
        except RuntimeFailure as error:  # not every engine can be captured; it runs all the same
            self.cuda_graph = f"off ({error})"
            return
        self._owned.callback(self._device.destroy, self._graph)
        self.cuda_graph = "captured"


def _kernel_cache_file(sdk: Sdk, plan: bytes) -> Path:
    """Where the kernels that TensorRT-RTX compiles for an engine are kept between processes."""
    return cache_dir() / "tensorrt-rtx" / f"{hashlib.sha256(plan).hexdigest()[:16]}-{sdk.version}.kernels"


def _store_kernels(cache: Any, file: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only home only makes the next start slower
        write_bytes(file, cache.serialize())
