"""Identities of objects on a stream: who keeps his, for how long, and what is told of boxes without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy import Detections, Detector, Tracker
from yolox_deploy.errors import UsageError
from yolox_deploy.synthetic import MovingOptions, MovingScene
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.tracking import TrackConfig

NAMES = ("person", "bicycle")
Row = tuple[float, float, float, int]
"""Left edge, upper edge, score, class of a box of 40x80 pixels."""


class Scripted:
    """Finds what a frame, a list of rows, says; as a detector does, those that reach `conf`, best first."""

    def __init__(self, conf: float = 0.25) -> None:
        self.thresholds = Thresholds(conf=conf)
        self.asked: list[float] = []

    def predict(self, image: Any, **thresholds: Any) -> Detections:
        conf = self.thresholds.changed(thresholds).conf
        self.asked.append(conf)
        return found([row for row in image if row[2] >= conf])


def found(rows: Sequence[Row]) -> Detections:
    ordered = sorted(rows, key=lambda row: -row[2])
    boxes = [(x, y, x + 40, y + 80) for x, y, _, _ in ordered]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([row[2] for row in ordered], np.float32),
        np.array([row[3] for row in ordered], np.int64),
        NAMES,
    )


def walker(seconds: float, speed: float = 120.0, score: float = 0.9) -> Row:
    """Someone who walks to the right, `speed` pixels a second."""
    return 20 + speed * seconds, 100, score, 0


def identities(
    tracker: Tracker, frames: Sequence[Sequence[Row]], times: Sequence[float | None] | None = None
) -> list[list[int]]:
    """The track ids of each frame, best first."""
    told = []
    for frame, time in zip(frames, times or [None] * len(frames), strict=True):
        tracks = tracker.update(frame, time).track_ids
        assert tracks is not None
        told.append(tracks.tolist())
    return told


def test_an_object_gets_its_identity_in_its_second_frame_and_keeps_it() -> None:
    told = identities(Tracker(Scripted()), [[walker(i / 30)] for i in range(60)])
    assert told == [[-1], *[[1]] * 59]


def test_identities_are_unique_over_classes_and_begin_at_1() -> None:
    frames = [[walker(i / 30), (300, 100, 0.8, 1), (500, 100, 0.7, 1)] for i in range(4)]
    assert identities(Tracker(Scripted()), frames)[1:] == [[1, 2, 3]] * 3


def test_rows_are_the_detectors_own_whatever_order_the_library_answers_in() -> None:
    rng = np.random.default_rng(0)
    places = [(100 * (i % 8) + 0.3, 100 * (i // 8) + 0.7, i % 2) for i in range(40)]
    tracker, owner = Tracker(Scripted()), dict[int, int]()
    for _ in range(6):
        rows = [(x, y, score, c) for (x, y, c), score in zip(places, rng.uniform(0.3, 1, 40), strict=True)]
        told = tracker.update(rows)
        expected = found(rows)
        assert np.array_equal(told.boxes, expected.boxes)
        assert np.array_equal(told.scores, expected.scores)
        assert np.array_equal(told.class_ids, expected.class_ids)
        assert told.track_ids is not None
        for item in told:
            place = round(item.box[1] // 100 * 8 + item.box[0] // 100)
            if item.track_id != -1:
                assert owner.setdefault(place, item.track_id or 0) == item.track_id
    assert sorted(owner.values()) == list(range(1, 41))


def test_a_low_box_continues_its_object_and_begins_none() -> None:
    detector = Scripted(conf=0.3)
    frames = [[walker(i / 30, score=0.9 if i < 5 else 0.15), (500, 100, 0.2, 0)] for i in range(20)]
    told = identities(Tracker(detector), frames)
    assert told == [[-1], *[[1]] * 19]
    assert set(detector.asked) == {0.1}
    unused = identities(Tracker(detector, config=TrackConfig(low_score=0.2)), frames)
    assert unused == [[-1], *[[1]] * 4, *[[]] * 15]


def test_a_box_below_the_activation_score_is_told_without_an_identity() -> None:
    frames = [[walker(i / 30, score=0.5)] for i in range(5)]
    assert identities(Tracker(Scripted(), config=TrackConfig(activation_score=0.6)), frames) == [[-1]] * 5
    assert identities(Tracker(Scripted(), conf=0.6), frames) == [[]] * 5


@pytest.mark.parametrize("rate", [30, 15, 10])
@pytest.mark.parametrize("hidden", [0.3, 0.5, 0.9])
def test_an_identity_survives_an_occlusion(rate: int, hidden: float) -> None:
    times = [i / rate for i in range(3 * rate)]
    frames = [[] if 1 <= time < 1 + hidden else [walker(time)] for time in times]
    assert {track for ids in identities(Tracker(Scripted()), frames, times) for track in ids} == {-1, 1}


def test_an_identity_survives_a_pillar_that_covers_the_object_bit_by_bit(nano_onnx: Path) -> None:
    """Its box shrinks before it is gone; an extrapolated box that went on shrinking would never meet it again."""
    scene = MovingScene(MovingOptions(objects=1, classes=("ball",), pillars=1, speed=0.6), seed=4)
    with Detector(nano_onnx) as detector:
        tracker, gaps, told = Tracker(detector), 0, set[int]()
        for index in range(90):
            image, truth = scene.at(index / 30)
            tracks = tracker.update(image, index / 30).track_ids
            assert tracks is not None
            gaps += len(truth.tracks) == 0
            told |= {track for track in tracks.tolist() if track > 0}
    assert gaps > 5
    assert told == {1}


@pytest.mark.parametrize(("lost", "expected"), [(1.0, 2), (2.0, 1), (0.3, 2)])
def test_an_object_away_for_longer_than_lost_seconds_is_a_new_one(lost: float, expected: int) -> None:
    times = [*(i / 10 for i in range(10)), *(2.5 + i / 10 for i in range(5))]
    tracker = Tracker(Scripted(), config=TrackConfig(lost_seconds=lost))
    assert identities(tracker, [[(20, 100, 0.9, 0)]] * 15, times)[-1] == [expected]


@pytest.mark.parametrize("every", [2, 3])
def test_dropped_frames_with_their_true_times_keep_every_identity(every: int) -> None:
    """Two who walk past each other, at a distance at which the nearest box after three frames is the other's."""
    times = [i / 30 for i in range(90)]
    frames = [[(20 + 300 * t, 100, 0.9, 0), (900 - 300 * t, 150, 0.8, 0)] for t in times]
    irregular = sorted(np.random.default_rng(1).choice(90, 90 // every, replace=False).tolist())
    for kept in (range(0, 90, every), irregular):
        told = identities(Tracker(Scripted()), [frames[i] for i in kept], [times[i] for i in kept])
        assert told[2:] == [[1, 2]] * (len(told) - 2)


def test_time_counts_and_not_the_number_of_frames() -> None:
    frames = [[(20, 100, 0.9, 0)]] * 20
    stalled = [i / 30 if i < 10 else 10 + i / 30 for i in range(20)]
    assert identities(Tracker(Scripted()), frames, stalled)[-1] == [2]
    assert identities(Tracker(Scripted()), frames)[-1] == [1]


def test_frames_too_far_apart_for_the_settings_are_warned_of() -> None:
    frames = [[(20, 100, 0.9, 0)]] * 5
    with pytest.warns(UserWarning, match=r"2 s apart.*lost_seconds 1: none keeps its identity; raise it"):
        assert identities(Tracker(Scripted()), frames, [0, 2, 4, 6, 8]) == [[-1]] * 5
    slow = Tracker(Scripted(), config=TrackConfig(lost_seconds=6))
    assert identities(slow, frames, [0, 2, 4, 6, 8]) == [[-1], *[[1]] * 4]


def test_a_source_without_times_has_the_rate_of_the_settings() -> None:
    frames: list[list[Row]] = [*[[(20, 100, 0.9, 0)]] * 3, *[[]] * 12, *[[(20, 100, 0.9, 0)]] * 3]
    assert identities(Tracker(Scripted()), frames)[-1] == [1]
    assert identities(Tracker(Scripted(), config=TrackConfig(frame_rate=10)), frames)[-1] == [2]


def test_a_time_that_stands_still_is_taken_and_one_that_goes_back_refused() -> None:
    detector = Scripted()
    tracker = Tracker(detector)
    assert identities(tracker, [[(20, 100, 0.9, 0)]] * 4, [5.0, 5.0, 5.0, 5.5])[1:] == [[1]] * 3
    for wrong, said in ((5.4, "5.4 s, before the last 5.5 s"), (float("nan"), "nan"), ("6", "'6'")):
        with pytest.raises(UsageError, match=said):
            tracker.update([(20, 100, 0.9, 0)], wrong)  # type: ignore[arg-type]
    assert len(detector.asked) == 4, "the detector does not run for a frame that cannot be"
    assert identities(tracker, [[(20, 100, 0.9, 0)]], [None]) == [[1]], "and the tracker goes on"
    tracker.reset()
    assert identities(tracker, [[(20, 100, 0.9, 0)]] * 2, [0.0, 0.1]) == [[-1], [1]]


def test_a_person_and_the_bicycle_under_him_never_exchange_their_identities() -> None:
    rng = np.random.default_rng(3)
    tracker, owners = Tracker(Scripted()), dict[int, set[int]]()
    for index in range(120):
        x, y, _, _ = walker(index / 30, 90)
        both = [(x, y, rng.uniform(0.5, 1), 0), (x + 3, y + 10, rng.uniform(0.5, 1), 1)]
        # Now and then only one of the two is found.
        rows = both[:1] if index % 7 == 3 else both[1:] if index % 11 == 5 else both
        for item in tracker.update(rows):
            owners.setdefault(item.track_id or 0, set()).add(item.class_id)
    assert owners.pop(-1) == {0, 1}
    assert owners == {1: {0}, 2: {1}} or owners == {1: {1}, 2: {0}}


@pytest.mark.parametrize(("agnostic", "expected"), [(False, {1, 2}), (True, {1})])
def test_an_object_whose_class_is_not_sure_is_one_where_that_is_asked_for(
    agnostic: bool, expected: set[int]
) -> None:
    frames = [[(*walker(i / 30)[:3], i // 4 % 2)] for i in range(40)]
    tracker = Tracker(Scripted(), config=TrackConfig(class_agnostic=agnostic))
    assert {track for ids in identities(tracker, frames) for track in ids} - {-1} == expected


def test_detections_of_others_are_followed(nano_onnx: Path) -> None:
    scene = MovingScene(seed=2)
    with Detector(nano_onnx) as detector:
        one, other = Tracker(detector), Tracker(detector)
        for index in range(10):
            image, _ = scene.at(index / 30)
            told = one.update(image, index / 30)
            assert told == other.follow(detector.predict(image, **other.thresholds), index / 30)
            sure = detector.predict(image)
            shown = told[told.scores >= np.float32(0.25)]
            assert np.array_equal(shown.boxes, sure.boxes), "all that the detector finds, bit by bit"
            assert np.array_equal(shown.scores, sure.scores)
            assert told.image_size == (480, 640)
            assert told.track_ids is not None
            assert (told.track_ids[len(sure) :] > 0).all()


def test_a_file_with_suppression_of_its_own_is_asked_for_no_less_than_it_has(
    nano_weights: Path, tmp_path: Path
) -> None:
    from yolox_deploy import export

    path = export(
        "yolox_nano",
        weights=nano_weights,
        out=tmp_path / "nms.onnx",
        nms=True,
        conf=0.3,
        imgsz=128,
        verify=False,
    ).path
    scene = MovingScene(MovingOptions(size=(128, 128), pillars=0))
    with Detector(path) as detector:
        tracker = Tracker(detector)
        assert tracker.config.low_score == 0.3
        assert len(tracker.update(scene.at(0)[0])) == len(detector.predict(scene.at(0)[0]))


def test_another_way_to_link_boxes_fits_in() -> None:
    class ByPlace:
        """An identity for each hundred pixels."""

        def __init__(self, config: TrackConfig) -> None:
            self.config, self.times = config, list[float]()

        def update(self, boxes: Any, scores: Any, class_ids: Any, time: float) -> Any:
            self.times.append(time)
            return boxes[:, 0].astype(np.int64) // 100

        def reset(self) -> None:
            self.times.clear()

    made: list[ByPlace] = []

    def make(config: TrackConfig) -> ByPlace:
        made.append(ByPlace(config))
        return made[0]

    tracker = Tracker(Scripted(), association=make, conf=0.4)
    assert identities(tracker, [[(310, 0, 0.9, 0), (120, 0, 0.8, 1)]] * 2) == [[3, 1]] * 2
    assert made[0].times == [0.0, pytest.approx(1 / 30)]
    assert made[0].config.activation_score == 0.4
    tracker.reset()
    assert made[0].times == []


@pytest.mark.parametrize(
    "settings",
    [
        {"low_score": -0.1},
        {"activation_score": 1.5},
        {"lost_seconds": float("inf")},
        {"lost_seconds": 0.0},
        {"reach": -1.0},
        {"frame_rate": 0.0},
        {"confirm_frames": 1},
        {"confirm_frames": 2.5},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        TrackConfig(**settings)
    with pytest.raises(UsageError, match="unknown threshold 'konf'"):
        Tracker(Scripted(), konf=0.3)  # type: ignore[call-arg]


def test_nothing_found_is_nothing_told() -> None:
    told = Tracker(Scripted()).update([])
    assert len(told) == 0
    assert told.track_ids is not None


def test_a_video_is_tracked_by_its_own_times(nano_onnx: Path, tmp_path: Path) -> None:
    MovingScene(seed=2).write(tmp_path / "scene.avi", seconds=1, frame_rate=10)
    with Detector(nano_onnx) as detector:
        results = list(detector.track(tmp_path / "scene.avi", conf=0.5))
        tracker = Tracker(detector, conf=0.5)
        assert [frame.time for frame, _ in results] == pytest.approx([i / 10 for i in range(10)])
        for frame, detections in results:
            assert detections == tracker.update(frame.image, frame.time)


def test_each_video_of_a_folder_is_followed_by_itself_and_no_identity_is_used_twice(
    nano_onnx: Path, tmp_path: Path
) -> None:
    for name in ("a.avi", "b.avi"):
        MovingScene(seed=2).write(tmp_path / name, seconds=0.5, frame_rate=10)
    cv2.imwrite(str(tmp_path / "c.png"), MovingScene(seed=2).at(0)[0])
    with Detector(nano_onnx, conf=0.5) as detector:
        *found, (_, picture) = (result for result in detector.track(tmp_path))
        alone = [result.detections.track_ids for result in detector.track(tmp_path / "a.avi")]
    assert set(picture.track_ids.tolist()) == {-1}  # a new scene: nobody is confirmed
    first, second = ([detections.track_ids for _, detections in part] for part in (found[:5], found[5:]))
    newest = max(max(ids, default=0) for ids in first)
    assert newest > 0
    for ids, others, expected in zip(first, second, alone, strict=True):
        assert ids.tolist() == expected.tolist()
        assert others.tolist() == np.where(ids > 0, ids + newest, ids).tolist()


def test_without_the_library_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["trackers"] = None
from yolox_deploy import Detector, Tracker
from yolox_deploy.thresholds import Thresholds
class Finds:
    thresholds = Thresholds()
Tracker(Finds())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in done.stderr
    assert "pip install 'yolox-deploy[track]'" in done.stderr


@pytest.mark.slow
def test_identities_of_lost_objects_are_not_kept(measured: Callable[[], int]) -> None:
    """A stream of days: someone new every half second."""
    tracker = Tracker(Scripted(), config=TrackConfig(lost_seconds=0.2))

    def run(count: int) -> None:
        for index in range(count):
            tracker.follow(found([(100 * (index // 5 % 40), 100 * (index // 5 % 7), 0.9, 0)]))

    run(2000)
    before = measured()
    run(4000)
    assert measured() - before < 20_000


@pytest.fixture
def measured() -> Any:
    import gc
    import tracemalloc

    tracemalloc.start()

    def now() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield now
    tracemalloc.stop()
