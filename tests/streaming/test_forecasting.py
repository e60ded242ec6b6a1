"""Boxes moved to the moment they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming import Forecast
from yolox_deploy.streaming.events import StreamEvent
from yolox_deploy.streaming.forecasting import Forecaster

NAMES = ("cat", "dog")
RATE = 30.0


def detections(*boxes: tuple[float, ...], classes: tuple[int, ...] | None = None) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.8, len(boxes)).astype(np.float32),
        np.array(classes or (0,) * len(boxes), np.int64),
        NAMES,
    )


def event(frame: int, found: Detections, latency: float = 0.05) -> StreamEvent:
    time = frame / RATE
    return StreamEvent(frame, time, time, time + latency, found)


def moving(frame: float, speed: float = 6.0, growth: float = 0.0) -> tuple[float, ...]:
    """A box of 60 x 40 that goes `speed` pixels a frame to the right, and grows so many a frame."""
    x, g = 100 + speed * frame, growth * frame
    return (x - g, 50 - g, x + 60 + g, 90 + g)


def test_a_steady_motion_is_continued() -> None:
    forecaster = Forecaster()
    for frame in range(0, 30, 2):
        forecaster.update(event(frame, detections(moving(frame), (300, 300, 340, 330))))
    ahead = forecaster.at(31 / RATE)
    assert ahead.boxes[0] == pytest.approx(moving(31), abs=0.7)
    assert ahead.boxes[1] == pytest.approx((300, 300, 340, 330), abs=1e-3)
    assert ahead.scores.tolist() == detections((0, 0, 1, 1), (0, 0, 1, 1)).scores.tolist()


def test_a_growing_box_grows_on() -> None:
    forecaster = Forecaster()
    for frame in range(30):
        forecaster.update(event(frame, detections(moving(frame, growth=0.5))))
    assert forecaster.at(34 / RATE).boxes[0] == pytest.approx(moving(34, growth=0.5), abs=1.0)


def test_the_moment_of_the_frame_itself_changes_nothing() -> None:
    forecaster = Forecaster()
    for frame in range(5):
        found = detections(moving(frame))
        forecaster.update(event(frame, found))
        assert forecaster.at(frame / RATE) is found


def test_one_answer_alone_stays_where_it_is() -> None:
    forecaster = Forecaster()
    forecaster.update(event(0, detections(moving(0))))
    assert forecaster.at(1.0).boxes[0] == pytest.approx(moving(0))


def test_objects_of_another_class_are_other_objects() -> None:
    forecaster = Forecaster()
    for frame in range(6):
        forecaster.update(event(frame, detections(moving(frame), classes=(frame % 2,))))
    slow = forecaster.at(7 / RATE).boxes[0]
    steady = Forecaster()
    for frame in range(6):
        steady.update(event(frame, detections(moving(frame))))
    assert slow[0] < steady.at(7 / RATE).boxes[0][0]


def test_an_object_that_was_missed_once_keeps_its_velocity() -> None:
    forecaster = Forecaster()
    for frame in range(20):
        found = detections() if frame == 18 else detections(moving(frame))
        forecaster.update(event(frame, found))
    assert forecaster.at(21 / RATE).boxes[0] == pytest.approx(moving(21), abs=1.0)


def test_an_object_missed_for_long_is_forgotten() -> None:
    forecaster = Forecaster(Forecast(keep=0.1))
    for frame in (*range(10), 20):
        found = detections() if frame == 9 else detections(moving(frame))
        forecaster.update(event(frame, found))
    assert forecaster.at(22 / RATE).boxes[0] == pytest.approx(moving(20))


def test_boxes_stay_in_the_picture_and_never_turn_inside_out() -> None:
    forecaster = Forecaster()
    for frame in range(20):
        forecaster.update(event(frame, detections(moving(frame, speed=10), moving(frame, 0, growth=-0.8))))
    ahead = forecaster.at(3.0, (100, 400))
    assert ahead.boxes[0] == pytest.approx(moving(19, speed=10))  # gone: left where it was seen
    assert (ahead.boxes[:, 2:] > ahead.boxes[:, :2]).all()
    clipped = forecaster.at(24 / RATE, (100, 380)).boxes[0]
    assert clipped[2] == 380
    assert clipped[0] > 320


def test_nothing_found_is_nothing_moved() -> None:
    forecaster = Forecaster()
    with pytest.raises(UsageError, match="no answer was taken in"):
        forecaster.at(1.0)
    for frame, found in enumerate((detections(), detections(moving(1)), detections())):
        forecaster.update(event(frame, found))
    assert len(forecaster.at(1.0)) == 0


def test_an_answer_about_an_older_frame_is_ignored() -> None:
    forecaster = Forecaster()
    newer = detections(moving(5))
    forecaster.update(event(5, newer))
    forecaster.update(StreamEvent(3, 3 / RATE, 3 / RATE, 1.0, detections(moving(3))))
    assert forecaster.at(5 / RATE) is newer


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="acceleration is 0"):
        Forecast(acceleration=0)
