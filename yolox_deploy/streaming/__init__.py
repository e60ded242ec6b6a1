"""Detection judged as a camera sees it: accuracy and latency together (Li, Wang, Ramanan, ECCV 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.streaming.clocks import RealClock, SimulatedClock
    from yolox_deploy.streaming.forecasting import Forecast
    from yolox_deploy.streaming.policies import Newest, Queue, ShrinkingTail
    from yolox_deploy.streaming.record import StreamRecord, read_record, read_records
    from yolox_deploy.streaming.recording import read_video, record_sequences
    from yolox_deploy.streaming.sequences import read_sequences
    from yolox_deploy.streaming.watching import watch

__all__ = [
    "Forecast",
    "Newest",
    "Queue",
    "RealClock",
    "ShrinkingTail",
    "SimulatedClock",
    "StreamRecord",
    "read_record",
    "read_records",
    "read_sequences",
    "read_video",
    "record_sequences",
    "watch",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "clocks": ("RealClock", "SimulatedClock"),
        "forecasting": ("Forecast",),
        "policies": ("Newest", "Queue", "ShrinkingTail"),
        "record": ("StreamRecord", "read_record", "read_records"),
        "recording": ("read_video", "record_sequences"),
        "sequences": ("read_sequences",),
        "watching": ("watch",),
    },
)
