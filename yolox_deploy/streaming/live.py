"""A detector on a live stream: frames appear in one thread, are answered in a second, and shown by the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.capture import Frame
from yolox_deploy.streaming.live_feed import LiveFeed
from yolox_deploy.streaming.record import StreamEvent
from yolox_deploy.types import Detections

UNSEEN_ANSWERS = 2
"""Answers that may wait for the caller; a caller who is slower than the detector holds it up."""
TICK_SECONDS = 0.1


class Answer(NamedTuple):
    """A frame and what was found in it, when."""

    frame: Frame
    event: StreamEvent


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
            self._answer()
        except Exception as error:
            self.failure = error
        finally:
            self._put(None)

    def stop(self) -> None:
        """End after the frame under way."""
        self._stopped.set()
        self._feed.stop()
        self.join()

    def _answer(self) -> None:
        busy, count = 0.0, 0
        while (frame := self._feed.take(busy / count if count else 0.0)) is not None:
            start = max(self._feed.now(), frame.appeared)
            detections = self._detect(frame.image)
            end = self._feed.now()
            busy, count = busy + end - start, count + 1
            self._put(Answer(frame, StreamEvent(frame.index, frame.appeared, start, end, detections)))

    def _put(self, item: Answer | None) -> None:
        while not self._stopped.is_set():
            try:
                self.answers.put(item, timeout=TICK_SECONDS)
                return
            except queue.Full:
                continue
