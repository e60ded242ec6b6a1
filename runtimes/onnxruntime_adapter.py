"""ONNX Runtime: CPU, CUDA and its TensorRT execution provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.errors import ArtifactError, UsageError, require
from yolox_deploy.host import no_telemetry
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.types import TensorSpec
from yolox_deploy.vendors.tensorrt_sdk import NOT_YET_RUN

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
NO_LIBRARY = "its libraries (CUDA, cuDNN) or the driver did not load"
TF32 = {
    "cuda": "off",
    "tensorrt": "as TensorRT chooses; NVIDIA_TF32_OVERRIDE=0 in the environment forbids it",
}
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


@dataclass(frozen=True)
class OnnxRuntimeOptions(RuntimeOptions):
    """Options of ONNX Runtime.

    Attributes:
        provider: "auto" (CUDA on a CUDA device, else CPU), "cpu", "cuda" or "tensorrt". Where `device` is "auto" too,
            a GPU that cannot be had leaves the CPU; `info.device` tells.
        allow_cpu_fallback: accept the CPU where a GPU was asked for and could not be had.
    """

    provider: str = "auto"
    allow_cpu_fallback: bool = False


class OnnxRuntime(Runtime):
    """Runs `.onnx` files. Calls may run in several threads at once."""

    name = "onnxruntime"
    capabilities = Capabilities(
        suffixes=(".onnx",),
        devices=("cpu", "cuda"),
        precisions=("fp32", "fp16", "int8"),
        dynamic_batch=True,
        concurrent=True,
        in_memory=(".onnx",),
    )
    options_type = OnnxRuntimeOptions
    options: OnnxRuntimeOptions

    @classmethod
    def probe(cls) -> dict[str, str]:
        ort = _import()
        return {"version": ort.__version__, "providers": ", ".join(ort.get_available_providers())}

    def _load(self, path: Path) -> Loaded:
        ort = _import()
        available = ort.get_available_providers()
        wanted, device_id = choose_provider(self.options, available)
        session_options = ort.SessionOptions()
        session_options.log_severity_level = 3  # errors reach the caller as exceptions
        session_options.intra_op_num_threads = self.options.threads or 0
        model = str(path) if self.content is None else self.content
        precision = _file_precision(ort, model) if wanted == "tensorrt" else "fp32"
        providers = provider_list(wanted, device_id, precision, keep=self.content is None)
        offered = [each for each in providers if _name(each) in available]
        self._session, refusal = _open_session(ort, model, session_options, offered)
        if PROVIDERS[wanted] not in available:
            refusal = f"the installed onnxruntime has only {', '.join(available)}"
        obtained = self._session.get_providers()
        check_provider(PROVIDERS[wanted], obtained, self.options, refusal)
        on_cpu = obtained[0] == PROVIDERS["cpu"]
        self._output_names = [node.name for node in self._session.get_outputs()]
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        return Loaded(
            inputs=tuple(_spec(node) for node in self._session.get_inputs()),
            outputs=tuple(_spec(node) for node in self._session.get_outputs()),
            device="cpu" if on_cpu else f"cuda:{device_id}",
            precision=executed_precision(_stored_precision(metadata), on_cpu),
            metadata=metadata,
            details={
                "onnxruntime": ort.__version__,
                "providers": obtained,
                **({} if on_cpu else {"tf32": TF32[wanted], "note": NOT_YET_RUN}),
                **({"gpu_refused": refusal or NO_LIBRARY} if on_cpu and wanted != "cpu" else {}),
            },
        )

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._output_names, self._session.run(self._output_names, inputs), strict=True))

    def _close(self) -> None:
        del self._session


def _import() -> ModuleType:
    with no_telemetry():
        return require("onnxruntime", "onnxruntime")


def choose_provider(options: OnnxRuntimeOptions, available: list[str]) -> tuple[str, int]:
    """The provider to ask for and the GPU's index.

    Raises:
        UsageError: the device or provider is unknown, or not in the installed package and the CPU will not do.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", options.device)
    if match is None or options.provider not in ("auto", *PROVIDERS):
        raise UsageError(
            f"device {options.device!r}, provider {options.provider!r}: onnxruntime takes devices auto, cpu, "
            "cuda, cuda:N and providers auto, cpu, cuda, tensorrt"
        )
    kind, index = match[1], int(match[2] or 0)
    wanted = options.provider
    if wanted == "auto":
        auto = "cuda" if PROVIDERS["cuda"] in available else "cpu"
        wanted = auto if kind == "auto" else kind
    if (wanted == "cpu") != (kind == "cpu") and kind != "auto":
        raise UsageError(f"device {options.device!r} and provider {options.provider!r} contradict each other")
    if PROVIDERS[wanted] not in available and not options.allow_cpu_fallback:
        raise UsageError(
            f"{wanted} was asked for, but the installed onnxruntime has only {', '.join(available)}. Get it "
            "with: pip uninstall onnxruntime && pip install 'yolox-deploy[onnxruntime-gpu]', or accept the slower "
            "device with allow_cpu_fallback=True"
        )
    return wanted, index


def provider_list(wanted: str, device_id: int, precision: str, *, keep: bool = True) -> list[Any]:
    """What a session is asked for, in order, with the options of each provider.

    TensorRT takes the parts of the graph that it knows, CUDA the rest. It builds in the file's precision, and, with
    `keep`, stores its engines in the cache folder, without which every start takes minutes.
    """
    if wanted == "cpu":
        return [PROVIDERS["cpu"]]
    # By default convolutions round to TF32's 10 bits from Ampere on: fp32 must mean it.
    providers: list[Any] = [(PROVIDERS["cuda"], {"device_id": device_id, "use_tf32": 0}), PROVIDERS["cpu"]]
    if wanted == "cuda":
        return providers
    settings: dict[str, object] = {
        "device_id": device_id,
        "trt_fp16_enable": precision in ("fp16", "int8"),
        "trt_int8_enable": precision == "int8",
    }
    return [(PROVIDERS["tensorrt"], settings | (_engine_cache() if keep else {})), *providers]


def _engine_cache() -> dict[str, object]:
    from yolox_deploy.files import cache_dir, make_cache

    engines = make_cache(cache_dir() / "onnxruntime-tensorrt")
    return {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(engines)}


def _name(provider: str | tuple[str, Any]) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _open_session(
    ort: ModuleType, model: str | bytes, options: Any, providers: list[Any]
) -> tuple[Any, str | None]:
    """A session, on the CPU where the GPU's provider does not start, and its reason.

    ONNX Runtime's own second try prints to standard output, where figures go.
    """
    try:
        return ort.InferenceSession(model, options, providers=providers, enable_fallback=0), None
    except Exception as error:
        if len(providers) == 1:
            raise
        session = ort.InferenceSession(model, options, providers=[PROVIDERS["cpu"]])
        return session, next(iter(str(error).strip().splitlines()), type(error).__name__)


def check_provider(
    wanted: str, obtained: list[str], options: OnnxRuntimeOptions, refusal: str | None = None
) -> None:
    """Refuse ONNX Runtime's silent fall to the CPU, unless nothing but "auto" was asked for.

    Raises:
        ArtifactError: the session does not run on the provider asked for.
    """
    left_open = options.device == options.provider == "auto"
    if wanted not in obtained and not (left_open or options.allow_cpu_fallback):
        raise ArtifactError(
            f"{wanted} was asked for, the session obtained {', '.join(obtained)}: {refusal or NO_LIBRARY}. "
            "Run `yolox-deploy doctor`, use device='cpu', or accept the slower device with "
            "allow_cpu_fallback=True"
        )


def _file_precision(ort: ModuleType, model: str | bytes) -> str:
    """The precision recorded in a model, read before the session that depends on it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=[PROVIDERS["cpu"]])
    return _stored_precision(dict(session.get_modelmeta().custom_metadata_map))


def _stored_precision(metadata: Mapping[str, str]) -> str:
    """The precision of the file's own types; a foreign file counts as float32."""
    if METADATA_KEY not in metadata:
        return "fp32"
    return ArtifactInfo.from_json(metadata[METADATA_KEY]).precision


def executed_precision(stored: str, on_cpu: bool) -> str:
    """What is computed in: the file's own types, but the CPU has no half precision and takes float32 instead."""
    return "fp32" if on_cpu and stored == "fp16" else stored


def _spec(node: Any) -> TensorSpec:
    if node.type not in DTYPES:
        raise ArtifactError(f"{node.name!r} has type {node.type}; expected one of {', '.join(DTYPES)}")
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(DTYPES[node.type]))
