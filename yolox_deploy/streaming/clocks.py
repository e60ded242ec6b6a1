"""Two clocks that let a detector meet a stream: a simulated one, exact and quick, and the real one.

Both take frames that appear at `i / frame_rate` seconds, ask the policy for the next frame whenever the detector is
free, and return a `StreamRecord`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.events import StreamEvent, StreamHeader
from yolox_deploy.streaming.policies import ROUNDING, Newest, Policy, next_frame, policy_name
from yolox_deploy.streaming.record import StreamRecord

T = TypeVar("T")
NEWEST = Newest()


class Clock(ABC):
    """Runs a detector over a stream of frames."""

    def run(
        self,
        frames: Sequence[T],
        detect: Callable[[T], Detections],
        *,
        frame_rate: float,
        policy: Policy = NEWEST,
        source: str = "stream",
        model: Mapping[str, Any] | None = None,
    ) -> StreamRecord:
        """Run the stream; `detect` is called for the frames that the policy takes, in order.

        Raises:
            InputError: a frame did not appear; what reading it raised is the cause.
        """
        header = StreamHeader(source, frame_rate, policy_name(policy), model or {})
        events = tuple(self._answers(frames, detect, header, policy))
        names = events[0].detections.class_names if events else ()
        return StreamRecord(
            *(header.source, header.frame_rate, len(frames), len(frames) - len(events), header.policy),
            *(header.model, names, events),
        )

    @abstractmethod
    def _answers(
        self, frames: Sequence[Any], detect: Callable[[Any], Detections], header: StreamHeader, policy: Policy
    ) -> Iterable[StreamEvent]:
        """What the detector answered, and when."""


class Slot(NamedTuple):
    """When the detector was busy with a frame, in seconds since the stream began."""

    frame: int
    start: float
    end: float


@dataclass(frozen=True)
class SimulatedClock(Clock):
    """Simulated time: what a frame's answer costs is given, not measured, so a record is the same everywhere.

    Where detections were computed before, the frames are their indices and `detect` looks them up.

    Attributes:
        latencies: seconds an answer takes; of several, each answer takes one drawn with the seed, independently.
        seed: of the drawing.
    """

    latencies: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.latencies or not all(0 <= seconds < float("inf") for seconds in self.latencies):
            raise UsageError("latencies: expected at least one, in seconds from 0")

    @classmethod
    def fixed(cls, seconds: float) -> SimulatedClock:
        """Every answer takes as long."""
        return cls((seconds,))

    @property
    def expected(self) -> float:
        """Mean latency in seconds."""
        return float(np.mean(self.latencies))

    def draws(self) -> Iterator[float]:
        """The latencies of one run, answer by answer, without end."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield from rng.choice(self.latencies, 256).tolist()

    def _answers(
        self, frames: Sequence[Any], detect: Callable[[Any], Detections], header: StreamHeader, policy: Policy
    ) -> Iterable[StreamEvent]:
        rate = header.frame_rate
        for slot in simulate(len(frames), rate, self.draws(), policy, self.expected):
            yield StreamEvent(slot.frame, slot.frame / rate, slot.start, slot.end, detect(frames[slot.frame]))


@dataclass(frozen=True)
class RealClock(Clock):
    """Real time: a thread makes the frames appear at their rate while the detector works in the caller's.

    That thread takes `frames[i]`, so that reading a picture costs no detector time.

    Attributes:
        patience: seconds to wait for a frame that is late before giving up (a picture that takes long to read
            appears late; the record tells when it did).
    """

    patience: float = 30.0

    def _answers(
        self, frames: Sequence[Any], detect: Callable[[Any], Detections], header: StreamHeader, policy: Policy
    ) -> Iterable[StreamEvent]:
        from yolox_deploy.streaming.feed import LiveFeed  # OpenCV, which no record needs
        from yolox_deploy.streaming.feed_sources import frames_source

        source = frames_source(frames, header.source, header.frame_rate, silence=self.patience)
        with LiveFeed(source, policy) as feed:
            for answer in feed.answers(detect):
                yield answer.event


def simulate(
    frames: int, frame_rate: float, latencies: Iterator[float], policy: Policy, expected: float
) -> list[Slot]:
    """When a detector is busy with which frame: a discrete simulation of one worker.

    Args:
        frames: how many appear, frame i at i / frame_rate seconds.
        frame_rate: frames a second.
        latencies: seconds of each answer in turn.
        policy: which frame is taken.
        expected: seconds that an answer is expected to take.
    """
    slots: list[Slot] = []
    now, last, period = 0.0, -1, 1 / frame_rate
    while True:
        newest = min(int((now + ROUNDING) * frame_rate + ROUNDING), frames - 1)
        frame = next_frame(policy, now=now, newest=newest, last=last, period=period, expected=expected)
        if frame is None:
            if newest + 1 >= frames:
                return slots
            now = max(now, (newest + 1) / frame_rate)
            continue
        start = max(now, frame / frame_rate)  # equal but for rounding
        now, last = start + next(latencies), frame
        slots.append(Slot(frame, start, now))
