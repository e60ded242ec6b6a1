"""Measuring: latency by a protocol that others can repeat, the fastest way to run a model, comparisons, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.measuring import bench
    from yolox_deploy.benchmarks.protocol import Protocol
    from yolox_deploy.benchmarks.report.compare import compare
    from yolox_deploy.benchmarks.report.results import BenchReport
    from yolox_deploy.benchmarks.roadmap.recipes import row_config
    from yolox_deploy.benchmarks.streams.chart import draw_sweep
    from yolox_deploy.benchmarks.streams.latencies import clock_from_report
    from yolox_deploy.benchmarks.streams.sweep import sweep
    from yolox_deploy.benchmarks.tuning import tune

__all__ = [
    "BenchReport",
    "Protocol",
    "bench",
    "clock_from_report",
    "compare",
    "draw_sweep",
    "row_config",
    "sweep",
    "tune",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "measuring": ("bench",),
        "protocol": ("Protocol",),
        "report.compare": ("compare",),
        "report.results": ("BenchReport",),
        "roadmap.recipes": ("row_config",),
        "streams.chart": ("draw_sweep",),
        "streams.latencies": ("clock_from_report",),
        "streams.sweep": ("sweep",),
        "tuning": ("tune",),
    },
)
