"""What a detector answered on a stream, and when: one answer, and what was run, as values and as lines of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError


@dataclass(frozen=True, eq=False)
class StreamEvent:
    """One answer. Times are seconds since the stream began, `captured_at` apart.

    Attributes:
        frame: index of the frame in its source, from 0.
        captured: when the frame appeared.
        start: when the detector began with it.
        end: when the answer was there.
        detections: the answer, in pixels of the frame; `track_ids` in it where objects are followed.
        captured_at: the time of day of `captured`, in seconds since 1970 (UTC), to a millisecond; None where time was
            simulated, and in records of 0.1.0.
        source: name of the source; None where the record has one alone and says so at its head.

    Raises:
        UsageError: not `0 <= captured <= start <= end`, or a negative frame.
    """

    frame: int
    captured: float
    start: float
    end: float
    detections: Detections
    captured_at: float | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.frame < 0 or not 0 <= self.captured <= self.start <= self.end < float("inf"):
            raise UsageError(
                f"frame {self.frame}: captured {self.captured}, start {self.start}, end {self.end}; "
                "expected 0 <= captured <= start <= end, in seconds since the stream began"
            )


@dataclass(frozen=True)
class StreamHeader:
    """What was run on what.

    Attributes:
        source: the stream's name: of a sequence, a video, a camera.
        frame_rate: frames a second.
        policy: which frames the detector took, as `policies.policy_name` writes it.
        model: path, backend, precision, size: whatever tells the run from another, plain values.
        class_names: of every answer.
    """

    source: str
    frame_rate: float
    policy: str
    model: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.frame_rate < float("inf"):
            raise UsageError(f"frame rate {self.frame_rate}; expected frames a second, above 0")


def event_to_dict(event: StreamEvent) -> dict[str, Any]:
    """A line of a record: what an event does not have is left out."""
    found = event.detections
    detections: dict[str, Any] = {
        "boxes": _shortest(found.boxes).tolist(),
        "scores": _shortest(found.scores).tolist(),
        "class_ids": found.class_ids.tolist(),
    }
    if found.track_ids is not None:
        detections["track_ids"] = found.track_ids.tolist()
    identity = {} if event.source is None else {"source": event.source}
    times: dict[str, Any] = {"captured": event.captured, "start": event.start, "end": event.end}
    if event.captured_at is not None:
        times["captured_at"] = iso_time(event.captured_at)
    return {**identity, "frame": event.frame, **times, "detections": detections}


def event_from_dict(values: Mapping[str, Any], class_names: Sequence[str]) -> StreamEvent:
    """The event of a line.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it is none.
    """
    found = values["detections"]
    ids, at, source = found.get("track_ids"), values.get("captured_at"), values.get("source")
    detections = Detections(
        np.array(found["boxes"], np.float32).reshape(-1, 4),
        np.array(found["scores"], np.float32),
        np.array(found["class_ids"], np.int64),
        tuple(class_names),
        track_ids=None if ids is None else np.array(ids, np.int64),
    )
    captured, start, end = (float(values[key]) for key in ("captured", "start", "end"))
    return StreamEvent(
        *(int(values["frame"]), captured, start, end, detections),
        captured_at=None if at is None else _seconds(at),
        source=None if source is None else str(source),
    )


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to a millisecond: 2026-11-30T21:14:03.250Z."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%dT%H:%M:%S}.{thousandths:03d}Z"


def _seconds(text: str) -> float:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same single-precision numbers with as few digits as tell them apart: half the file."""
    return values.astype(np.str_).astype(np.float64)
