"""Where the answers of a stream go: a record, videos, a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.capture import Frame, is_cut
from yolox_deploy.detections import Detections
from yolox_deploy.streaming.channel import Channel
from yolox_deploy.streaming.clips import Clip, ClipOptions, ClipRecorder
from yolox_deploy.streaming.event_writer import EventWriter
from yolox_deploy.streaming.events import StreamHeader
from yolox_deploy.streaming.feed import Answer
from yolox_deploy.streaming.video import VideoWriter, draw_overlay
from yolox_deploy.streaming.window import LiveWindow, Mosaic
from yolox_deploy.types import SILENT, Report

SMOOTH_RATE = 60.0
"""Frames a second of a video beyond which nobody sees more."""
LATE_SECONDS = 5.0
TITLE = "yolox-deploy stream (q closes)"


class Trail(Protocol):
    """Remembers the ways of the objects of one source and draws them, as `tracking.Trails` does."""

    def add(self, detections: Detections, time: float) -> None: ...
    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class LiveOutputs:
    """Where answers go.

    Attributes:
        events: record of the stream to write, see `streaming.event_writer`.
        video: to write, with boxes and a line of figures; of several sources one each, see `video_paths`.
        window: show the same on the screen, several sources side by side.
        trails: called once a source: what remembers and draws the ways of its objects.
        report: told the line of figures several times a second.
        clips: to write around chosen classes, of all sources into one folder.
        on_clip: called with each that was written.
    """

    events: Path | None = None
    video: Path | None = None
    window: bool = False
    trails: Callable[[], Trail] | None = None
    report: Report = SILENT
    clips: ClipOptions | None = None
    on_clip: Callable[[Clip], object] = lambda clip: None


def video_paths(path: Path, sources: int) -> list[Path]:
    """The video of each source: `out.mp4`, of several `out_1.mp4`, `out_2.mp4`, … in the order of the sources."""
    if sources == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(1, sources + 1)]


class Sinks:
    """What is open while a stream runs; `stack` closes it.

    Attributes:
        closed: somebody closed the window.
    """

    def __init__(
        self,
        outputs: LiveOutputs,
        channels: Sequence[Channel],
        headers: Sequence[StreamHeader],
        stack: ExitStack,
    ) -> None:
        self.closed = False
        self._channels = channels
        self._events = self._window = None
        self._videos: list[VideoWriter] = []
        if outputs.events is not None:
            self._events = stack.enter_context(EventWriter(outputs.events, *headers))
        if outputs.video is not None:
            for channel, path in zip(channels, video_paths(outputs.video, len(channels)), strict=True):
                self._videos.append(stack.enter_context(VideoWriter(path, _rate_of_video(channel))))
        self._clips = [
            stack.enter_context(_clip_recorder(outputs.clips, channel, outputs.on_clip))
            for channel in channels
            if outputs.clips is not None
        ]
        if outputs.window:
            self._window = stack.enter_context(LiveWindow(TITLE))
        self._mosaic = Mosaic(len(channels))
        self._new_trail, self._trails = outputs.trails, dict[int, Trail]()
        self._before: dict[int, Frame] = {}

    def add(self, answer: Answer, line: Callable[[int], str]) -> None:
        """Take one answer; `line` tells the figures of a source by its number."""
        if self._events is not None:
            self._events.add(answer.event)
        if self._clips:
            self._record(answer)
        if self._videos or self._window is not None:
            self._draw(answer, line(answer.number))

    def tick(self, seconds: float) -> None:
        """Called several times a second while there is no answer, with the seconds since the stream began."""
        self._end_clips(seconds)
        if self._window is not None:
            self._window.pump()
            self.closed = self._window.closed

    def finish(self, answered: Sequence[int]) -> None:
        """The stream has ended with so many answers of each source."""
        if self._events is not None:
            for channel, count in zip(self._channels, answered, strict=True):
                self._events.finish(channel.appeared, channel.appeared - count, channel.source.name)

    def _record(self, answer: Answer) -> None:
        """Clips are made of frames at the time at which they appeared, not of answers."""
        channel, event = self._channels[answer.number], answer.event
        time = event.captured if channel.paced else answer.frame.index / channel.source.rate
        self._clips[answer.number].add(
            answer.frame.image, event.detections, time=time, clock=event.captured_at or 0.0
        )
        self._end_clips(event.end)

    def _end_clips(self, seconds: float) -> None:
        """Finish the clips of cameras that were lost; an answer may still come for as long as `LATE_SECONDS`."""
        for channel, clips in zip(self._channels, self._clips, strict=False):
            if channel.paced:
                clips.tick(seconds - LATE_SECONDS)

    def _draw(self, answer: Answer, line: str) -> None:
        number, image, detections = answer.number, answer.frame.image, answer.event.detections
        # A file that is not played at its rate: each frame once, whenever it was answered.
        channel = self._channels[number]
        time = answer.event.end if channel.paced else answer.frame.index / channel.source.rate
        if self._new_trail is not None:
            if number not in self._trails or is_cut(self._before[number], answer.frame):
                self._trails[number] = self._new_trail()
            self._before[number] = answer.frame
            self._trails[number].add(detections, answer.event.captured if channel.paced else time)
            image = self._trails[number].draw(image)
        picture = draw_overlay(image, detections, line)
        if self._videos:
            self._videos[number].add(picture, time)
        if self._window is not None:
            self._window.show(self._mosaic.with_picture(number, picture))
            self.closed = self._window.closed


def _rate_of_video(channel: Channel) -> float:
    rate = channel.source.rate
    return min(rate, SMOOTH_RATE) if channel.paced else rate


def _clip_recorder(options: ClipOptions, channel: Channel, told: Callable[[Clip], object]) -> ClipRecorder:
    return ClipRecorder(options, channel.source.name, _rate_of_video(channel), told)
