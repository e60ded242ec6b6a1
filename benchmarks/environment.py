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
from collections.abc import Set
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from yolox_deploy.benchmarks.machine import ISA, Environment, MachineState
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
    """Processor seconds since boot (of the cores that this process may use) and since start (of this process),
    at one time."""

    wall: float
    busy: float
    stolen: float
    own: float

    @classmethod
    def now(cls) -> CpuClock | None:
        """None where /proc/stat does not exist, or does not tell of these cores."""
        if not hasattr(os, "sched_getaffinity"):
            return None
        found = busy_and_stolen(_read(Path("/proc/stat")), os.sched_getaffinity(0))
        if found is None:
            return None
        busy, stolen = (ticks / os.sysconf("SC_CLK_TCK") for ticks in found)
        times = os.times()
        return cls(time.monotonic(), busy, stolen, times.user + times.system)


def busy_and_stolen(stat: str, cores: Set[int]) -> tuple[int, int] | None:
    """Ticks that `cores` worked, and that the hypervisor took, from the text of /proc/stat; None without them."""
    busy = stolen = found = 0
    for line in stat.splitlines():
        name, *fields = line.split() or [""]
        if not re.fullmatch(r"cpu\d+", name) or int(name[3:]) not in cores or len(fields) < 8:
            continue
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
        busy, stolen, found = busy + user + nice + system + irq + softirq, stolen + steal, found + 1
    return (busy, stolen) if found == len(cores) else None


def describe() -> Environment:
    """The machine and the packages, without states: those are taken while the benchmark runs."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
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
        cpu_model=cpu_model(cpuinfo),
        isa=instruction_sets(cpuinfo),
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


def warnings(environment: Environment, on_gpu: bool = False) -> tuple[str, ...]:
    """What a reader must know before trusting absolute figures, as sentences; `on_gpu`: a row ran on CUDA."""
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
    if on_gpu and not environment.gpus:
        found.append(
            "the GPU's name, driver, clocks and throttling are unknown, and --compare cannot tell it from another: "
            "install nvidia-ml-py (the extras tensorrt and onnxruntime-gpu bring it)"
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


def cpu_model(cpuinfo: str) -> str | None:
    """ "AuthenticAMD 25 17" from the text of /proc/cpuinfo: vendor, family and model; None where it does not tell."""
    for names in (("vendor_id", "cpu family", "model"), ("CPU implementer", "CPU variant", "CPU part")):
        found = [re.search(rf"^{name}\s*:\s*(.+)$", cpuinfo, re.MULTILINE) for name in names]
        if all(found):
            return " ".join(match[1].strip() for match in found if match)
    return None


def instruction_sets(cpuinfo: str) -> tuple[str, ...] | None:
    """Which of `ISA` the text of /proc/cpuinfo names; None where it does not tell."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return tuple(name for name in ISA if name in match[1].split()) if match else None


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
