"""A detector on a live stream: frames appear in one thread, are answered in a second, and shown by the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.streaming.feed import Answer, LiveFeed
from yolox_deploy.streaming.record import EventWriter, StreamHeader
from yolox_deploy.streaming.summary import LiveSummary
from yolox_deploy.streaming.video import VideoWriter, draw_overlay
from yolox_deploy.streaming.window import LiveWindow
from yolox_deploy.types import SILENT, Report

UNSEEN_ANSWERS = 2
"""Answers that may wait for the caller; a caller who is slower than the detector holds it up."""
TICK_SECONDS = 0.1

SMOOTH_RATE = 60.0
"""Frames a second of a video beyond which nobody sees more."""
TITLE = "yolox-deploy stream (q closes)"


def live_answers(
    feed: LiveFeed, detect: Callable[[NDArray[np.uint8]], Detections], *, seconds: float | None = None
) -> Generator[Answer | None, None, None]:
    """Detect in the frames of a stream until it ends.

    The detector works in a thread of its own, so that drawing an answer costs the next one nothing. Closing the
    generator (or Ctrl-C) stops both threads; an inference under way is waited for.

    Args:
        feed: not entered yet.
        detect: an (H, W, 3) uint8 BGR picture to its detections.
        seconds: after which the stream is ended.

    Yields:
        Answers in order, and None ten times a second while there is none, so that the caller may look after
        its window or its progress line.

    Raises:
        InputError: the source cannot be read any further.
        RuntimeFailure: the detector failed.
    """
    with feed:
        worker = _Worker(feed, detect)
        worker.start()
        try:
            while seconds is None or feed.now() < seconds:
                try:
                    item = worker.answers.get(timeout=TICK_SECONDS)
                except queue.Empty:
                    yield None
                    continue
                if item is None:
                    break
                yield item
        finally:
            worker.stop()
    if worker.failure is not None:
        raise worker.failure


class _Worker(threading.Thread):
    """Takes frames, answers them, and puts None at the end."""

    def __init__(self, feed: LiveFeed, detect: Callable[[NDArray[np.uint8]], Detections]) -> None:
        super().__init__(name="detector of a stream", daemon=True)
        self.answers: queue.Queue[Answer | None] = queue.Queue(UNSEEN_ANSWERS)
        self.failure: Exception | None = None
        self._feed, self._detect = feed, detect
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            for answer in self._feed.answers(self._detect):
                self._put(answer)
        except Exception as error:
            self.failure = error
        finally:
            self._put(None)

    def stop(self) -> None:
        """End after the frame under way."""
        self._stopped.set()
        self._feed.stop()
        self.join()

    def _put(self, item: Answer | None) -> None:
        while not self._stopped.is_set():
            try:
                self.answers.put(item, timeout=TICK_SECONDS)
                return
            except queue.Full:
                continue


@dataclass(frozen=True)
class LiveOutputs:
    """Where answers go.

    Attributes:
        events: record of the stream to write, see `streaming.record`.
        video: to write, with boxes and a line of figures.
        window: show the same on the screen.
        report: told the line of figures several times a second.
    """

    events: Path | None = None
    video: Path | None = None
    window: bool = False
    report: Report = SILENT


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
                outputs.report.step(line)
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
            rate = min(header.frame_rate, SMOOTH_RATE) if in_time else header.frame_rate
            self._video = stack.enter_context(VideoWriter(outputs.video, rate))
        if outputs.window:
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
