"""Measuring: latency by a protocol that others can repeat, the fastest way to run a model, comparisons, streams.

Names are resolved on first use, so importing this package loads no toolkit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.measuring import bench
    from yolox_deploy.benchmarks.protocol import Protocol
    from yolox_deploy.benchmarks.report.compare import compare
    from yolox_deploy.benchmarks.report.results import BenchReport
    from yolox_deploy.benchmarks.streams.sweep import sweep
    from yolox_deploy.benchmarks.tuning import tune

__all__ = [
    "BenchReport",
    "Protocol",
    "bench",
    "compare",
    "sweep",
    "tune",
]

_MODULES = {
    "measuring": ("bench",),
    "protocol": ("Protocol",),
    "report.compare": ("compare",),
    "report.results": ("BenchReport",),
    "streams.sweep": ("sweep",),
    "tuning": ("tune",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
