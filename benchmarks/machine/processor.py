"""The processor: its name and kind, its cores and clocks, and who used it. Linux tells most; else None."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.benchmarks.machine.facts import ISA

SYS_CPU = Path("/sys/devices/system/cpu")
CPUINFO = Path("/proc/cpuinfo")
SHORTEST_S = 0.2
"""The kernel counts in ticks of 10 ms: over less, a share of them says nothing."""


@dataclass(frozen=True)
class CpuClock:
    """Processor seconds since boot (each core's, worked and stolen) and since start (this process's), at one time."""

    wall: float
    own: float
    cores: Mapping[int, tuple[float, float]]

    @classmethod
    def now(cls) -> CpuClock | None:
        """None where /proc/stat does not exist."""
        cores = busy_and_stolen(read(Path("/proc/stat")))
        times = os.times()
        return cls(time.monotonic(), times.user + times.system, cores) if cores else None


def busy_and_stolen(stat: str) -> dict[int, tuple[float, float]]:
    """Seconds that each core worked, and that the hypervisor took from it, from the text of /proc/stat."""
    found = {}
    for number, fields in re.findall(r"^cpu(\d+)((?: \d+){8})", stat, re.MULTILINE):
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields.split()]
        user, nice, system, _idle, _wait, irq, softirq, steal = ticks
        found[int(number)] = (user + nice + system + irq + softirq, steal)
    return found


def use_by_others(
    before: CpuClock | None, after: CpuClock | None, cores: Set[int]
) -> tuple[float, float] | None:
    """Shares (0-1) of the time of `cores` between two clocks that other programs used, and that was stolen.

    Args:
        cores: all that this process ran on (`own_cores`), else its own work elsewhere would be taken off here.
    """
    if before is None or after is None or after.wall < before.wall + SHORTEST_S:
        return None
    shared = cores & before.cores.keys() & after.cores.keys()
    if not shared:
        return None
    available = (after.wall - before.wall) * len(shared)
    busy, stolen = (sum(after.cores[core][i] - before.cores[core][i] for core in shared) for i in (0, 1))
    others = busy - (after.own - before.own)
    return max(others, 0.0) / available, max(stolen, 0.0) / available


def own_cores() -> set[int]:
    """Cores that the threads of this process may use now: ONNX Runtime puts its own on all cores of the machine,
    whatever `taskset` says. Empty where the system does not tell."""
    cores: set[int] = set()
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # a thread that ended meanwhile
            cores |= os.sched_getaffinity(int(task.name))
    return cores


def cpu_name() -> str:
    """As the system calls it; machines of several kinds may share a name."""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", read(CPUINFO), re.MULTILINE)
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


def physical_cores() -> int | None:
    """Without hyper-threading."""
    siblings = {read(path) for path in SYS_CPU.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(siblings - {""}) or None


def cpu_mhz() -> float | None:
    """The mean over all cores, now."""
    speeds = [float(found) for found in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read(CPUINFO), re.M)]
    if not speeds:
        paths = SYS_CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
        speeds = [int(text) / 1000 for path in paths if (text := read(path)).isdigit()]
    return sum(speeds) / len(speeds) if speeds else None


def cpu_temperature() -> float | None:
    """The hottest sensor, in degrees Celsius."""
    paths = Path("/sys/class/thermal").glob("thermal_zone*/temp")
    readings = [int(text) / 1000 for path in paths if (text := read(path)).lstrip("-").isdigit()]
    return max(readings, default=None)


def read(path: Path) -> str:
    """The text of a file of /proc or /sys; "" where it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
