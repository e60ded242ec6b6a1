"""What a detector answered on a stream, and when: the record that `streaming_ap` scores.

A record is a file of JSON Lines, so that it can be written for hours with bounded memory: a header (what was run
on what), one line an answer, and a closing line with the counts of frames. A file without the closing line comes
from a process that was killed; it is read as far as it goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy import records
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, UsageError

RECORD = records.FileKind(
    "make one with: yolox-deploy stream --save-events FILE",
    foreign="is no record of a stream",
    missing="no record of a stream at",
    schema="yolox-deploy/stream",
    version=1,
)


@dataclass(frozen=True, eq=False)
class StreamEvent:
    """One answer. Times are seconds since the stream began.

    Attributes:
        frame: index of the frame in the stream, from 0.
        captured: when the frame appeared.
        start: when the detector began with it.
        end: when the answer was there.
        detections: the answer, in pixels of the frame.

    Raises:
        UsageError: not `0 <= captured <= start <= end`, or a negative frame.
    """

    frame: int
    captured: float
    start: float
    end: float
    detections: Detections

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


@dataclass(frozen=True, eq=False)
class StreamRecord:
    """All answers on one stream, in the order in which they were there.

    Attributes:
        source, frame_rate, policy, model, class_names: see `StreamHeader`.
        frames: how many frames appeared.
        dropped: how many of them the detector never saw.
        events: by ascending `end`.

    Raises:
        UsageError: the answers are out of order.
    """

    source: str
    frame_rate: float
    frames: int
    dropped: int
    policy: str
    model: Mapping[str, Any]
    class_names: tuple[str, ...]
    events: tuple[StreamEvent, ...]

    def __post_init__(self) -> None:
        ends = [event.end for event in self.events]
        if ends != sorted(ends):
            raise UsageError(f"the answers on {self.source} are not in the order of their end")

    @property
    def header(self) -> StreamHeader:
        """The part that was known before the first frame."""
        return StreamHeader(self.source, self.frame_rate, self.policy, self.model, self.class_names)

    def save(self, path: str | Path) -> Path:
        """Write the record, under a temporary name first; `read_record` gives the same values again."""
        with EventWriter(path, self.header) as writer:
            for event in self.events:
                writer.add(event)
            writer.finish(self.frames, self.dropped)
        return Path(path)


class EventWriter:
    """Writes a record answer by answer, keeping none of them.

    The file is `PATH.part` until the writer is closed, which an exception or Ctrl-C inside its `with` block does
    too; only a process that is killed leaves the `.part`, and `read_record` reads that as well.

    Args:
        path: of the record; an existing one is replaced when the writer is closed.
        header: what is run on what.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: str | Path, header: StreamHeader) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._counts: tuple[int, int] | None = None
        self._frames = self._events = 0
        self._end = 0.0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{self._part} cannot be written ({error.strerror})") from error
        self._write({**RECORD.header, **asdict(header)})

    def add(self, event: StreamEvent) -> None:
        """Append one answer.

        Raises:
            UsageError: it ends before the one added last.
        """
        if event.end < self._end:
            raise UsageError(f"an answer ends at {event.end} s, after one that ended at {self._end} s")
        self._end = event.end
        self._frames = max(self._frames, event.frame + 1)
        self._events += 1
        self._write(_plain_event(event))
        self._file.flush()  # a process that is killed loses nothing

    def finish(self, frames: int, dropped: int) -> None:
        """Say how many frames appeared and how many were never looked at; what was added tells it otherwise."""
        self._counts = (frames, dropped)

    def close(self) -> None:
        """Write the closing line and give the file its name; calling it twice is harmless."""
        if self._file.closed:
            return
        frames, dropped = self._counts or (self._frames, self._frames - self._events)
        self._write({"frames": frames, "dropped": dropped})
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(values, separators=(",", ":")) + "\n")


def read_record(path: str | Path) -> StreamRecord:
    """Read a record; of a file that was never closed, everything up to its last whole line.

    Raises:
        InputError: the file is missing, no record, damaged (names the line), or of a newer schema.
    """
    file = Path(path)
    lines = records.read(file, RECORD, lambda content: content.decode().splitlines())
    header = records.decode(StreamHeader, lines[0] if lines else "", file, RECORD)
    events: list[StreamEvent] = []
    counts: tuple[int, int] | None = None
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = records.parse(line)
            if "detections" not in values:
                counts = (int(values["frames"]), int(values["dropped"]))
                break
            events.append(_event(values, header.class_names))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if number == len(lines):  # broken off in the middle of a line
                break
            raise InputError(f"{file}, line {number}: not an answer of a stream ({error})") from error
    frames = max((event.frame + 1 for event in events), default=0)
    frames, dropped = counts or (frames, frames - len(events))
    try:
        return StreamRecord(frames=frames, dropped=dropped, events=tuple(events), **vars(header))
    except UsageError as error:
        raise InputError(f"{file}: {error}") from error


def _plain_event(event: StreamEvent) -> dict[str, Any]:
    found = event.detections
    return {
        "frame": event.frame,
        "captured": event.captured,
        "start": event.start,
        "end": event.end,
        "detections": {
            "boxes": _shortest(found.boxes).tolist(),
            "scores": _shortest(found.scores).tolist(),
            "class_ids": found.class_ids.tolist(),
        },
    }


def _shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same single-precision numbers with as few digits as tell them apart: half the file."""
    return values.astype(np.str_).astype(np.float64)


def _event(values: Mapping[str, Any], class_names: Sequence[str]) -> StreamEvent:
    found = values["detections"]
    detections = Detections(
        np.array(found["boxes"], np.float32).reshape(-1, 4),
        np.array(found["scores"], np.float32),
        np.array(found["class_ids"], np.int64),
        tuple(class_names),
    )
    captured, start, end = (float(values[key]) for key in ("captured", "start", "end"))
    return StreamEvent(int(values["frame"]), captured, start, end, detections)
