"""Detection judged as a camera sees it: accuracy and latency together (Li, Wang, Ramanan, ECCV 2020).

Names are resolved on first use, so importing this package loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.streaming.clocks import RealClock, SimulatedClock
    from yolox_deploy.streaming.forecasting import Forecast
    from yolox_deploy.streaming.policies import Newest, Queue, ShrinkingTail
    from yolox_deploy.streaming.record import StreamRecord, read_record
    from yolox_deploy.streaming.recording import record_sequences
    from yolox_deploy.streaming.sequences import read_sequences

__all__ = [
    "Forecast",
    "Newest",
    "Queue",
    "RealClock",
    "ShrinkingTail",
    "SimulatedClock",
    "StreamRecord",
    "read_record",
    "read_sequences",
    "record_sequences",
]

_MODULES = {
    "clocks": ("RealClock", "SimulatedClock"),
    "forecasting": ("Forecast",),
    "policies": ("Newest", "Queue", "ShrinkingTail"),
    "record": ("StreamRecord", "read_record"),
    "recording": ("record_sequences",),
    "sequences": ("read_sequences",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
