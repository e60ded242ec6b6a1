"""How a live stream went, so far and in the end, in fixed memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from yolox_deploy.streaming.events import StreamEvent

if TYPE_CHECKING:
    from yolox_deploy.streaming.feed import Answer, LiveFeed

RECENT_SECONDS = 3.0
"""Over which the present frame rate is taken."""

SHORTEST, LONGEST = 1e-5, 1e4
"""Seconds; what lies outside is counted in the first or last bin."""
WIDTH = math.log(1.01)
BINS = math.ceil(math.log(LONGEST / SHORTEST) / WIDTH)


@dataclass(frozen=True)
class LiveFigures:
    """A stream at some moment. Durations are milliseconds; None where nothing was answered yet.

    Attributes:
        seconds: since it began.
        appeared: frames that the source gave.
        answered: frames whose answer is there.
        dropped: frames that appeared and have no answer.
        reconnects: how often the source was lost and came back.
        fps: answers a second, over all of it.
        latency: percentiles of the time from taking a frame to its answer, by name ("p50").
        age: percentiles of how old its frame was when an answer was there: waiting and latency.
    """

    seconds: float
    appeared: int
    answered: int
    dropped: int
    reconnects: int
    fps: float
    latency: Mapping[str, float | None]
    age: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON; names tell the unit."""
        return {
            "seconds": round(self.seconds, 3),
            "frames": {"appeared": self.appeared, "answered": self.answered, "dropped": self.dropped},
            "reconnects": self.reconnects,
            "fps": round(self.fps, 3),
            "latency_ms": dict(self.latency),
            "age_ms": dict(self.age),
        }


class LiveSummary:
    """Counts the answers of a stream as they come."""

    def __init__(self) -> None:
        self.answered = 0
        self._latency, self._age = DurationHistogram(), DurationHistogram()
        self._ends: deque[float] = deque()
        self._last_age = 0.0

    def add(self, event: StreamEvent) -> None:
        """Count one answer."""
        self.answered += 1
        self._latency.add(event.end - event.start)
        self._last_age = event.end - event.captured
        self._age.add(self._last_age)
        self._ends.append(event.end)
        self._forget(event.end)

    def figures(self, *, seconds: float, appeared: int, reconnects: int = 0) -> LiveFigures:
        """The figures now, with what only the feed knows."""
        return LiveFigures(
            seconds=seconds,
            appeared=appeared,
            answered=self.answered,
            dropped=appeared - self.answered,
            reconnects=reconnects,
            fps=self.answered / seconds if seconds > 0 else 0.0,
            latency=_percentiles(self._latency, (50, 90, 95, 99)),
            age=_percentiles(self._age, (50, 95)),
        )

    def line(self, *, seconds: float, appeared: int, reconnects: int = 0) -> str:
        """One line about now, in plain ASCII: frame rate, latency, age of the latest answer, dropped frames."""
        self._forget(seconds)
        latency = [self._latency.percentile(percent) or 0.0 for percent in (50, 95)]
        parts = [
            f"{len(self._ends) / min(max(seconds, 1.0), RECENT_SECONDS):.1f} FPS",
            f"latency p50 {1e3 * latency[0]:.0f} p95 {1e3 * latency[1]:.0f} ms",
            f"age {1e3 * self._last_age:.0f} ms",
            f"dropped {appeared - self.answered}/{appeared}",
        ]
        return "  ".join([*parts, f"reconnects {reconnects}"] if reconnects else parts)

    def _forget(self, seconds: float) -> None:
        while self._ends and self._ends[0] <= seconds - RECENT_SECONDS:
            self._ends.popleft()


class FeedSummary:
    """Counts the answers of a feed as they come, for each source and for all together."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._each = [LiveSummary() for _ in feed.channels]
        self._all = self._each[0] if len(self._each) == 1 else LiveSummary()

    @property
    def answered(self) -> list[int]:
        """How many frames of each source have an answer."""
        return [summary.answered for summary in self._each]

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        self._each[answer.number].add(answer.event)
        if len(self._each) > 1:
            self._all.add(answer.event)

    def figures(self) -> LiveFigures:
        """All sources together, now."""
        feed = self._feed
        return self._all.figures(seconds=feed.elapsed, appeared=feed.appeared, reconnects=feed.reconnects)

    def figures_of(self, number: int) -> LiveFigures:
        """One source, over the time until it ended."""
        channel = self._feed.channels[number]
        return self._each[number].figures(
            seconds=channel.elapsed, appeared=channel.appeared, reconnects=channel.source.reconnects()
        )

    def line(self) -> str:
        """One line about all sources now."""
        feed = self._feed
        line = self._all.line(seconds=feed.elapsed, appeared=feed.appeared, reconnects=feed.reconnects)
        return line if len(self._each) == 1 else f"{len(self._each)} sources  {line}"

    def line_of(self, number: int) -> str:
        """One line about a source now."""
        channel = self._feed.channels[number]
        return self._each[number].line(
            seconds=self._feed.elapsed, appeared=channel.appeared, reconnects=channel.source.reconnects()
        )


def _percentiles(durations: DurationHistogram, percents: tuple[int, ...]) -> dict[str, float | None]:
    found = {f"p{percent}": durations.percentile(percent) for percent in percents}
    return {name: None if value is None else round(1e3 * value, 3) for name, value in found.items()}


class DurationHistogram:
    """Counts of durations in bins 1 % wide on a logarithmic scale, as HdrHistogram keeps them.

    Attributes:
        count: durations added.
        low, high: the shortest and the longest of them, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, 0.0
        self._bins = np.zeros(BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        position = math.log(max(seconds, SHORTEST) / SHORTEST) / WIDTH
        self._bins[min(int(position), BINS - 1)] += 1
        self.count += 1
        self.low, self.high = min(self.low, seconds), max(self.high, seconds)

    def percentile(self, percent: float) -> float | None:
        """Seconds that `percent` (0-100) of the durations do not exceed, within 1 %; None where there is none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        if rank == self.count:
            return self.high
        position = int(np.searchsorted(np.cumsum(self._bins), rank))
        middle = SHORTEST * math.exp((position + 0.5) * WIDTH)
        return min(max(middle, self.low), self.high)
