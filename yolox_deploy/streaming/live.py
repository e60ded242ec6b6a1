"""A detector on a live stream: frames appear in one thread, are answered in a second, and shown by the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.streaming.events import StreamHeader
from yolox_deploy.streaming.feed import Answer, LiveFeed
from yolox_deploy.streaming.sinks import LiveOutputs, Sinks
from yolox_deploy.streaming.summary import FeedSummary

UNSEEN_ANSWERS = 2
"""Answers that may wait for the caller; a caller who is slower than the detector holds it up."""
TICK_SECONDS = 0.1


def live_answers(
    feed: LiveFeed, detect: Callable[[NDArray[np.uint8]], Detections], *, seconds: float | None = None
) -> Generator[Answer | None, None, None]:
    """Detect in the frames of a stream until it ends: of several sources, until all have ended.

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
        InputError: a source could not be read any further; raised once the others have ended.
        RuntimeFailure: the detector failed.
    """
    with feed:
        worker = _Worker(feed, detect)
        worker.start()
        try:
            while seconds is None or feed.clock.now() < seconds:
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
    feed.check()


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


def run_live(
    feed: LiveFeed,
    detect: Callable[[NDArray[np.uint8]], Detections],
    headers: Sequence[StreamHeader],
    summary: FeedSummary,
    outputs: LiveOutputs = LiveOutputs(),  # noqa: B008
    *,
    seconds: float | None = None,
) -> None:
    """Detect on a stream until it ends, its window is closed, or an exception such as Ctrl-C comes.

    However it ends, the files are finished and `summary` holds what was answered.

    Args:
        feed: not entered yet.
        detect: an (H, W, 3) uint8 BGR picture to its detections.
        headers: of the record, one a source.
        summary: is told each answer.
        seconds: after which the stream is ended.

    Raises:
        InputError: a source could not be read any further; raised once the others have ended.
        RuntimeFailure: the detector failed.
        UsageError: something cannot be written or shown.
    """
    with ExitStack() as stack:
        sinks = Sinks(outputs, feed.channels, headers, stack)
        try:
            for answer in stack.enter_context(closing(live_answers(feed, detect, seconds=seconds))):
                if answer is None:
                    sinks.tick(feed.elapsed)
                else:
                    summary.add(answer)
                    sinks.add(answer, summary.line_of)
                outputs.report.step(summary.line())
                if sinks.closed:
                    break
        finally:
            feed.stop()
            sinks.finish(summary.answered)
