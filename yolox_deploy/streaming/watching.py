"""Several streams watched by one detector, from Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.channel import Follower
from yolox_deploy.streaming.feed import Answer, LiveFeed
from yolox_deploy.streaming.feed_sources import open_feed_sources
from yolox_deploy.streaming.live import live_answers
from yolox_deploy.streaming.policies import Newest, Policy
from yolox_deploy.streaming.recording import StreamPredictor
from yolox_deploy.thresholds import ThresholdFields

if TYPE_CHECKING:
    from typing_extensions import Unpack


def watch(
    detector: StreamPredictor,
    sources: Sequence[str | int | Path],
    *,
    rate: float | None = None,
    policy: Policy = Newest(),  # noqa: B008
    seconds: float | None = None,
    frames: int | None = None,
    reconnect: float = 30.0,
    tracker: Callable[[], Follower] | None = None,
    **thresholds: Unpack[ThresholdFields],
) -> Iterator[Answer]:
    """Detect on several streams by turns, until all have ended; what `yolox-deploy stream A B C` does.

    The newest frame of a source is answered, then the newest of the next source that has one. A source that ends or is
    lost does not end the others: a warning names it. Frames are read and detected in threads of their own; a caller who
    is slower than the detector holds it up. Closing the iterator ends the threads.

    Args:
        detector: one for all sources.
        sources: cameras' numbers, addresses, videos, folders or globs. Files are played at their rate.
        rate: frames a second; None for what a video or live source says, and 30 where it says nothing. 0 takes every
            frame of a file, one after the other.
        policy: which frame of a source is taken next.
        seconds: after which the streams are ended.
        frames: how many of each source appear at most.
        reconnect: seconds without a frame after which a lost live source is given up; 0 for at once.
        tracker: makes a `Tracker` for each source: `lambda: Tracker(detector)`; its thresholds are those asked for.
        thresholds: of `detector.predict`, in place of the detector's own.

    Yields:
        `answer.frame`, and `answer.event` with `source` (its name, of the same one twice with a number), `captured_at`
        (seconds since 1970), the other times in seconds since the beginning, and `detections`.

    Raises:
        InputError: a source cannot be opened; or one was lost, once all others have ended.
        UsageError: no source, a limit below 0, no frame, or thresholds beside a tracker, which has them.
    """
    if isinstance(sources, str | int | Path) or not sources:
        raise UsageError(f"sources is {sources!r}; expected a list of cameras, addresses, videos or folders")
    limits = {"rate": rate, "seconds": seconds, "frames": frames, "reconnect": reconnect}
    for name, value in limits.items():
        least = 1 if name == "frames" else 0
        if value is not None and not least <= value < math.inf:
            raise UsageError(f"{name} is {value}; expected at least {least}")
    if tracker is not None and thresholds:
        raise UsageError(f"give {', '.join(thresholds)} to the Tracker: Tracker(detector, conf=0.3)")
    opened = open_feed_sources(sources, rate=rate or None, reconnect=reconnect)
    feed = LiveFeed(opened, policy, paced=rate != 0, frames=frames, follower=tracker)
    asked = ThresholdFields(**{**thresholds, **feed.thresholds})
    answers = live_answers(feed, lambda image: detector.predict(image, **asked), seconds=seconds)
    with closing(answers):
        for answer in answers:
            if answer is not None:
                yield answer
