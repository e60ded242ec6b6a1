"""A live stream from its first frame to its last, with everything that is written and shown on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.streaming.live import Answer, live_answers
from yolox_deploy.streaming.live_feed import LiveFeed
from yolox_deploy.streaming.overlay import draw_overlay
from yolox_deploy.streaming.record import EventWriter, StreamHeader
from yolox_deploy.streaming.summary import LiveSummary
from yolox_deploy.types import Detections

SMOOTH_RATE = 60.0
"""Frames a second of a video beyond which nobody sees more."""
TITLE = "yolox-deploy stream (q closes)"


@dataclass(frozen=True)
class LiveOutputs:
    """Where answers go.

    Attributes:
        events: record of the stream to write, see `streaming.events`.
        video: to write, with boxes and a line of figures.
        window: show the same on the screen.
        tell: called with the line of figures several times a second.
    """

    events: Path | None = None
    video: Path | None = None
    window: bool = False
    tell: Callable[[str], None] = lambda line: None


def run_live(
    feed: LiveFeed,
    detect: Callable[[NDArray[np.uint8]], Detections],
    header: StreamHeader,
    summary: LiveSummary,
    outputs: LiveOutputs = LiveOutputs(),
    *,
    seconds: float | None = None,
) -> None:
    """Detect on a stream until it ends, its window is closed, or an exception such as Ctrl-C comes.

    However it ends, the files are finished and `summary` holds what was answered.

    Args:
        feed: not entered yet.
        detect: an (H, W, 3) uint8 BGR picture to its detections.
        header: of the record.
        summary: is told each answer.
        seconds: after which the stream is ended.

    Raises:
        InputError: the source cannot be read any further.
        RuntimeFailure: the detector failed.
        UsageError: something cannot be written or shown.
    """
    with ExitStack() as stack:
        sinks = _Sinks(outputs, header, stack, in_time=feed.paced)
        try:
            for answer in stack.enter_context(closing(live_answers(feed, detect, seconds=seconds))):
                if answer is not None:
                    summary.add(answer.event)
                    sinks.record(answer)
                line = summary.line(
                    seconds=feed.elapsed, appeared=feed.appeared, reconnects=feed.source.reconnects()
                )
                outputs.tell(line)
                if sinks.show(answer, line):
                    break
        finally:
            feed.stop()
            sinks.finish(feed.appeared, summary.answered)


class _Sinks:
    """What is open while a stream runs."""

    def __init__(
        self, outputs: LiveOutputs, header: StreamHeader, stack: ExitStack, *, in_time: bool
    ) -> None:
        self._period = None if in_time else 1 / header.frame_rate
        self._events = self._video = self._window = None
        if outputs.events is not None:
            self._events = stack.enter_context(EventWriter(outputs.events, header))
        if outputs.video is not None:
            from yolox_deploy.streaming.video import VideoWriter

            rate = min(header.frame_rate, SMOOTH_RATE) if in_time else header.frame_rate
            self._video = stack.enter_context(VideoWriter(outputs.video, rate))
        if outputs.window:
            from yolox_deploy.streaming.window import LiveWindow

            self._window = stack.enter_context(LiveWindow(TITLE))

    def record(self, answer: Answer) -> None:
        if self._events is not None:
            self._events.add(answer.event)

    def show(self, answer: Answer | None, line: str) -> bool:
        """Draw an answer, or let the window react where there is none; whether the window was closed."""
        if answer is not None and (self._video is not None or self._window is not None):
            self._draw(answer, line)
        elif self._window is not None:
            self._window.pump()
        return self._window is not None and self._window.closed

    def finish(self, appeared: int, answered: int) -> None:
        if self._events is not None:
            self._events.finish(appeared, appeared - answered)

    def _draw(self, answer: Answer, line: str) -> None:
        picture = draw_overlay(answer.frame.image, answer.event.detections, line)
        if self._video is not None:
            # A file that is not played at its rate: each frame once, whenever it was answered.
            time = answer.event.end if self._period is None else answer.frame.index * self._period
            self._video.add(picture, time)
        if self._window is not None:
            self._window.show(picture)
