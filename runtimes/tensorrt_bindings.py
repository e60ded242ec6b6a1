"""The memory of an engine's inputs and outputs, and outputs whose shape only the run itself tells."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.runtimes.cuda_device import Buffer
from yolox_deploy.types import TensorSpec


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
