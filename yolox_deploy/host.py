"""What this process asks of its host: its cores, memory that is kept, and no reports of usage by vendors."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENVIRONMENT = threading.RLock()  # os.environ belongs to the whole process
_NO_TELEMETRY = {"CI": "true", "ORT_DISABLE_TELEMETRY": "1"}

CONTROL_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Folder, limit of memory, what is used of it, and in memory.stat how much of that is files it can drop."""

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = (1 << 30, 1 << 25)
"""Sizes from which memory is mapped apart, in bytes: the one wanted, and the most that older versions accept."""


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that this process can still have, by the machine and by the limit of its container; None if unknown.

    Known on Linux: `/proc/meminfo`, and the files of control groups, version 2 or 1.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _counts(Path("/proc/meminfo"))["MemAvailable"])
    for folder, limit, used, inactive in CONTROL_GROUPS:
        with suppress(OSError, ValueError, KeyError):  # "max" is no number
            most, now = (int((Path(folder) / name).read_text(encoding="ascii")) for name in (limit, used))
            found.append(max(most - now + _counts(Path(folder) / "memory.stat")[inactive], 0))
    return min(found, default=None)


def _counts(path: Path) -> dict[str, int]:
    """The numbers in a file of the system by the name before each."""
    rows = (line.replace(":", " ").split() for line in path.read_text(encoding="ascii").splitlines())
    return {row[0]: int(row[1]) for row in rows}


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Import ONNX Runtime, and import or call OpenVINO and NNCF, inside this: nothing is sent, no client id is written.

    openvino-telemetry reports by default, at import already. Its `opt_in_out` command writes to the user's
    home and reports the refusal; what it also honours is `CI=true`, so that is what it sees meanwhile.
    ONNX Runtime (1.32 on Linux) reports sessions to Microsoft unless its variable forbids it while it is imported.
    """
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in _NO_TELEMETRY}
        os.environ.update(_NO_TELEMETRY)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def keep_freed_memory() -> bool:
    """Tell the C library of this process to keep freed memory instead of returning it to the system.

    A step on a CPU frees hundreds of megabytes, and getting each page back costs more than the smaller kernels
    that fill it: 5 to 10 % of a step. The process then stays at its peak size. Affects the whole process, so a
    program calls it, never a library. Returns False, without effect, where there is no glibc.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mapped = any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST)
    return bool(mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)) and mapped
