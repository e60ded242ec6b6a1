"""The processor: its name and kind, its cores and clocks, and who used it; None where the system does not tell.

What psutil knows is asked of it; it comes with the extra `bench`, and without it that is unknown.
"""

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
from typing import Any

from yolox_deploy.benchmarks.machine.facts import ISA
from yolox_deploy.errors import MissingExtraError, require

SYS_CPU = Path("/sys/devices/system/cpu")
CPUINFO = Path("/proc/cpuinfo")
SHORTEST_S = 0.2
"""The kernel counts in ticks of 10 ms: over less, a share of them says nothing."""

WORK = ("user", "nice", "system", "irq", "softirq")
"""What of psutil's times is work; not all systems have all of them."""
CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu", "x86_pkg", "soc")
"""How the names of a processor's sensors of temperature begin."""


@dataclass(frozen=True)
class CpuClock:
    """Processor seconds at one time: `own` of this process since its start, the others of each core since boot.

    `stolen` by the hypervisor is empty where the system does not tell.
    """

    wall: float
    own: float
    worked: Mapping[int, float]
    stolen: Mapping[int, float]

    @classmethod
    def now(cls) -> CpuClock | None:
        """None without psutil."""
        cores = ask("cpu_times", percpu=True)
        if not cores:
            return None
        online = core_numbers(read(SYS_CPU / "online"))
        numbers = online if len(online) == len(cores) else range(len(cores))
        times = os.times()
        return cls(
            wall=time.monotonic(),
            own=times.user + times.system,
            worked={
                n: sum(getattr(c, kind, 0.0) for kind in WORK) for n, c in zip(numbers, cores, strict=True)
            },
            stolen={n: c.steal for n, c in zip(numbers, cores, strict=True) if hasattr(c, "steal")},
        )


def ask(question: str, **options: bool) -> Any:
    """What psutil's function `question` answers; None where psutil is missing, or this system does not tell it."""
    try:
        return getattr(require("psutil", "bench"), question)(**options)
    except (MissingExtraError, AttributeError, OSError, RuntimeError):
        return None


def core_numbers(text: str) -> list[int]:
    """[0, 1, 4] from "0-1,4", as Linux lists the cores that are switched on."""
    spans = [span.partition("-") for span in text.split(",") if span]
    return [core for first, _, last in spans for core in range(int(first), int(last or first) + 1)]


def use_by_others(
    before: CpuClock | None, after: CpuClock | None, cores: Set[int]
) -> tuple[float, float | None] | None:
    """Shares (0-1) of the time of `cores` between two clocks that other programs used, and that was stolen.

    Args:
        cores: all that this process ran on (`own_cores`), else its own work elsewhere would be taken off here.
    """
    if before is None or after is None or after.wall < before.wall + SHORTEST_S:
        return None
    shared = cores & before.worked.keys() & after.worked.keys()
    if not shared:
        return None
    available = (after.wall - before.wall) * len(shared)
    others = sum(after.worked[core] - before.worked[core] for core in shared) - (after.own - before.own)
    if not shared <= before.stolen.keys() & after.stolen.keys():
        return max(others, 0.0) / available, None
    stolen = sum(after.stolen[core] - before.stolen[core] for core in shared)
    return max(others, 0.0) / available, max(stolen, 0.0) / available


def own_cores() -> set[int]:
    """Cores that the threads of this process may use now: ONNX Runtime puts its own on all cores of the machine,
    whatever `taskset` says. All cores where the system does not tell."""
    cores: set[int] = set()
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # a thread that ended meanwhile
            cores |= os.sched_getaffinity(int(task.name))
    return cores or set(range(os.cpu_count() or 0))


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


def cpu_mhz() -> float | None:
    """The mean over all clocks, now; some systems tell the nominal one instead."""
    speeds = [core.current for core in ask("cpu_freq", percpu=True) or () if core.current]  # 0: switched off
    return sum(speeds) / len(speeds) if speeds else None


def cpu_temperature() -> float | None:
    """The hottest sensor of the processor, in degrees Celsius; of the machine where none is named after it."""
    sensors = ask("sensors_temperatures") or {}
    own = {name: found for name, found in sensors.items() if name.lower().startswith(CPU_SENSORS)}
    return max((reading.current for found in (own or sensors).values() for reading in found), default=None)


def read(path: Path) -> str:
    """The text of a file of /proc or /sys; "" where it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
