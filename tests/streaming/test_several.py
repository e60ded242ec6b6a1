"""Several sources on one detector: fair turns, an end for each, and what is told and written of them."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy import Detector
from yolox_deploy.capture import Frame
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming import Queue, ShrinkingTail, read_record, read_records, watch
from yolox_deploy.streaming.feed import Answer, LiveFeed
from yolox_deploy.streaming.feed_sources import FeedSource
from yolox_deploy.streaming.live import live_answers, run_live
from yolox_deploy.streaming.policies import Policy
from yolox_deploy.streaming.sinks import LiveOutputs
from yolox_deploy.streaming.summary import FeedSummary
from yolox_deploy.streaming.window import Mosaic
from yolox_deploy.thresholds import ThresholdFields
from yolox_deploy.tracking import Trails

ENDLESS = 1_000_000


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("frames of", "detector of"))]


def source(name: str, count: int, rate: float = 200.0) -> FeedSource:
    """Grey pictures whose level is their number."""
    frames = (Frame(np.full((16, 32, 3), index % 256, np.uint8), index, name) for index in range(count))
    return FeedSource(name, frames, rate)


def breaking(name: str, count: int, rate: float = 200.0) -> FeedSource:
    """A source that is lost after so many frames."""

    def frames() -> Iterator[Frame]:
        yield from source(name, count).frames
        raise InputError(f"{name} was lost")

    return FeedSource(name, frames(), rate)


def taking(seconds: float = 0.0) -> Callable[[np.ndarray], Detections]:
    """A detector that takes so long and finds one box."""

    def detect(image: np.ndarray) -> Detections:
        time.sleep(seconds)
        box = np.array([[4, 4, 12, 12]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), ("cat",))

    return detect


def answered(feed: LiveFeed, seconds_each: float = 0.0, **options: float) -> list[Answer]:
    return [answer for answer in live_answers(feed, taking(seconds_each), **options) if answer is not None]


def test_equal_sources_get_equal_turns_however_slow_the_detector_is() -> None:
    feed = LiveFeed([source(name, ENDLESS) for name in "abc"])
    found = answered(feed, 0.02, seconds=0.8)
    counts = Counter(answer.event.source for answer in found)
    assert sum(counts.values()) > 6
    assert max(counts.values()) - min(counts.values()) <= 1
    for name in "abc":
        frames = [answer.frame.index for answer in found if answer.event.source == name]
        assert frames == sorted(set(frames)), "the newest each time"


def test_a_fast_source_starves_no_slow_one_and_a_slow_one_holds_nobody_up() -> None:
    feed = LiveFeed([source("slow", ENDLESS, 5), source("fast", ENDLESS, 60)])
    counts = Counter(answer.event.source for answer in answered(feed, 0.03, seconds=1.5))
    slow, fast = feed.channels
    assert counts["slow"] >= slow.appeared - 1
    assert counts["fast"] > 2 * counts["slow"]
    assert counts["fast"] < fast.appeared


@pytest.mark.parametrize("policy", [Queue(3), ShrinkingTail(), ShrinkingTail(runtime=0.0099)])
def test_other_policies_take_turns_too(policy: Policy) -> None:
    feed = LiveFeed([source("a", ENDLESS, 100), source("b", ENDLESS, 100)], policy)
    counts = Counter(answer.event.source for answer in answered(feed, 0.02, seconds=0.8))
    assert min(counts["a"], counts["b"]) >= 3
    assert abs(counts["a"] - counts["b"]) <= 0.2 * sum(counts.values())


def test_every_frame_of_several_files_is_answered_without_a_pace() -> None:
    feed = LiveFeed([source("a", 7), source("b", 3)], paced=False)
    found = answered(feed)
    assert [answer.frame.index for answer in found if answer.number == 0] == list(range(7))
    assert [answer.frame.index for answer in found if answer.number == 1] == [0, 1, 2]


def test_the_frames_of_each_source_can_be_limited() -> None:
    feed = LiveFeed([source("a", 50), source("b", 2)], Queue(9), frames=4)
    counts = Counter(answer.event.source for answer in answered(feed))
    assert counts == {"a": 4, "b": 2}


def test_a_source_that_ends_does_not_end_the_others_and_has_its_own_rate() -> None:
    feed = LiveFeed([source("short", 4, 100), source("long", 40, 100)], Queue(40))
    summary = FeedSummary(feed)
    for answer in answered(feed):
        summary.add(answer)
    short, long = summary.figures_of(0), summary.figures_of(1)
    assert (short.answered, long.answered, summary.figures().answered) == (4, 40, 44)
    assert short.seconds < long.seconds <= summary.figures().seconds
    assert short.fps == pytest.approx(4 / short.seconds)


def test_a_lost_source_is_told_at_once_and_raised_when_the_others_have_ended(tmp_path: Path) -> None:
    feed = LiveFeed([breaking("door", 2), source("yard", 40)], Queue(40))
    headers = [channel.header({}, ("cat",)) for channel in feed.channels]
    summary = FeedSummary(feed)
    with (
        pytest.warns(UserWarning, match="door was lost; the other sources go on"),
        pytest.raises(InputError, match=r"^door was lost$"),
    ):
        run_live(feed, taking(), headers, summary, LiveOutputs(tmp_path / "events.jsonl"))
    assert summary.answered == [2, 40]
    assert [len(record.events) for record in read_records(tmp_path / "events.jsonl")] == [2, 40]
    assert str(feed.channels[0].failure) == "door was lost"


def test_one_that_was_lost_is_an_error_also_where_time_ended_the_others() -> None:
    feed = LiveFeed([breaking("door", 1), source("yard", ENDLESS)])
    with pytest.warns(UserWarning, match="go on"), pytest.raises(InputError, match="door was lost"):
        answered(feed, seconds=0.4)


def test_the_time_of_day_is_that_of_the_capture() -> None:
    before = time.time()
    found = answered(LiveFeed([source("a", 10), source("b", 10)]), 0.01)
    after = time.time()
    days = [answer.event.captured_at or 0.0 for answer in found]
    assert before - 0.001 <= min(days) <= max(days) <= after + 0.001
    begun = {round((answer.event.captured_at or 0.0) - answer.event.captured, 2) for answer in found}
    assert max(begun) - min(begun) < 0.011, "one beginning for all, whatever the clock does"


def test_a_record_of_several_sources_comes_back_source_by_source(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    feed = LiveFeed([source("a", 5), source("b", 3, 100)], Queue(9))
    headers = [channel.header({"backend": "none"}, ("cat",)) for channel in feed.channels]
    run_live(feed, taking(), headers, FeedSummary(feed), LiveOutputs(path))
    first, second = read_records(path)
    assert (first.source, first.frames, first.dropped, first.frame_rate) == ("a", 5, 0, 200)
    assert (second.source, second.frames, second.frame_rate, second.policy) == ("b", 3, 100, "queue:9")
    assert [event.frame for event in first.events] == list(range(5))
    assert {event.source for event in second.events} == {"b"}
    assert read_record(path, "b").header == second.header
    with pytest.raises(
        InputError, match=r"holds 2 sources; name one, as in read_record\(path, 'a'\).*: a, b"
    ):
        read_record(path)
    with pytest.raises(InputError, match="holds no source 'c'; it has a, b"):
        read_record(path, "c")
    assert '"schema_version":2' in path.read_text().splitlines()[0], "a reader of one source must refuse it"
    (tmp_path / "cut.jsonl").write_text("\n".join(path.read_text().splitlines()[:4]))
    assert sum(len(record.events) for record in read_records(tmp_path / "cut.jsonl")) == 3


def test_a_record_of_one_source_is_what_it_was_with_more_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    feed = LiveFeed(source("door", 3), Queue(9))
    run_live(feed, taking(), [feed.channels[0].header({}, ("cat",))], FeedSummary(feed), LiveOutputs(path))
    head, line, *_ = path.read_text().splitlines()
    assert '"schema_version":1,"source":"door"' in head
    assert '"source":"door"' in line
    record = read_record(path)
    assert read_records(path)[0].header == record.header
    again = read_record(record.save(tmp_path / "again.jsonl"))
    assert [event.captured_at for event in again.events] == [event.captured_at for event in record.events]
    assert (tmp_path / "again.jsonl").read_text() == path.read_text()
    renamed = dataclasses.replace(record, source="yard").save(tmp_path / "renamed.jsonl")
    assert {event.source for event in read_record(renamed).events} == {"yard"}


class Counting:
    """A follower whose identities count the frames that it was told; it keeps the times."""

    made: list[Counting]

    def __init__(self) -> None:
        self.thresholds: ThresholdFields = {"conf": 0.1}
        self.times: list[float] = []
        self.made.append(self)

    def reset(self, *, renumber: bool = True) -> None:
        assert not renumber
        self.times.append(-1.0)

    def follow(self, detections: Detections, time: float | None = None) -> Detections:
        assert time is not None
        self.times.append(time)
        ids = np.full(len(detections), len(self.times))
        return Detections(
            detections.boxes, detections.scores, detections.class_ids, detections.class_names, track_ids=ids
        )


@pytest.fixture
def follower() -> type[Counting]:
    Counting.made = []
    return Counting


def test_each_source_is_followed_by_itself_at_its_own_pace(follower: type[Counting], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    feed = LiveFeed([source("a", 4, 10), source("b", 4, 20)], paced=False, follower=follower)
    headers = [channel.header({}, ("cat",)) for channel in feed.channels]
    run_live(feed, taking(), headers, FeedSummary(feed), LiveOutputs(path))
    assert [made.times for made in follower.made] == [
        pytest.approx([0, 0.1, 0.2, 0.3]),
        pytest.approx([0, 0.05, 0.1, 0.15]),
    ]
    for record in read_records(path):
        ids = [event.detections.track_ids for event in record.events]
        assert [found.tolist() for found in ids if found is not None] == [[1], [2], [3], [4]]


def test_where_another_video_of_a_folder_begins_its_objects_are_others(
    follower: type[Counting], tmp_path: Path
) -> None:
    def cut() -> Iterator[Frame]:
        for index, name in enumerate("aabb"):
            yield Frame(np.zeros((16, 32, 3), np.uint8), index, name, time=(index % 2) / 10)

    trails: list[Trails] = []

    def trail() -> Trails:
        trails.append(Trails())
        return trails[-1]

    feed = LiveFeed(FeedSource("folder", cut(), 10), paced=False, follower=follower)
    outputs = LiveOutputs(video=tmp_path / "out.avi", trails=trail)
    run_live(feed, taking(), [feed.channels[0].header({}, ("cat",))], FeedSummary(feed), outputs)
    assert follower.made[0].times == [0, 0.1, -1.0, 0, 0.1]
    assert len(trails) == 2


def test_pictures_of_several_sources_stand_side_by_side() -> None:
    mosaic = Mosaic(3)
    canvas = mosaic.with_picture(0, np.full((60, 80, 3), 10, np.uint8))
    assert canvas.shape == (120, 160, 3)
    canvas = mosaic.with_picture(2, np.full((120, 80, 3), 200, np.uint8))
    assert (canvas[:60, :80] == 10).all()
    assert (canvas[60:, :30] == 200).all()
    assert not canvas[:60, 80:].any(), "the second has no picture yet"
    one = np.zeros((5, 7, 3), np.uint8)
    assert Mosaic(1).with_picture(0, one) is one
    assert Mosaic(2).with_picture(1, np.zeros((1080, 1920, 3), np.uint8)).shape == (540, 1920, 3)


class Detecting:
    """A detector by its `predict` alone; keeps the thresholds that it was asked with."""

    def __init__(self) -> None:
        self.asked = list[dict[str, object]]()

    def predict(self, image: np.ndarray, **thresholds: object) -> Detections:
        self.asked.append(thresholds)
        return taking()(image)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders with three and five pictures."""
    found = [tmp_path / "three", tmp_path / "five"]
    for folder, count in zip(found, (3, 5), strict=True):
        folder.mkdir()
        for index in range(count):
            assert cv2.imwrite(str(folder / f"{index}.png"), np.zeros((16, 16, 3), np.uint8))
    return found


def test_streams_are_watched_from_python(folders: list[Path], follower: type[Counting]) -> None:
    detector = Detecting()
    found = list(watch(detector, [*folders, folders[0]], rate=0, tracker=follower))
    counts = Counter(answer.event.source for answer in found)
    assert counts == {str(folders[0]): 3, str(folders[1]): 5, f"{folders[0]} (2)": 3}
    assert detector.asked == [{"conf": 0.1}] * 11
    assert all(answer.event.captured_at for answer in found)
    assert all(answer.event.detections.track_ids is not None for answer in found)
    first = next(watch(detector, folders, rate=0, conf=0.5))
    assert (first.frame.image.shape, detector.asked[-1]) == ((16, 16, 3), {"conf": 0.5})


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ([], UsageError, "expected a list"),
        ("0", UsageError, "expected a list"),
        (["none.mp4"], InputError, "none.mp4"),
    ],
)
def test_what_cannot_be_watched(sources: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        next(watch(Detecting(), sources))  # type: ignore[arg-type, call-overload]


@pytest.mark.parametrize(
    "limit", [{"seconds": -1}, {"frames": 0}, {"rate": -3}, {"rate": float("nan")}, {"reconnect": -1}]
)
def test_limits_that_cannot_be_are_refused(folders: list[Path], limit: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(limit))} is .*; expected at least"):
        next(watch(Detecting(), folders, **limit))  # type: ignore[arg-type]


def test_a_list_is_not_tracked_as_if_it_were_one_stream(nano_onnx: Path, folders: list[Path]) -> None:
    with (
        Detector(nano_onnx, threads=1) as detector,
        pytest.raises(UsageError, match=r"one source, found <class 'list'>; .*streaming\.watch\("),
    ):
        detector.track(folders)  # type: ignore[arg-type]


def test_thresholds_beside_a_tracker_belong_to_it(folders: list[Path], follower: type[Counting]) -> None:
    with pytest.raises(UsageError, match="give conf to the Tracker"):
        next(watch(Detecting(), folders, tracker=follower, conf=0.5))
