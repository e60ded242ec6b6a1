"""What a detector answered on streams, read back: the record that `streaming_ap` scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy import records
from yolox_deploy.documents import parse_json
from yolox_deploy.errors import InputError, UsageError, reason_of
from yolox_deploy.streaming.event_writer import RECORD, Counts, EventWriter, SeveralStreams
from yolox_deploy.streaming.events import StreamEvent, StreamHeader, event_from_dict


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


def read_record(path: str | Path, source: str | None = None) -> StreamRecord:
    """Read a record; of a file that was never closed, everything up to its last whole line.

    Args:
        source: which of several sources that the file holds.

    Raises:
        InputError: the file is missing, no record, damaged (names the line), of a newer schema, or of other sources.
    """
    found = read_records(path)
    names = [record.source for record in found]
    if source is None and len(found) > 1:
        raise InputError(
            f"{path} holds {len(found)} sources; name one, as in read_record(path, {names[0]!r}), or take them all by "
            f"read_records(path): {', '.join(names)}"
        )
    if source is not None and source not in names:
        raise InputError(f"{path} holds no source {source!r}; it has {', '.join(names)}")
    return found[0] if source is None else found[names.index(source)]


def read_records(path: str | Path) -> tuple[StreamRecord, ...]:
    """The record of each source that a file holds, in the order of the command that wrote it; as `read_record`."""
    file = Path(path)
    lines = records.read(file, RECORD, lambda content: content.decode().splitlines())
    headers = _headers(lines[0] if lines else "", file)
    counts = {header.source: Counts() for header in headers}
    events: dict[str, list[StreamEvent]] = {name: [] for name in counts}
    only = headers[0].source if len(headers) == 1 else None
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = parse_json(line, strict=False)
            if "detections" not in values:
                for name, told in _told(values, only):
                    counts[name].told = told
                break
            event = event_from_dict(values, headers[0].class_names)
            name = only or str(event.source)
            events[name].append(event)
            counts[name].add(event)
        except MemoryError:
            raise
        except Exception as error:
            if number == len(lines):  # broken off in the middle of a line
                break
            raise InputError(
                f"{file}, line {number}: not an answer of a stream ({reason_of(error)})"
            ) from error
    try:
        return tuple(
            _record(header, counts[header.source], tuple(events[header.source])) for header in headers
        )
    except UsageError as error:
        raise InputError(f"{file}: {error}") from error


def _headers(line: str, file: Path) -> tuple[StreamHeader, ...]:
    """What the first line says of each source."""
    try:
        several = "streams" in parse_json(line, strict=False)
    except (TypeError, ValueError):
        several = False
    if not several:
        return (records.decode(StreamHeader, line, file, RECORD),)
    head = records.decode(SeveralStreams, line, file, RECORD)
    if not head.streams or len({stream.source for stream in head.streams}) < len(head.streams):
        raise InputError(f"{file} is damaged (streams: expected sources of different names)")
    return tuple(
        StreamHeader(**vars(stream), model=head.model, class_names=head.class_names)
        for stream in head.streams
    )


def _record(header: StreamHeader, counts: Counts, events: tuple[StreamEvent, ...]) -> StreamRecord:
    frames, dropped = counts.both
    return StreamRecord(frames=frames, dropped=dropped, events=events, **vars(header))


def _told(values: Mapping[str, Any], only: str | None) -> Iterator[tuple[str, tuple[int, int]]]:
    """The counts of the closing line: (source, (frames, dropped))."""
    frames, dropped = values["frames"], values["dropped"]
    if only is not None:
        frames, dropped = {only: frames}, {only: dropped}
    for name, count in frames.items():
        yield name, (int(count), int(dropped[name]))
