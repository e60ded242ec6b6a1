"""What the machine is and how it fares, read and never changed.

Linux tells most through /proc and /sys; elsewhere what is not known stays None. GPUs are asked through
nvidia-ml-py where that is installed.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from yolox_deploy.benchmarks.machine import Environment, MachineState
from yolox_deploy.benchmarks.nvidia import gpu_readings, gpus

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
SYS_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class CpuClock:
    """Processor seconds since boot (of the whole machine) and since start (of this process), at one time."""

    wall: float
    busy: float
    stolen: float
    own: float

    @classmethod
    def now(cls) -> CpuClock | None:
        """None where /proc/stat does not exist."""
        fields = _read(Path("/proc/stat")).partition("\n")[0].split()[1:]
        if len(fields) < 8:
            return None
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8]]
        user, nice, system, _idle, _wait, irq, softirq, steal = ticks
        times = os.times()
        own = times.user + times.system
        return cls(time.monotonic(), user + nice + system + irq + softirq, steal, own)


def describe() -> Environment:
    """The machine and the packages, without states: those are taken while the benchmark runs."""
    return Environment(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=_cpu_name(),
        cores=_physical_cores(),
        logical_cores=os.cpu_count(),
        usable_cores=usable_cores(),
        memory_mib=_meminfo("MemTotal"),
        governor=_read(SYS_CPU / "cpu0/cpufreq/scaling_governor") or None,
        versions={name: version for name in PACKAGES if (version := _version(name))},
        gpus=gpus(),
    )


def state(moment: str) -> MachineState:
    """The machine now; `moment` is "before", "during" or "after"."""
    return MachineState(
        moment=moment,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        available_mib=_meminfo("MemAvailable"),
        cpu_mhz=_cpu_mhz(),
        cpu_temperature_c=_cpu_temperature(),
        **gpu_readings(),
    )


def use_by_others(before: CpuClock | None, after: CpuClock | None, cores: int) -> tuple[float, float] | None:
    """Shares (0-1) of the cores' time between two clocks that other programs used, and that was stolen."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    available = (after.wall - before.wall) * cores
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(others, 0.0) / available, max(after.stolen - before.stolen, 0.0) / available


def warnings(environment: Environment) -> tuple[str, ...]:
    """What a reader must know before trusting absolute figures, as sentences."""
    found = []
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
    for state in environment.states:
        if state.gpu_throttling:
            found.append(f"a GPU was throttled {state.moment} the run: {', '.join(state.gpu_throttling)}")
    return tuple(found)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _cpu_name() -> str:
    match = re.search(
        r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE
    )
    if match:
        return match[1].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _physical_cores() -> int | None:
    siblings = {_read(path) for path in SYS_CPU.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(siblings - {""}) or None


def _meminfo(name: str) -> float | None:
    match = re.search(rf"^{name}:\s+(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    return int(match[1]) / 1024 if match else None


def _cpu_mhz() -> float | None:
    speeds = [
        float(found) for found in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _read(Path("/proc/cpuinfo")), re.M)
    ]
    if not speeds:
        paths = SYS_CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
        speeds = [int(text) / 1000 for path in paths if (text := _read(path)).isdigit()]
    return sum(speeds) / len(speeds) if speeds else None


def _cpu_temperature() -> float | None:
    paths = Path("/sys/class/thermal").glob("thermal_zone*/temp")
    readings = [int(text) / 1000 for path in paths if (text := _read(path)).lstrip("-").isdigit()]
    return max(readings, default=None)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
