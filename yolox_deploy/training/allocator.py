"""Memory of the host: keep what a training step freed for the next one."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = (1 << 30, 1 << 25)
"""Sizes from which memory is mapped apart, in bytes: the one wanted, and the most that older versions accept."""


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
