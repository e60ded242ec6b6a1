"""The state of NVIDIA GPUs through nvidia-ml-py; nothing where it, the driver or a GPU is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from yolox_deploy.benchmarks.machine.facts import Gpu
from yolox_deploy.errors import MissingExtraError, require

THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons (nvml.h) -> words. Idle and clocks set by the user are no throttling."""


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine as their driver names them."""
    with _nvml() as nvml:
        if nvml is None:
            return ()
        driver = str(nvml.nvmlSystemGetDriverVersion())
        return tuple(_describe(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount()))


def gpu_readings() -> dict[str, Any]:
    """The GPU fields of `MachineState`: slowest clock, summed power, highest temperature, all throttling."""
    with _nvml() as nvml:
        if nvml is None or nvml.nvmlDeviceGetCount() == 0:
            return {}
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        clocks = [_ask(nvml, nvml.nvmlDeviceGetClockInfo, h, nvml.NVML_CLOCK_SM) for h in handles]
        power = [_ask(nvml, nvml.nvmlDeviceGetPowerUsage, h) for h in handles]
        heat = [_ask(nvml, nvml.nvmlDeviceGetTemperature, h, nvml.NVML_TEMPERATURE_GPU) for h in handles]
        reasons = [_ask(nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, h) for h in handles]
        return {
            "gpu_mhz": min((float(c) for c in clocks if c is not None), default=None),
            "gpu_power_w": sum(p / 1000 for p in power if p is not None) or None,
            "gpu_temperature_c": max((float(t) for t in heat if t is not None), default=None),
            "gpu_throttling": throttling([r for r in reasons if r is not None]),
        }


def throttling(reasons: list[int]) -> tuple[str, ...]:
    """The words for every throttle bit set in any of NVML's `reasons`."""
    return tuple(word for bit, word in THROTTLE_REASONS.items() if any(bit & reason for reason in reasons))


@contextmanager
def _nvml() -> Iterator[ModuleType | None]:
    """NVML, started and shut down again; None where it cannot be had."""
    nvml = _started()
    try:
        yield nvml
    finally:
        if nvml is not None:
            nvml.nvmlShutdown()


def _started() -> ModuleType | None:
    try:
        nvml = require("pynvml", "tensorrt")
    except MissingExtraError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return None
    return nvml


def _describe(nvml: ModuleType, index: int, driver: str) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        index=index,
        name=str(nvml.nvmlDeviceGetName(handle)),
        driver=driver,
        memory_mib=nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**20,
        compute_capability=".".join(map(str, capability)) if capability else None,
    )


def _ask(nvml: ModuleType, question: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None where this GPU does not support the question."""
    try:
        return question(*arguments)
    except nvml.NVMLError:
        return None
