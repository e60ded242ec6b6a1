"""Frames of one or several sources, appearing while a detector works, which takes them by turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.buffers import Turns
from yolox_deploy.capture import Frame
from yolox_deploy.detections import Detections
from yolox_deploy.streaming.channel import Channel, Follower, StreamTime
from yolox_deploy.streaming.events import StreamEvent
from yolox_deploy.streaming.feed_sources import FeedSource
from yolox_deploy.streaming.policies import Newest, Policy
from yolox_deploy.thresholds import ThresholdFields


class Answer(NamedTuple):
    """A frame and what was found in it, when.

    Attributes:
        frame: as it came from its source; `appeared` is in seconds since the stream began.
        event: detections, times, name of the source.
        number: of the source among those of the feed, from 0.
    """

    frame: Frame
    event: StreamEvent
    number: int = 0


class LiveFeed:
    """Threads in which frames appear, and from which a detector takes those that its policy asks for.

    It keeps as many frames as the policy may still ask for, however long the stream is. Several sources are taken by
    turns (`buffers.Turns`); one that ends or is lost does not end the others. A context manager.

    Args:
        sources: frames and their pace: one, or several of different names.
        policy: which frame of a source is taken next.
        paced: files are played at their rate; else the next frame of a file appears when the last one was taken, so
            that every frame is.
        frames: how many of each source appear at most.
        follower: called once a source; what it gives is told the detections of this source in order.

    Attributes:
        channels: the sources.
    """

    def __init__(
        self,
        sources: FeedSource | Sequence[FeedSource],
        policy: Policy = Newest(),  # noqa: B008
        *,
        paced: bool = True,
        frames: int | None = None,
        follower: Callable[[], Follower] | None = None,
    ) -> None:
        self.clock, self._turns = StreamTime(), Turns()
        self.channels = tuple(
            Channel(
                source,
                policy,
                paced=paced,
                limit=frames,
                clock=self.clock,
                turns=self._turns,
                follower=follower() if follower else None,
            )
            for source in ([sources] if isinstance(sources, FeedSource) else sources)
        )

    def __enter__(self) -> LiveFeed:
        self.clock.start()
        self._turns.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._turns.__exit__()

    @property
    def thresholds(self) -> ThresholdFields:
        """What a detector has to be asked for, in place of its own: those of the followers."""
        return self.channels[0].thresholds

    @property
    def elapsed(self) -> float:
        """Seconds from the stream's begin until now, or until it was stopped."""
        return self.clock.elapsed

    @property
    def appeared(self) -> int:
        """How many frames of all sources appeared so far."""
        return sum(channel.appeared for channel in self.channels)

    @property
    def reconnects(self) -> int:
        """How often any source was lost and came back, so far."""
        return sum(channel.source.reconnects() for channel in self.channels)

    def stop(self) -> None:
        """No further frame appears or is taken; may be called from any thread."""
        self.clock.stop()
        for channel in self.channels:
            channel.source.stop()
        self._turns.stop()

    def check(self) -> None:
        """Raise what ended sources before their time (InputError, or what reading raised)."""
        self._turns.check()

    def answers(self, detect: Callable[[NDArray[np.uint8]], Detections]) -> Iterator[Answer]:
        """Take frames and detect in them, in the caller's thread, until all sources have ended.

        Raises:
            InputError: once all have ended, where a source could not be read any further. Also whatever `detect`
                raises.
        """
        busy = 0.0
        for count in itertools.count(1):
            if (taken := self._turns.take()) is None:
                return
            number, frame = taken
            channel = self.channels[number]
            channel.began(frame)
            start = max(self.clock.now(), frame.appeared)
            detections = channel.followed(frame, detect(frame.image))
            end = self.clock.now()
            busy += end - start
            for each in self.channels:
                each.expected = busy / count
            yield Answer(frame, self._event(channel, frame, start, end, detections), number)

    def _event(
        self, channel: Channel, frame: Frame, start: float, end: float, detections: Detections
    ) -> StreamEvent:
        return StreamEvent(
            *(frame.index, frame.appeared, start, end, detections),
            captured_at=self.clock.of_day(frame.appeared),
            source=channel.source.name,
        )
