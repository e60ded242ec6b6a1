"""The parts of a live stream: frames that appear, a detector that is slower or faster, figures in fixed memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.capture import Frame
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, RuntimeFailure
from yolox_deploy.streaming import Queue, ShrinkingTail
from yolox_deploy.streaming.events import StreamEvent
from yolox_deploy.streaming.feed import Answer, LiveFeed
from yolox_deploy.streaming.feed_sources import FeedSource, open_feed_sources, sequence_source
from yolox_deploy.streaming.live import live_answers
from yolox_deploy.streaming.policies import Policy
from yolox_deploy.streaming.sequences import AnnotatedFrame, AnnotatedSequence
from yolox_deploy.streaming.summary import DurationHistogram, LiveSummary


def frames(count: int) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(np.full((8, 8, 3), index, np.uint8), index, "made")


def source(count: int, rate: float = 200.0) -> FeedSource:
    return FeedSource("made", frames(count), rate)


class Busy:
    """A detector that takes its time and remembers what it saw."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.seen = seconds, list[int]()

    def __call__(self, image: np.ndarray) -> Detections:
        self.seen.append(int(image[0, 0, 0]))
        time.sleep(self.seconds)
        return Detections.empty()


def answered(feed: LiveFeed, detect: Busy, **options: float) -> list[Answer]:
    return [answer for answer in live_answers(feed, detect, **options) if answer is not None]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("frames of", "detector of"))]


@pytest.mark.parametrize("spread", [0.05, 2.0])
def test_percentiles_are_those_of_the_samples_within_a_percent(spread: float) -> None:
    durations = np.random.default_rng(0).lognormal(-4, spread, 5000)
    histogram = DurationHistogram()
    for seconds in durations:
        histogram.add(seconds)
    for percent in (1, 50, 90, 99, 100):
        exact = np.percentile(durations, percent, method="inverted_cdf")
        assert histogram.percentile(percent) == pytest.approx(exact, rel=0.01)
    assert (histogram.count, histogram.low, histogram.high) == (5000, durations.min(), durations.max())


def test_percentiles_of_nothing_and_of_the_unmeasurable() -> None:
    histogram = DurationHistogram()
    assert histogram.percentile(50) is None
    for seconds in (0.0, 1e9):
        histogram.add(seconds)
    assert (histogram.percentile(50), histogram.percentile(100)) == (pytest.approx(0, abs=2e-5), 1e9)


def test_figures_count_what_appeared_and_how_old_answers_were() -> None:
    summary = LiveSummary()
    for index in range(10):
        summary.add(StreamEvent(index, index, index + 0.1, index + 0.3, Detections.empty()))
    figures = summary.figures(seconds=20, appeared=12, reconnects=1)
    assert (figures.answered, figures.dropped, figures.fps) == (10, 2, 0.5)
    assert figures.latency["p95"] == pytest.approx(200, rel=0.01)
    assert figures.age["p50"] == pytest.approx(300, rel=0.01)
    assert figures.to_dict()["frames"] == {"appeared": 12, "answered": 10, "dropped": 2}
    line = summary.line(seconds=9.3, appeared=12, reconnects=1)
    assert line == "1.0 FPS  latency p50 200 p95 200 ms  age 300 ms  dropped 2/12  reconnects 1"
    assert summary.line(seconds=60, appeared=12).startswith("0.0 FPS")


def test_figures_of_a_stream_without_an_answer() -> None:
    figures = LiveSummary().figures(seconds=0, appeared=0)
    assert (figures.fps, figures.latency["p50"], figures.age["p95"]) == (0, None, None)


def test_a_fast_detector_answers_every_frame_at_its_time() -> None:
    detect = Busy()
    feed = LiveFeed(source(20, rate=50))
    found = answered(feed, detect)
    assert feed.appeared == 20
    # A busy machine may lose one; none comes before its time.
    assert [answer.frame.index for answer in found] == detect.seen == sorted(set(detect.seen))
    assert all(answer.event.captured >= answer.frame.index / 50 for answer in found)
    assert found[-1].frame.index == 19


def test_a_slow_detector_takes_the_newest_and_drops_the_others() -> None:
    begun = threading.Event()

    def unhurried() -> Iterator[Frame]:
        for frame in frames(40):
            yield frame
            begun.wait(30)

    feed = LiveFeed(FeedSource("made", unhurried(), 200.0))

    def wait_for_the_last(image: np.ndarray) -> Detections:
        begun.set()
        while feed.appeared < 40:
            time.sleep(0.001)
        return Detections.empty()

    first, second = (answer for answer in live_answers(feed, wait_for_the_last) if answer is not None)
    assert (first.frame.index < 39, second.frame.index) == (True, 39)
    assert first.event.captured <= first.event.start <= first.event.end <= second.event.start


@pytest.mark.parametrize("policy", [Queue(3), ShrinkingTail()])
def test_other_policies_answer_too(policy: Policy) -> None:
    detect = Busy(0.012)
    feed = LiveFeed(source(40, rate=100), policy)
    found = answered(feed, detect)
    assert 2 <= len(found) <= 40
    assert detect.seen == sorted(set(detect.seen))


def test_a_tail_that_is_almost_a_frame_does_not_wait_for_ever() -> None:
    """Waking up late by a moment must not look like the end of a frame, or no frame would ever be begun with."""
    feed = LiveFeed(source(100, rate=100), ShrinkingTail(runtime=0.01999999))
    assert len(answered(feed, Busy())) >= 5


def test_a_queue_that_is_long_enough_loses_nothing() -> None:
    detect = Busy(0.01)
    assert len(answered(LiveFeed(source(30, rate=1000), Queue(30)), detect)) == 30
    assert detect.seen == list(range(30))


def test_without_a_pace_every_frame_is_answered() -> None:
    detect = Busy(0.002)
    feed = LiveFeed(source(50, rate=1), paced=False)
    assert len(answered(feed, detect)) == 50
    assert feed.elapsed < 50 / 2


def test_the_number_of_frames_and_the_time_can_be_limited() -> None:
    assert len(answered(LiveFeed(source(50), paced=False, frames=7), Busy())) == 7
    feed = LiveFeed(source(100_000, rate=20))
    answered(feed, Busy(), seconds=0.3)
    assert feed.appeared < 50


def test_leaving_early_ends_both_threads() -> None:
    feed = LiveFeed(source(10_000))
    answers = live_answers(feed, Busy(0.01))
    next(answers)
    answers.close()
    elapsed = feed.elapsed
    assert list(feed.answers(Busy())) == []
    assert feed.elapsed == elapsed


def test_a_caller_who_is_slow_holds_the_detector_up_and_fills_no_memory() -> None:
    detect = Busy()
    answers = live_answers(LiveFeed(source(200, rate=1000)), detect)
    next(answers)
    time.sleep(0.3)
    assert len(detect.seen) <= 5
    answers.close()


def test_what_fails_in_a_thread_is_raised_to_the_caller(tmp_path: Path) -> None:
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1\.png"):
        answered(LiveFeed(open_feed_sources([tmp_path]), paced=False), Busy())

    def fail(image: np.ndarray) -> Detections:
        raise RuntimeFailure("answers NaN")

    with pytest.raises(RuntimeFailure, match="NaN"):
        list(live_answers(LiveFeed(source(3)), fail))


def test_pictures_come_thirty_a_second_and_a_video_at_its_own_rate(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    video = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 12, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    found = open_feed_sources([tmp_path, video, video.as_uri(), video])
    assert [source.rate for source in found] == [30, 12, 12, 12]
    assert [source.name for source in found] == [
        *map(str, (tmp_path, video, video.as_uri())),
        f"{video} (2)",
    ]
    assert [source.rate for source in open_feed_sources([video, video], rate=5)] == [5, 5]


def test_a_sequence_keeps_the_numbers_of_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    sequence = AnnotatedSequence("walk", tuple(AnnotatedFrame(index, index, path) for index in (0, 3, 6, 9)))
    feed = LiveFeed(sequence_source(sequence, 100), Queue(4))
    found = answered(feed, Busy(0.05))  # several wait, and four fit whatever their numbers
    assert [answer.event.frame for answer in found] == [0, 3, 6, 9]
    assert found[-1].event.captured >= 0.09
    assert feed.appeared == 4
