"""Frames of a video, camera, network stream, folder or annotated sequence, appearing while a detector works."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from yolox_deploy.capture import Frame, LiveSource, video_rate
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image
from yolox_deploy.sources import STOP_SECONDS, VIDEO_SUFFIXES, is_live, open_source
from yolox_deploy.streaming.policies import Newest, Policy, Queue, capacity, next_frame
from yolox_deploy.streaming.sequences import AnnotatedSequence

DEFAULT_RATE = 30.0


@dataclass(frozen=True)
class FeedSource:
    """Frames and their pace.

    Attributes:
        name: of the source.
        frames: each when it can be had.
        rate: frames a second: of a live source what it claims, of another what it is played at.
        live: frames come at the source's own pace.
        silence: seconds after which no frame will come any more; None for no limit.
        stop: ends `frames` from another thread.
        reconnects: how often a live source was lost and came back, so far.
    """

    name: str
    frames: Iterable[Frame]
    rate: float
    live: bool = False
    silence: float | None = None
    stop: Callable[[], None] = lambda: None
    reconnects: Callable[[], int] = lambda: 0


def open_feed_source(source: str, *, rate: float | None = None, reconnect: float = 0.0) -> FeedSource:
    """A video, folder, glob, camera (its number) or address.

    Args:
        source: as `sources.open_source` takes it.
        rate: frames a second; None for what a video or live source says, and 30 where it says nothing.
        reconnect: seconds without a frame after which a lost live source is given up; 0 for at once.

    Raises:
        InputError: it cannot be opened.
    """
    if is_live(source):
        live = LiveSource(source, patience=reconnect)
        known = rate or live.rate or DEFAULT_RATE
        return FeedSource(
            live.name, live, known, True, live.longest_silence, live.stop, lambda: live.reconnects
        )
    frames = open_source(source)
    own = video_rate(Path(source)) if Path(source).suffix.lower() in VIDEO_SUFFIXES else None
    return FeedSource(source, frames, rate or own or DEFAULT_RATE)


def sequence_source(sequence: AnnotatedSequence, rate: float) -> FeedSource:
    """The pictures of an annotated sequence at `rate`; a frame that is not annotated does not appear."""
    frames = (Frame(load_image(item.path), item.index, str(item.path)) for item in sequence.frames)
    return FeedSource(sequence.name, frames, rate)


class LiveFeed:
    """A thread in which frames appear, and from which a detector takes those that its policy asks for.

    It keeps as many frames as the policy may still ask for, however long the stream is. A context manager.

    Args:
        source: frames and their pace.
        policy: which frame is taken next.
        paced: a file is played at its rate; else its next frame appears when the last one was taken, so that
            every frame is.
        frames: how many appear at most.

    Attributes:
        appeared: frames so far.
        policy: the one in force.
    """

    def __init__(
        self,
        source: FeedSource,
        policy: Policy = Newest(),  # noqa: B008
        *,
        paced: bool = True,
        frames: int | None = None,
    ) -> None:
        self.source, self.paced, self.appeared = source, paced or source.live, 0
        self.policy: Policy = policy if self.paced else Queue(1)
        self._limit = frames
        self._waiting: deque[Frame] = deque(maxlen=capacity(self.policy))
        self._newest = self._last = -1
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._feed, name=f"frames of {source.name}", daemon=True)
        self._zero, self._stop_time = time.monotonic(), math.inf

    def __enter__(self) -> LiveFeed:
        self._zero = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(STOP_SECONDS)

    def now(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self._zero

    @property
    def elapsed(self) -> float:
        """Seconds from the stream's begin until now, or until it was stopped."""
        return min(time.monotonic(), self._stop_time) - self._zero

    def stop(self) -> None:
        """No further frame appears or is taken; may be called from any thread."""
        self._stop_time = min(self._stop_time, time.monotonic())
        self._stopped.set()
        self.source.stop()
        with self._changed:
            self._changed.notify_all()

    def take(self, expected: float = 0.0) -> Frame | None:
        """Wait for the frame that the policy takes next; None at the end of the stream.

        Args:
            expected: seconds that its answer will take, for policies that look ahead.

        Returns:
            The frame; its `appeared` is in seconds since the stream began.

        Raises:
            InputError: the source cannot be read any further.
        """
        with self._changed:
            idle_since = self._newest
            while not self._stopped.is_set():
                if (frame := self._choose(expected, awaited=self._newest > idle_since)) is not None:
                    self._last = frame.index
                    self._changed.notify_all()
                    return frame
                if self._failure is not None:
                    raise self._failure
                if self._ended:
                    return None
                if not self._changed.wait(self.source.silence):
                    raise InputError(f"{self.source.name} gave no frame for {self.source.silence:.0f} s")
        return None

    def _choose(self, expected: float, *, awaited: bool) -> Frame | None:
        period = 1 / self.source.rate
        # The frame boundary that a policy looks at is where the newest frame really appeared. Whoever waited for
        # that frame is there in time: the moment it takes to wake up must not make the policy wait again, and again.
        late = 0.0 if awaited or not self._waiting else self.now() - self._waiting[-1].appeared
        now = self._newest * period + late
        chosen = next_frame(
            self.policy, now=now, newest=self._newest, last=self._last, period=period, expected=expected
        )
        if chosen is None:
            return None
        # A queue is as long as what waits here: numbers that never appeared take no place in it.
        wanted = self._last + 1 if isinstance(self.policy, Queue) else chosen
        return next(frame for frame in self._waiting if frame.index >= wanted)

    def _feed(self) -> None:
        try:
            for frame in self.source.frames:
                if not self._appear(frame) or self.appeared == self._limit:
                    break
        except Exception as error:
            self._failure = error
        finally:
            self.source.stop()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _appear(self, frame: Frame) -> bool:
        """Let a frame appear at its time; False where the stream was stopped meanwhile."""
        if self.paced and not self.source.live:
            self._stopped.wait(max(0.0, frame.index / self.source.rate - self.now()))
        with self._changed:
            if not self.paced:
                self._changed.wait_for(lambda: self._newest == self._last or self._stopped.is_set())
            if self._stopped.is_set():
                return False
            seconds = frame.appeared - self._zero if self.source.live else self.now()
            self._waiting.append(dataclasses.replace(frame, appeared=max(seconds, 0.0)))
            self._newest = frame.index
            self.appeared += 1
            self._changed.notify_all()
        return True
