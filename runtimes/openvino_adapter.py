"""OpenVINO: CPU, and Intel GPU and NPU."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.errors import ArtifactError, require
from yolox_deploy.host import no_telemetry
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime
from yolox_deploy.runtimes.openvino_settings import (
    OpenVinoOptions,
    check_precision,
    choose_device,
    choose_precision,
    prepare_cache,
)
from yolox_deploy.types import TensorSpec

KERNEL_TYPES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


class OpenVino(Runtime):
    """Runs OpenVINO IR (`.xml` with its `.bin`) and `.onnx` files.

    Calls may run in several threads: each has an infer request of its own. With the latency hint they queue
    inside OpenVINO, with the throughput hint they run at once.
    """

    name = "openvino"
    capabilities = Capabilities(
        suffixes=(".xml", ".onnx"),
        devices=("cpu", "gpu", "npu"),
        precisions=("fp32", "fp16", "bf16", "int8"),
        dynamic_batch=True,
        concurrent=True,
    )
    options_type = OpenVinoOptions
    options: OpenVinoOptions

    @classmethod
    def probe(cls) -> dict[str, str]:
        """OpenVINO's version, and the name and abilities of each device that it finds."""
        ov = _openvino()
        core = ov.Core()
        found = {"version": ov.__version__}
        for device in core.available_devices:
            abilities = ", ".join(sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES")))
            found[device] = f"{core.get_property(device, 'FULL_DEVICE_NAME')} ({abilities})"
        return found

    def _load(self, path: Path) -> Loaded:
        check_files(path)
        ov = _openvino()
        core = ov.Core()
        device = choose_device(self.options.device, core)
        model = core.read_model(str(path))
        artifact = self.artifact or _stored_info(model)
        exported = artifact.precision if artifact is not None else "fp32"
        offered = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        precision = choose_precision(self.options.precision, exported, device, offered)
        cache = prepare_cache(self.options.cache_dir)
        self._compiled = compiled = core.compile_model(model, device, self.options.config(precision, cache))
        self._idle: deque[Any] = deque()  # infer requests that no thread is using
        in_force = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        precision = check_precision(precision, in_force, device)
        details = {"openvino": ov.__version__, "hint": self.options.hint, "float_precision": precision}
        details |= {
            "device_name": core.get_property(device, "FULL_DEVICE_NAME"),
            "cache_dir": cache and str(cache),
        }
        if device == "CPU":
            details |= _cpu_details(compiled)
        return Loaded(
            inputs=tuple(_spec(port) for port in compiled.inputs),
            outputs=tuple(_spec(port) for port in compiled.outputs),
            device=compiled.get_property("EXECUTION_DEVICES")[0].lower().replace(".", ":"),
            precision="int8" if _runs_int8(model, details) else precision,
            details=details,
            artifact=artifact,
        )

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            arrays = {index: inputs[spec.name] for index, spec in enumerate(self.inputs)}
            # Inputs are only read, so they are lent; results are copies as long as share_outputs is off.
            results = request.infer(arrays, share_inputs=True, share_outputs=False)
            return {spec.name: result for spec, result in zip(self.outputs, results.values(), strict=True)}
        finally:
            self._idle.append(request)

    def _close(self) -> None:
        self._idle.clear()
        del self._compiled

    def _reason(self, error: Exception) -> str:
        """OpenVINO names its own source files first and the cause in the last line."""
        return next(reversed(str(error).strip().splitlines()), type(error).__name__)


def check_files(path: Path) -> None:
    """Refuse an `.xml` that is no IR or has lost its weights.

    Raises:
        ArtifactError: it is so.
    """
    if path.suffix != ".xml":
        return
    with path.open("rb") as file:
        head = file.read(512)
    if b"<net" not in head:
        raise ArtifactError(f"{path} is not an OpenVINO IR (no <net …> at its beginning); export it again")
    weights = path.with_suffix(".bin")
    if not weights.is_file() or weights.stat().st_size == 0:
        raise ArtifactError(f"{path} needs {weights.name} beside it, which is missing or empty; copy it too")


def _openvino() -> ModuleType:
    with no_telemetry():
        return require("openvino", "openvino")


def _stored_info(model: Any) -> ArtifactInfo | None:
    """Our description in an ONNX file, whose metadata OpenVINO keeps under "framework"."""
    where = ["framework", METADATA_KEY]
    if not model.has_rt_info(where):
        return None
    return ArtifactInfo.from_json(model.get_rt_info(where).astype(str))


def _cpu_details(compiled: Any) -> dict[str, Any]:
    """`convolutions` counts them by the type of the kernel that runs: the proof of the precision in force."""
    infos = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    # Not `runtimePrecision`: for FP16 weights it says f16, though they are widened and a float32 kernel runs.
    kernels = [
        info["primitiveType"].astype(str).rpartition("_")[2].lower()
        for info in infos
        if info["layerType"].astype(str) == "Convolution"
    ]
    return {
        "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        "streams": compiled.get_property("NUM_STREAMS"),
        "from_cache": compiled.get_property("LOADED_FROM_CACHE"),
        "convolutions": dict(Counter(KERNEL_TYPES.get(kernel, kernel) for kernel in kernels)),
    }


def _runs_int8(model: Any, details: dict[str, Any]) -> bool:
    """As executed on the CPU; by the file's quantisers on other devices, which do not tell."""
    if "convolutions" in details:
        return "int8" in details["convolutions"]
    return any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())


def _spec(port: Any) -> TensorSpec:
    names = sorted(port.get_names()) or [port.get_node().get_friendly_name()]
    dimensions = port.get_partial_shape()
    shape = tuple(size.get_length() if size.is_static else None for size in dimensions)
    return TensorSpec(names[0], shape, port.get_element_type().to_dtype())
