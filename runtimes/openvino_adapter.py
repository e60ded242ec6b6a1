"""OpenVINO: CPU, and Intel GPU and NPU."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo, files_of
from yolox_deploy.errors import ArtifactError, UsageError, require
from yolox_deploy.host import no_telemetry
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.types import TensorSpec

KERNEL_TYPES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}

PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
DEFAULT_CACHE = "auto"


@dataclass(frozen=True)
class OpenVinoOptions(RuntimeOptions):
    """Options of OpenVINO.

    Attributes:
        device: "auto" (the CPU), "cpu", "gpu", "gpu:1", "npu".
        precision: "fp32", "fp16" or "bf16" for the layers that are not INT8. "auto" is float32, except
            bfloat16 for a file exported in it, and FP16 for an FP16 file on a GPU or NPU.
        hint: "latency" (one inference as fast as possible) or "throughput" (several at once).
        cache_dir: folder for compiled models, which load faster; "auto" for `openvino` in the cache folder of
            yolox-deploy (a model given as bytes is not kept there), None for no cache.
    """

    precision: str = "auto"
    hint: str = "latency"
    cache_dir: str | Path | None = DEFAULT_CACHE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("precision", ("auto", *PRECISIONS)), ("hint", tuple(HINTS))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} is {getattr(self, name)!r}; openvino takes {', '.join(known)}")

    def config(self, precision: str, cache: Path | None) -> dict[str, Any]:
        """Properties for `Core.compile_model`."""
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": HINTS[self.hint],
        }
        if self.threads is not None:
            config["INFERENCE_NUM_THREADS"] = self.threads
        if cache is not None:
            config["CACHE_DIR"] = str(cache)
        return config


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
        in_memory=(".onnx",),
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
        model = core.read_model(str(path) if self.content is None else self.content)
        artifact = self.artifact or _stored_info(model)
        exported = artifact.precision if artifact is not None else "fp32"
        offered = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        precision = choose_precision(self.options.precision, exported, device, offered)
        in_memory = self.content is not None and self.options.cache_dir == DEFAULT_CACHE
        cache = None if in_memory else prepare_cache(self.options.cache_dir)
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
    _, weights = files_of(path)
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
    known = (
        port.get_node().get_friendly_name().partition("/sink_port")[0]
    )  # as the file calls it, before optimisation
    names = sorted(port.get_names(), key=lambda name: (name != known, name)) or [known]
    dimensions = port.get_partial_shape()
    shape = tuple(size.get_length() if size.is_static else None for size in dimensions)
    return TensorSpec(names[0], shape, port.get_element_type().to_dtype())


def choose_device(asked: str, core: Any) -> str:
    """OpenVINO's name of the device: "CPU", "GPU", "GPU.1", "NPU".

    Raises:
        UsageError: there is no such kind of device, or not on this machine.
    """
    match = re.fullmatch(r"auto|cpu|npu|gpu(?::(\d+))?", asked)
    if match is None:
        raise UsageError(f"device {asked!r}: openvino takes auto, cpu, gpu, gpu:N and npu")
    if asked in ("auto", "cpu"):
        return "CPU"  # not OpenVINO's own AUTO, which would pick precision along with the device
    device = asked.upper().replace(":", ".")
    available = core.available_devices
    if not any(found == device or found.startswith(f"{device}.") for found in available):
        raise UsageError(
            f"device {asked!r} was asked for; OpenVINO finds {', '.join(available)} here. Use device='cpu', "
            "or install the device's driver"
        )
    return device


def choose_precision(asked: str, exported: str, device: str, offered: Sequence[str]) -> str:
    """The precision for floating-point layers, never left to OpenVINO; see `OpenVinoOptions.precision`.

    Args:
        asked: the option.
        exported: precision of the file.
        device: OpenVINO's name of the device.
        offered: what the device can do, in OpenVINO's words ("FP32", "BF16", …).

    Raises:
        UsageError: the device does not have the precision asked for.
        ArtifactError: the device does not have the precision that the file was exported for.
    """
    wanted = asked
    if asked == "auto":
        follows = exported == "bf16" or (exported == "fp16" and device != "CPU")
        wanted = exported if follows else "fp32"
    if wanted.upper() not in offered:
        others = " or ".join(f"precision={name!r}" for name in PRECISIONS if name.upper() in offered)
        whose = "the file was exported for" if asked == "auto" else "the precision asked for is"
        kind = ArtifactError if asked == "auto" else UsageError
        raise kind(f"{whose} {wanted}, which this {device} does not have; pass {others}")
    return wanted


def check_precision(wanted: str, hint_in_force: str, device: str) -> str:
    """`wanted`, confirmed by the compiled model: OpenVINO may put another type in its place.

    Raises:
        ArtifactError: it did.
    """
    if PRECISIONS[wanted] != hint_in_force:
        obtained = next((name for name, kind in PRECISIONS.items() if kind == hint_in_force), hint_in_force)
        raise ArtifactError(
            f"{wanted} was wanted, OpenVINO runs {obtained} on this {device}; if that will do, pass "
            f"precision={obtained!r}"
        )
    return wanted


def prepare_cache(asked: str | Path | None) -> Path | None:
    """The folder for compiled models, made where it does not exist; None for no cache.

    Raises:
        UsageError: all may write to the folder, or one that was named cannot be made (the default one is done
            without).
    """
    if asked is None:
        return None
    from yolox_deploy.files import cache_dir, check_trusted, make_cache

    folder = cache_dir() / "openvino" if asked == DEFAULT_CACHE else Path(asked)
    check_trusted(folder)
    try:
        make_cache(folder)
    except OSError as error:
        if asked == DEFAULT_CACHE:
            return None
        raise UsageError(f"cache_dir {folder} cannot be made ({error}); pass cache_dir=None") from error
    return folder
