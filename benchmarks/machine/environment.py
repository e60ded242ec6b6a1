"""What the machine is and how it fares, read and never changed.

The machine is asked through psutil (extra `bench`) and GPUs through nvidia-ml-py, where they are installed; what is not
known stays None.
"""

from __future__ import annotations

import os
import platform
from importlib import metadata

from yolox_deploy.benchmarks.machine.facts import Environment, MachineState
from yolox_deploy.benchmarks.machine.nvidia import gpu_readings, gpus
from yolox_deploy.benchmarks.machine.processor import (
    CPUINFO,
    SYS_CPU,
    ask,
    cpu_mhz,
    cpu_model,
    cpu_name,
    cpu_temperature,
    instruction_sets,
    read,
)
from yolox_deploy.host import usable_cores

PACKAGES = (
    "yolox-deploy",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "ncnn",
    "torch",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-rtx-cu12-bindings",
    "cuda-bindings",
    "nvidia-ml-py",
)
BUSY_ELSEWHERE_LIMIT = 0.10
STOLEN_LIMIT = 0.02


def describe() -> Environment:
    """The machine and the packages, without states: those are taken while the benchmark runs."""
    cpuinfo, memory = read(CPUINFO), ask("virtual_memory")
    return Environment(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=cpu_name(),
        cores=ask("cpu_count", logical=False),
        logical_cores=os.cpu_count(),
        usable_cores=usable_cores(),
        memory_mib=memory.total / 2**20 if memory else None,
        governor=read(SYS_CPU / "cpu0/cpufreq/scaling_governor") or None,
        versions={name: version for name in PACKAGES if (version := _version(name))},
        gpus=gpus(),
        cpu_model=cpu_model(cpuinfo),
        isa=instruction_sets(cpuinfo),
    )


def state(moment: str) -> MachineState:
    """The machine now; `moment` is "before", "during" or "after"."""
    memory = ask("virtual_memory")
    return MachineState(
        moment=moment,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        available_mib=memory.available / 2**20 if memory else None,
        cpu_mhz=cpu_mhz(),
        cpu_temperature_c=cpu_temperature(),
        **gpu_readings(),
    )


def warnings(environment: Environment, on_gpu: bool = False) -> tuple[str, ...]:
    """What a reader must know before trusting absolute figures, as sentences; `on_gpu`: a row ran on CUDA."""
    found = []
    if environment.memory_mib is None:
        found.append(
            "who else used the processor, its clock and temperature, and the memory are unknown: "
            "pip install 'yolox-deploy[bench]' brings psutil, which tells them"
        )
    if (environment.busy_elsewhere or 0) > BUSY_ELSEWHERE_LIMIT:
        found.append(
            f"other programs used {environment.busy_elsewhere:.0%} of the processor during the run: "
            "close them, or trust only the ratios"
        )
    if (environment.stolen or 0) > STOLEN_LIMIT:
        found.append(f"the hypervisor gave {environment.stolen:.0%} of the processor to other guests")
    if environment.governor not in (None, "performance"):
        found.append(
            f"the frequency governor is {environment.governor}: for steadier figures set it yourself with "
            "`sudo cpupower frequency-set -g performance` (nothing was changed here)"
        )
    if on_gpu and not environment.gpus:
        found.append(
            "the GPU's name, driver, clocks and throttling are unknown, and --compare cannot tell it from another: "
            "install nvidia-ml-py (the extras tensorrt and onnxruntime-gpu bring it)"
        )
    for state in environment.states:
        if state.gpu_throttling:
            found.append(f"a GPU was throttled {state.moment} the run: {', '.join(state.gpu_throttling)}")
    return tuple(found)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
