"""What becomes of loaded models in a process that was forked: it has their memory, and none of their threads.

Seen with two threads: ONNX Runtime and OpenVINO still answer there, the same to the bit, but whoever frees a model
waits for its threads for ever, at the exit of the process too. NCNN and PyTorch compute by OpenMP, which waits for
threads that never come, also in models that are opened after the fork.
"""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from typing import Any

from yolox_deploy.errors import UsageError

CURE = (
    "open it in each process instead, in workers that multiprocessing.get_context('spawn') starts, or before and after "
    "the fork with threads=1"
)

_OPEN: weakref.WeakSet[Any] = weakref.WeakSet()
_POOLS: set[int] = set()
"""Processes, this one or one that it was forked from, that computed with several threads of OpenMP."""


def watch(runtime: object) -> None:
    """Never free what `runtime` holds in processes that are forked from this one."""
    _register()
    _OPEN.add(runtime)


def started_pool() -> None:
    """OpenMP computes with several threads in this process from now on."""
    _POOLS.add(os.getpid())


def check_pool(threads: int | None) -> None:
    """Refuse several threads of OpenMP where a fork has left them behind.

    Args:
        threads: None for the runtime's own choice.

    Raises:
        UsageError: a process that this one was forked from computed with several.
    """
    if threads != 1 and _POOLS - {os.getpid()}:
        raise UsageError(
            f"this process was forked from one that computed by OpenMP (NCNN, PyTorch) with several threads, and "
            f"would wait for them for ever; {CURE}"
        )


@functools.cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=_keep)


def _keep() -> None:
    for runtime in _OPEN:
        for value in vars(runtime).values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
