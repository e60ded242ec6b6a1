"""Records of streams as they are written, answer by answer.

A record is a file of JSON Lines, so that it can be written for hours with bounded memory: a header (what was run
on what), one line an answer, and a closing line with the counts of frames. A file without the closing line comes
from a process that was killed; it is read as far as it goes.

A record of one source has schema version 1. One of several has version 2, so that a reader that knows of one source
alone refuses it: `streams` in its header are the sources, each answer names its own, and so do the counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from yolox_deploy import records
from yolox_deploy.errors import UsageError
from yolox_deploy.files import move, naming
from yolox_deploy.streaming.events import StreamEvent, StreamHeader, event_to_dict

RECORD = records.FileKind(
    "make one with: yolox-deploy stream --save-events FILE",
    foreign="is no record of a stream",
    missing="no record of a stream at",
    schema="yolox-deploy/stream",
    version=2,
)


class EventWriter:
    """Writes a record answer by answer, keeping none of them.

    The file is `PATH.part` until the writer is closed, which an exception or Ctrl-C inside its `with` block does
    too; only a process that is killed leaves the `.part`, and `read_record` reads that as well.

    Args:
        path: of the record; an existing one is replaced when the writer is closed.
        headers: what is run on what: of one source, or of several, whose events then name theirs.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *headers: StreamHeader) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._counts = {header.source: Counts() for header in headers}
        self._only = headers[0].source if len(headers) == 1 else None
        self._end = 0.0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{self._part} cannot be written ({error.strerror})") from error
        self._write(_head(headers))

    def add(self, event: StreamEvent) -> None:
        """Append one answer.

        Raises:
            UsageError: it ends before the one added last, or is of none of the sources.
        """
        if event.end < self._end:
            raise UsageError(f"an answer ends at {event.end} s, after one that ended at {self._end} s")
        if self._only is not None and event.source is not None:
            event = replace(event, source=self._only)  # a record may have been given another name
        counts = self._counts.get(event.source or self._only or "")
        if counts is None:
            raise UsageError(f"an answer is of {event.source!r}; expected one of {', '.join(self._counts)}")
        self._end = event.end
        counts.add(event)
        self._write(event_to_dict(event))

    def finish(self, frames: int, dropped: int, source: str | None = None) -> None:
        """Say how many frames of a source appeared and how many were never looked at; else what was added tells it."""
        self._counts[source or self._only or ""].told = (frames, dropped)

    def close(self) -> None:
        """Write the closing line and give the file its name; calling it twice is harmless."""
        if self._file.closed:
            return
        frames = {name: counts.both[0] for name, counts in self._counts.items()}
        dropped = {name: counts.both[1] for name, counts in self._counts.items()}
        one = self._only
        self._write(
            {"frames": frames, "dropped": dropped}
            if one is None
            else {"frames": frames[one], "dropped": dropped[one]}
        )
        os.fsync(self._file.fileno())
        self._file.close()
        move(self._part, self.path)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, values: Mapping[str, Any]) -> None:
        with naming(self.path):
            self._file.write(json.dumps(values, separators=(",", ":")) + "\n")
            self._file.flush()  # a process that is killed loses nothing


@dataclass
class Counts:
    """Of the frames of one source: what was told, and what its events tell."""

    told: tuple[int, int] | None = None
    frames: int = 0
    events: int = 0

    def add(self, event: StreamEvent) -> None:
        """Count an answer."""
        self.frames = max(self.frames, event.frame + 1)
        self.events += 1

    @property
    def both(self) -> tuple[int, int]:
        """Frames that appeared, and those without an answer."""
        return self.told or (self.frames, self.frames - self.events)


@dataclass(frozen=True)
class Stream:
    """What differs from one source of a record to the next."""

    source: str
    frame_rate: float
    policy: str


@dataclass(frozen=True)
class SeveralStreams:
    """The header of a record of several sources."""

    streams: tuple[Stream, ...]
    model: Mapping[str, Any]
    class_names: tuple[str, ...]


def _head(headers: Sequence[StreamHeader]) -> dict[str, Any]:
    """The first line."""
    first = headers[0]
    if len(headers) == 1:
        return {**RECORD.header, "schema_version": 1, **asdict(first)}
    streams = tuple(Stream(header.source, header.frame_rate, header.policy) for header in headers)
    return {**RECORD.header, **asdict(SeveralStreams(streams, first.model, first.class_names))}
