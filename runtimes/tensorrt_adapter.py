"""TensorRT and TensorRT-RTX engines on NVIDIA GPUs.

Written against the real interfaces and tested up to the GPU (building is tested for real; execution with a
stand-in for the device); not yet run on a GPU by the authors: `make gpu-acceptance` does that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import CLASS_NAMES
from yolox_deploy.errors import ArtifactError, DeviceError, MissingExtraError, UsageError
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.runtimes.cuda_device import open_device
from yolox_deploy.runtimes.tensorrt_session import EngineSession
from yolox_deploy.vendors.gpu import Gpu, cuda_package, find_gpu
from yolox_deploy.vendors.tensorrt_sdk import (
    EXPORT_TARGETS,
    NOT_YET_RUN,
    TITLES,
    Sdk,
    check_gpu,
    installed_flavors,
    load_sdk,
)


@dataclass(frozen=True)
class TensorRTOptions(RuntimeOptions):
    """Options of TensorRT; `threads` has no meaning on a GPU and is refused.

    Attributes:
        cuda: package that reaches CUDA: "auto" (the first installed), "cuda-bindings" or "pycuda".
        cuda_graph: replay the network as a CUDA graph where its shapes are static.
    """

    cuda: str = "auto"
    cuda_graph: bool = True


class TensorRT(Runtime):
    """Runs `.engine` files. Calls from several threads queue on a lock; each instance has its own stream."""

    name = "tensorrt"
    capabilities = Capabilities(
        suffixes=(".engine",),
        devices=("cuda",),
        precisions=("fp32", "fp16", "bf16", "int8"),
        dynamic_batch=True,
        concurrent=False,
        in_memory=(".engine",),
    )
    options_type = TensorRTOptions
    options: TensorRTOptions

    @classmethod
    def probe(cls) -> dict[str, str]:
        flavors = installed_flavors()
        if not flavors:
            raise MissingExtraError(
                "neither tensorrt nor tensorrt_rtx is installed: pip install 'yolox-deploy[tensorrt]' "
                "(tensorrt-volta for a V100, tensorrt-rtx for RTX cards)"
            )
        found = {TITLES[flavor]: load_sdk(flavor).version for flavor in flavors}
        package = cuda_package()
        gpu = find_gpu()
        for flavor in flavors:
            check_gpu(load_sdk(flavor), gpu)
        found["cuda through"] = f"{package} {metadata.version(package)}"
        return {**found, "GPU": f"{gpu.name}, compute capability {gpu.capability}", "note": NOT_YET_RUN}

    def last_device_ms(self) -> float | None:
        """Milliseconds between events around the network of the latest `infer`; None before the first."""
        self._check_open()
        return self._session.device_ms() if self._has_run else None

    def _load(self, path: Path) -> Loaded:
        if self.options.threads is not None:
            raise UsageError("threads are CPU threads; a TensorRT engine runs on the GPU and takes none")
        index = gpu_index(self.options.device)
        flavor = flavor_of(path, self.artifact)
        check_flavor(path, self.artifact, flavor)
        sdk = load_sdk(flavor)
        check_version(path, self.artifact, sdk)
        gpu = find_gpu(index, self.options.cuda)
        check_gpu(sdk, gpu)
        check_capability(path, self.artifact, gpu)
        device = open_device(index, self.options.cuda)
        engine = path.read_bytes() if self.content is None else self.content
        self._session = EngineSession(sdk, engine, device, cuda_graph=self.options.cuda_graph)
        self._has_run = False
        return Loaded(
            inputs=self._session.input_specs,
            outputs=self._session.output_specs,
            device=f"cuda:{index}",
            precision=self.artifact.precision if self.artifact else "fp32",
            details=self._details(sdk, gpu, device.package),
            max_batch=self._session.max_batch,
        )

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        results = self._session.run(inputs)
        self._has_run = True
        return results

    def _close(self) -> None:
        self._session.close()

    def _details(self, sdk: Sdk, gpu: Gpu, package: str) -> dict[str, Any]:
        details = {
            "flavor": sdk.flavor,
            sdk.flavor: sdk.version,
            "gpu": gpu.name,
            "compute_capability": gpu.capability,
            "cuda_through": package,
            "cuda_graph": self._session.cuda_graph,
            "transfers": "pinned memory, in the host scope only",
            "spin_wait": "as the driver chooses",
            "note": NOT_YET_RUN,
        }
        if self.artifact is None:
            details["precision"] = "unknown: the engine has no sidecar, fp32 is its inputs' and outputs' type"
        return details


def gpu_index(device: str) -> int:
    """The number in "auto", "cuda" or "cuda:N".

    Raises:
        UsageError: another device.
    """
    match = re.fullmatch(r"(?:auto|cuda)(?::(\d+))?", device)
    if match is None:
        raise UsageError(f"device is {device!r}; TensorRT engines run on cuda, cuda:0, cuda:1, …")
    return int(match[1] or 0)


def flavor_of(path: Path, info: ArtifactInfo | None) -> str:
    """Which product runs the engine: the one in its sidecar; without one, TensorRT if installed, else -RTX.

    Raises:
        ArtifactError: the sidecar describes a file of another backend.
    """
    if info is None:
        return next(iter(installed_flavors()), "tensorrt")
    if info.format not in TITLES:
        raise ArtifactError(
            f"{path} is described as {info.format} in its sidecar; expected a TensorRT engine"
        )
    return info.format


def check_flavor(path: Path, info: ArtifactInfo | None, flavor: str) -> None:
    """Say what an engine needs when that product is not installed but its sibling may be.

    Raises:
        MissingExtraError: names the product that built it and its extra.
    """
    if flavor not in installed_flavors():
        found = ", ".join(TITLES[name] for name in installed_flavors()) or "neither TensorRT nor TensorRT-RTX"
        built = f"was built with {_built_with(info)}" if info is not None else f"needs {TITLES[flavor]}"
        raise MissingExtraError(
            f"{path} {built}, found {found}; install it with: pip install 'yolox-deploy[{flavor}]'"
        )


def check_version(path: Path, info: ArtifactInfo | None, sdk: Sdk) -> None:
    """Engines are bound to the version that built them.

    Raises:
        ArtifactError: built with X, found Y, rebuild with Z.
    """
    if info is not None and info.details.get("tensorrt", sdk.version) != sdk.version:
        raise _mismatch(path, info, f"{sdk.title} {sdk.version}")


def check_capability(path: Path, info: ArtifactInfo | None, gpu: Gpu) -> None:
    """Engines are bound to the compute capability they were built for.

    Raises:
        ArtifactError: built for X, found Y, rebuild with Z.
    """
    built_for = info.details.get("compute_capability") if info is not None else None
    if info is not None and built_for and not runs_on(built_for, gpu.compute_capability):
        raise _mismatch(path, info, f"{gpu.name} (compute capability {gpu.capability})", DeviceError)


def runs_on(built_for: Sequence[str], found: tuple[int, int]) -> bool:
    """Whether a GPU is among ("8.6", "8.9"), or from 8.0 on where "8.0+" stands."""
    for text in built_for:
        major, minor = (int(part) for part in text.rstrip("+").split("."))
        if found == (major, minor) or (text.endswith("+") and found > (major, minor)):
            return True
    return False


def rebuild_command(path: Path, info: ArtifactInfo) -> str:
    """The command that makes this engine again on this machine."""
    parts = ["yolox-deploy export", info.model, f"--to {EXPORT_TARGETS[info.format]}"]
    if info.class_names != CLASS_NAMES:  # not the published weights
        parts.append("--weights FILE")
    if info.precision != "fp32":
        parts.append(f"--{info.precision}")
    if info.precision == "int8":
        parts.append("--calib DIR")
    parts.append("--imgsz {}x{}".format(*info.input_size))
    if info.batch != 1:
        parts.append(f"--batch {info.batch or 'dynamic'}")
    return " ".join([*parts, f"--out {path}"])


def _mismatch(
    path: Path, info: ArtifactInfo, found: str, kind: type[ArtifactError] = ArtifactError
) -> ArtifactError:
    return kind(
        f"{path} was built with {_built_with(info)}, found {found}; "
        f"rebuild with: {rebuild_command(path, info)}"
    )


def _built_with(info: ArtifactInfo) -> str:
    capability = ", ".join(info.details.get("compute_capability", ())) or "unknown"
    gpu = f"{info.details['gpu']}, " if info.details.get("gpu") else ""
    version = info.details.get("tensorrt", "of unknown version")
    return f"{TITLES[info.format]} {version} for {gpu}compute capability {capability}"
