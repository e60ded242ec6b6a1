"""One source of a feed: its frames appear at their time and wait until the policy takes one; who is who in it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Generator, Mapping
from typing import Any, Protocol

from yolox_deploy.buffers import Turns
from yolox_deploy.capture import Frame, is_cut
from yolox_deploy.detections import Detections
from yolox_deploy.streaming.events import StreamHeader
from yolox_deploy.streaming.feed_sources import FeedSource
from yolox_deploy.streaming.policies import Policy, Queue, capacity, next_frame, policy_name
from yolox_deploy.thresholds import ThresholdFields

EVERY_FRAME = "every frame"
"""What a record calls the policy of a source that is not played at its rate."""


class Follower(Protocol):
    """Tells who is who among the detections of one source, found with `thresholds`, as a `Tracker` does."""

    thresholds: ThresholdFields

    def follow(self, detections: Detections, time: float | None = None) -> Detections: ...
    def reset(self, *, renumber: bool = True) -> None: ...


class StreamTime:
    """Seconds since a stream began, and the time of day.

    The time of day is looked at once, at the beginning: setting the clock meanwhile puts no events out of order.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """The stream begins now."""
        self.zero, self._began, self._stopped = time.monotonic(), time.time(), math.inf

    def stop(self) -> None:
        """The stream has ended; calling it twice is harmless."""
        self._stopped = min(self._stopped, time.monotonic())

    def now(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self.zero

    @property
    def elapsed(self) -> float:
        """Seconds from the stream's begin until now, or until it was stopped."""
        return min(time.monotonic(), self._stopped) - self.zero

    def of_day(self, seconds: float) -> float:
        """The time of day at some second of the stream: seconds since 1970 (UTC), to a millisecond."""
        return round(self._began + seconds, 3)


class Channel:
    """One source of a feed.

    Attributes:
        source: frames and their pace.
        paced: they appear at a rate, and not one when the last one was taken.
        policy: the one in force.
    """

    def __init__(
        self,
        source: FeedSource,
        policy: Policy,
        *,
        paced: bool,
        limit: int | None,
        clock: StreamTime,
        turns: Turns,
        follower: Follower | None,
    ) -> None:
        self.source, self.paced = source, paced or source.live
        self.policy: Policy = policy if self.paced else Queue(1)
        self.expected = 0.0
        self._clock, self._follower, self._last = clock, follower, -1
        self._before: Frame | None = None
        self._buffer = turns.add(
            self._appearing(limit),
            source.name,
            capacity(self.policy),
            silence=source.silence,
            is_due=self._is_due,
        )

    @property
    def appeared(self) -> int:
        """How many frames appeared so far."""
        return self._buffer.appeared

    @property
    def elapsed(self) -> float:
        """Seconds from the stream's begin until this source ended; until now, if it has not."""
        ended = self._buffer.ended_at
        return self._clock.elapsed if ended is None else min(self._clock.elapsed, ended - self._clock.zero)

    @property
    def thresholds(self) -> ThresholdFields:
        """What the detections have to be found with, for whoever follows them."""
        return ThresholdFields() if self._follower is None else self._follower.thresholds

    @property
    def failure(self) -> Exception | None:
        """Why the source ended before its time."""
        return self._buffer.failure

    def header(self, model: Mapping[str, Any], class_names: tuple[str, ...]) -> StreamHeader:
        """What a record says of this source."""
        policy = policy_name(self.policy) if self.paced else EVERY_FRAME
        return StreamHeader(self.source.name, self.source.rate, policy, model, class_names)

    def began(self, frame: Frame) -> None:
        """The detector begins with a frame; older ones are not due any more."""
        self._last = frame.index

    def followed(self, frame: Frame, detections: Detections) -> Detections:
        """The detections with their identities, where objects are followed."""
        if self._follower is None:
            return detections
        if is_cut(self._before, frame):
            self._follower.reset(renumber=False)
        self._before = frame
        # What moves in a file moves at the file's pace, however late a frame was read.
        own = frame.index / self.source.rate if frame.time is None else frame.time
        return self._follower.follow(detections, frame.appeared if self.source.live else own)

    def _is_due(self, newest: Frame, awaited: bool) -> bool:
        """Whether the policy takes a frame now; it waits in a buffer that is as long as the policy allows."""
        period = 1 / self.source.rate
        # The frame boundary that a policy looks at is where the newest frame really appeared. Whoever waited for
        # that frame is there in time: the moment it takes to wake up must not make the policy wait again, and again.
        now = newest.index * period + (0.0 if awaited else self._clock.now() - newest.appeared)
        chosen = next_frame(
            self.policy, now=now, newest=newest.index, last=self._last, period=period, expected=self.expected
        )
        return chosen is not None

    def _appearing(self, limit: int | None) -> Generator[Frame, None, None]:
        """The frames of the source, each at its time."""
        for frame in itertools.islice(self.source.frames, limit):
            if not self.paced:
                self._buffer.wait_until_taken()
            elif not self.source.live:
                self._buffer.stopped.wait(max(0.0, frame.index / self.source.rate - self._clock.now()))
            seconds = frame.appeared - self._clock.zero if self.source.live else self._clock.now()
            yield dataclasses.replace(frame, appeared=max(seconds, 0.0))
