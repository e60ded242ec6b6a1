"""From a typed ONNX file to a TensorRT plan: parse, read the types back, profile, build.

One path for TensorRT 10, TensorRT 11 and TensorRT-RTX: networks are strongly typed, so the precision is what
the file says, and no builder flag can quietly turn it into another one.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.files import write_bytes
from yolox_deploy.types import SILENT, Report
from yolox_deploy.vendors.tensorrt_sdk import Sdk

Size = tuple[int, int]
Shape = tuple[int, ...]

PRECISION_OF = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}
IO_TYPES = ("FLOAT", "UINT8")


@dataclass(frozen=True, eq=False)
class Parsed:
    """A network with what must outlive it (the parser holds its weights).

    Attributes:
        layers: how many convolutions compute in which type; "INT8" are those fed by dequantisers.
    """

    builder: Any
    network: Any
    parser: Any
    layers: dict[str, int]


def parse(sdk: Sdk, onnx_file: Path) -> Parsed:
    """Read a typed ONNX file into a strongly typed network.

    Raises:
        ArtifactError: TensorRT's parser refuses a node.
    """
    trt = sdk.module
    sdk.errors.clear()
    builder = trt.Builder(sdk.logger)
    # TensorRT 11 types every network strongly and ignores the flag; 10 needs it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, sdk.logger)
    if not parser.parse_from_file(str(onnx_file)):
        reasons = "; ".join(" ".join(str(parser.get_error(i)).split()) for i in range(parser.num_errors))
        raise ArtifactError(
            f"{sdk.title} {sdk.version} cannot read the graph: {reasons or sdk.take_errors()}"
        )
    return Parsed(builder, network, parser, _convolution_types(trt, network))


def achieved_precision(parsed: Parsed, wanted: str) -> str:
    """The precision read back from the network: of its convolutions, and float32 at its inputs and outputs.

    Raises:
        ArtifactError: it is not the `wanted` one throughout.
    """
    kinds = sorted(parsed.layers)
    achieved = "int8" if "INT8" in kinds else " and ".join(PRECISION_OF.get(kind, kind) for kind in kinds)
    if achieved != wanted:
        raise ArtifactError(f"{wanted} was asked for, the network's convolutions are {parsed.layers}")
    for tensor in io_tensors(parsed.network):
        if tensor.dtype.name not in IO_TYPES:
            raise ArtifactError(f"{tensor.name!r} is {tensor.dtype.name}; expected {' or '.join(IO_TYPES)}")
    return achieved


def io_tensors(network: Any) -> list[Any]:
    """The network's inputs, then its outputs."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    return inputs + [network.get_output(index) for index in range(network.num_outputs)]


def add_profile(
    parsed: Parsed, config: Any, max_batch: int, size: Size, sizes: tuple[Size, Size] | None
) -> dict[str, dict[str, list[int]]]:
    """Give each input with free dimensions its range; returns name -> {"min", "opt", "max"} for the record.

    The first dimension is the batch, 1 to `max_batch`, tuned for the full one (who wants one image at a time
    exports that). The other free ones are height and width, from `sizes[0]` to `sizes[1]`, tuned for `size`.

    Raises:
        UsageError: a free height or width without `sizes`, or a range that cannot be.
    """
    profile, record = parsed.builder.create_optimization_profile(), {}
    for index in range(parsed.network.num_inputs):
        tensor = parsed.network.get_input(index)
        if -1 not in tensor.shape:
            continue
        ranges = _ranges(tuple(tensor.shape), max_batch, size, sizes)
        profile.set_shape(tensor.name, *ranges)
        record[tensor.name] = dict(zip(("min", "opt", "max"), map(list, ranges), strict=True))
    if record and config.add_optimization_profile(profile) < 0:
        raise UsageError(f"the ranges {record} were refused; expected min <= opt <= max")
    return record


def serialize(sdk: Sdk, parsed: Parsed, config: Any, target: Path, report: Report = SILENT) -> None:
    """Build the engine and write it to `target`, telling `report` of each phase.

    Raises:
        ArtifactError: TensorRT cannot build it; with its reasons.
    """
    monitor = config.progress_monitor = _make_monitor(sdk.module, report)
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise ArtifactError(f"{sdk.title} {sdk.version} cannot build the engine: {sdk.take_errors()}")
    target.write_bytes(plan)


def load_timing_cache(config: Any, file: Path) -> Any:
    """Let the builder reuse the kernel timings in `file`, so that the next build of a model is quicker."""
    content = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(content)
    # A cache of another GPU or version is refused: then the builder measures anew.
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def store_timing_cache(cache: Any, file: Path) -> None:
    """Keep the timings of the finished build for `load_timing_cache`."""
    with suppress(OSError):  # a read-only home only makes the next build slower
        write_bytes(file, cache.serialize())


def _convolution_types(trt: Any, network: Any) -> dict[str, int]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantized = {layer.get_output(0).name for layer in layers if layer.type == trt.LayerType.DEQUANTIZE}
    counts: Counter[str] = Counter()
    for layer in layers:
        if layer.type == trt.LayerType.CONVOLUTION:
            inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
            sources = {tensor.name for tensor in inputs if tensor is not None}
            quantized = bool(sources) and sources <= dequantized
            counts["INT8" if quantized else layer.get_output(0).dtype.name] += 1
    return dict(counts)


def _ranges(
    shape: Shape, max_batch: int, size: Size, sizes: tuple[Size, Size] | None
) -> tuple[Shape, Shape, Shape]:
    low, best, high = list(shape), list(shape), list(shape)
    if max_batch < 1:
        raise UsageError(f"the largest batch is {max_batch}; expected at least 1")
    if shape[0] == -1:
        low[0], best[0], high[0] = 1, max_batch, max_batch
    sides = [index for index, length in enumerate(shape) if length == -1 and index > 0]
    if sides and sizes is None:
        raise UsageError("height and width are free in the graph; name their range, for example 320 to 640")
    for side, index in enumerate(sides):
        assert sizes is not None
        low[index], best[index], high[index] = sizes[0][side], size[side], sizes[1][side]
        if not 0 < low[index] <= best[index] <= high[index]:
            raise UsageError(f"the sizes {sizes[0]} to {sizes[1]} do not hold {size}, the size to tune for")
    return tuple(low), tuple(best), tuple(high)


def _make_monitor(trt: Any, report: Report) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # a class of a module known at run time only
        """Forwards steps; an exception of the report ends the build and is raised after it."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self.totals: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.totals[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return self.error is None

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self.totals.get(phase_name, 1))

        def _tell(self, phase: str, done: int) -> None:
            try:
                report.step(phase)
                report.advance(done, self.totals.get(phase, 1))
            except BaseException as error:  # it must not travel through the library's C++ frames
                self.error = self.error or error

    return Monitor()
