"""TensorRT and TensorRT-RTX engines on NVIDIA GPUs.

Written against the real interfaces and tested up to the GPU (building is tested for real; execution with a
stand-in for the device); not yet run on a GPU by the authors: `make gpu-acceptance` does that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.errors import MissingExtraError, UsageError
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.runtimes.cuda_device import open_device
from yolox_deploy.runtimes.tensorrt_preflight import (
    check_capability,
    check_flavor,
    check_version,
    flavor_of,
)
from yolox_deploy.runtimes.tensorrt_session import EngineSession
from yolox_deploy.vendors.gpu import Gpu, cuda_package, find_gpu
from yolox_deploy.vendors.tensorrt_sdk import NOT_YET_RUN, TITLES, Sdk, check_gpu, installed_flavors, load_sdk


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
        self._session = EngineSession(sdk, path.read_bytes(), device, cuda_graph=self.options.cuda_graph)
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
