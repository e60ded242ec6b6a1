"""Frames of a video, camera, network stream, folder or annotated sequence, appearing while a detector works."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.capture import Frame, LiveSource, video_rate
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image
from yolox_deploy.sources import VIDEO_SUFFIXES, FrameBuffer, is_live, open_source
from yolox_deploy.streaming.policies import Newest, Policy, Queue, capacity, next_frame
from yolox_deploy.streaming.record import StreamEvent
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


def frames_source(
    frames: Sequence[Any], name: str, rate: float, *, silence: float | None = None
) -> FeedSource:
    """Pictures, or whatever else a detector takes, at `rate`; each is asked for when its turn comes.

    One that cannot be had ends the stream by an InputError with its number.
    """

    def in_order() -> Iterator[Frame]:
        for index in range(len(frames)):
            try:
                picture = frames[index]
            except Exception as error:
                raise InputError(f"frame {index} of the stream cannot be read") from error
            yield Frame(picture, index, name)

    return FeedSource(name, in_order(), rate, silence=silence)


class Answer(NamedTuple):
    """A frame and what was found in it, when."""

    frame: Frame
    event: StreamEvent


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
        self.source, self.paced = source, paced or source.live
        self.policy: Policy = policy if self.paced else Queue(1)
        self._last = -1
        self._buffer = FrameBuffer(
            self._appearing(frames), source.name, capacity(self.policy), silence=source.silence
        )
        self._zero, self._stop_time = time.monotonic(), math.inf

    def __enter__(self) -> LiveFeed:
        self._zero = time.monotonic()
        self._buffer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._buffer.__exit__()

    def now(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self._zero

    @property
    def elapsed(self) -> float:
        """Seconds from the stream's begin until now, or until it was stopped."""
        return min(time.monotonic(), self._stop_time) - self._zero

    @property
    def appeared(self) -> int:
        """How many frames appeared so far."""
        return self._buffer.appeared

    def stop(self) -> None:
        """No further frame appears or is taken; may be called from any thread."""
        self._stop_time = min(self._stop_time, time.monotonic())
        self.source.stop()
        self._buffer.stop()

    def take(self, expected: float = 0.0) -> Frame | None:
        """Wait for the frame that the policy takes next; None at the end of the stream.

        Args:
            expected: seconds that its answer will take, for policies that look ahead.

        Returns:
            The frame; its `appeared` is in seconds since the stream began.

        Raises:
            InputError: the source cannot be read any further.
        """
        frame = self._buffer.take(partial(self._is_due, expected))
        if frame is not None:
            self._last = frame.index
        return frame

    def answers(self, detect: Callable[[NDArray[np.uint8]], Detections]) -> Iterator[Answer]:
        """Take frames and detect in them, in the caller's thread, until the end of the stream.

        Raises:
            InputError: the source cannot be read any further. Also whatever `detect` raises.
        """
        busy = 0.0
        for count in itertools.count():
            if (frame := self.take(busy / max(count, 1))) is None:
                return
            start = max(self.now(), frame.appeared)
            detections = detect(frame.image)
            end = self.now()
            busy += end - start
            yield Answer(frame, StreamEvent(frame.index, frame.appeared, start, end, detections))

    def _is_due(self, expected: float, newest: Frame, awaited: bool) -> bool:
        """Whether the policy takes a frame now; it waits in a buffer that is as long as the policy allows."""
        period = 1 / self.source.rate
        # The frame boundary that a policy looks at is where the newest frame really appeared. Whoever waited for
        # that frame is there in time: the moment it takes to wake up must not make the policy wait again, and again.
        now = newest.index * period + (0.0 if awaited else self.now() - newest.appeared)
        chosen = next_frame(
            self.policy, now=now, newest=newest.index, last=self._last, period=period, expected=expected
        )
        return chosen is not None

    def _appearing(self, limit: int | None) -> Generator[Frame, None, None]:
        """The frames of the source, each at its time."""
        for frame in itertools.islice(self.source.frames, limit):
            if not self.paced:
                self._buffer.wait_until_taken()
            elif not self.source.live:
                self._buffer.stopped.wait(max(0.0, frame.index / self.source.rate - self.now()))
            seconds = frame.appeared - self._zero if self.source.live else self.now()
            yield dataclasses.replace(frame, appeared=max(seconds, 0.0))
