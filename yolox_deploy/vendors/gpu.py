"""Which NVIDIA GPU is there, asked of the CUDA driver alone: no context is made, nothing is allocated."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from yolox_deploy.errors import DeviceError, MissingExtraError, RuntimeFailure, UsageError, require

CUDA_PACKAGES = {"cuda-bindings": "cuda.bindings.driver", "pycuda": "pycuda.driver"}
"""Package -> module. The first installed one is used; cuda-bindings stands first for its CUDA graphs."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as the CUDA driver sees it (`CUDA_VISIBLE_DEVICES` is respected).

    Attributes:
        index: its number.
        name: such as "Tesla V100-SXM2-16GB".
        compute_capability: (major, minor).
    """

    index: int
    name: str
    compute_capability: tuple[int, int]

    @property
    def capability(self) -> str:
        """The compute capability as people write it: "7.0"."""
        return "{}.{}".format(*self.compute_capability)


def cuda_package(wanted: str = "auto") -> str:
    """The package to reach CUDA through: `wanted`, or with "auto" the first installed one.

    Raises:
        UsageError: no such package is known.
        MissingExtraError: neither is installed.
    """
    if wanted in CUDA_PACKAGES:
        return wanted
    if wanted != "auto":
        raise UsageError(f"cuda is {wanted!r}; expected auto, {', '.join(CUDA_PACKAGES)}")
    for name, module in CUDA_PACKAGES.items():
        if _installed(module):
            return name
    raise MissingExtraError(
        "neither cuda-bindings nor pycuda is installed; get one with: pip install 'yolox-deploy[tensorrt]'"
    )


def find_gpu(index: int = 0, package: str = "auto") -> Gpu:
    """The GPU with that number.

    Raises:
        DeviceError: no driver, no GPU, or fewer GPUs than that.
        MissingExtraError: no package that reaches CUDA is installed.
    """
    name = cuda_package(package)
    driver = require(CUDA_PACKAGES[name], "tensorrt")
    try:
        gpus = _ask_bindings(driver) if name == "cuda-bindings" else _ask_pycuda(driver)
    except Exception as error:  # each package has its own exceptions for an absent driver
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DeviceError(
            f"no NVIDIA GPU can be used on this machine ({reason.rstrip('.')}). TensorRT engines run on NVIDIA "
            "GPUs only: check with nvidia-smi, or export with --to onnx or --to openvino"
        ) from error
    if not 0 <= index < len(gpus):
        raise DeviceError(
            f"there is no cuda:{index}; this machine has {len(gpus)} NVIDIA GPU(s), from cuda:0"
        )
    return gpus[index]


def call(driver: Any, function: str, *arguments: Any) -> Any:
    """Call a function of `cuda.bindings.driver` and check its status; returns its value or values.

    Raises:
        RuntimeFailure: the driver reports an error; names the function and the error.
    """
    status, *values = getattr(driver, function)(*arguments)
    if int(status) != 0:
        raise RuntimeFailure(f"CUDA: {function} failed with {getattr(status, 'name', status)}")
    return values[0] if len(values) == 1 else tuple(values) or None


def _ask_bindings(driver: Any) -> list[Gpu]:
    call(driver, "cuInit", 0)
    attributes = driver.CUdevice_attribute
    wanted = (
        attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    )
    gpus = []
    for index in range(int(call(driver, "cuDeviceGetCount"))):
        device = call(driver, "cuDeviceGet", index)
        name = call(driver, "cuDeviceGetName", 128, device).split(b"\0")[0].decode()
        major, minor = (int(call(driver, "cuDeviceGetAttribute", item, device)) for item in wanted)
        gpus.append(Gpu(index, name, (major, minor)))
    return gpus


def _ask_pycuda(driver: Any) -> list[Gpu]:
    driver.init()
    gpus = []
    for index in range(int(driver.Device.count())):
        device = driver.Device(index)
        major, minor = device.compute_capability()
        gpus.append(Gpu(index, str(device.name()), (int(major), int(minor))))
    return gpus


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # the parent package is absent
        return False
