"""Simulated and real time: what is drawn, what is dropped, and that both agree."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming import Newest, Queue, RealClock, ShrinkingTail, SimulatedClock


def found(frame: int) -> Detections:
    """A box whose place tells the frame."""
    boxes = np.array([[frame, 0, frame + 10, 10]], np.float32)
    return Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int64), ("cat",))


def test_a_simulated_run_is_a_record() -> None:
    record = SimulatedClock.fixed(0.15).run(
        range(10), found, frame_rate=10, source="door", model={"backend": "none"}
    )
    assert [event.frame for event in record.events] == [0, 1, 3, 4, 6, 7, 9]
    assert (record.frames, record.dropped, record.policy) == (10, 3, "newest")
    assert (record.source, dict(record.model), record.class_names) == ("door", {"backend": "none"}, ("cat",))
    for event in record.events:
        assert event.captured == event.frame / 10
        assert event.end == pytest.approx(event.start + 0.15)
        assert event.detections.boxes[0, 0] == event.frame


def test_no_frames_are_an_empty_record() -> None:
    record = SimulatedClock.fixed(0.1).run([], found, frame_rate=30)
    assert (record.frames, record.dropped, record.events) == (0, 0, ())


def test_drawn_latencies_depend_on_the_seed_alone() -> None:
    samples = (0.01, 0.02, 0.05)
    first, again, other = (
        [
            (event.start, event.end)
            for event in SimulatedClock(samples, seed).run(range(300), found, frame_rate=30).events
        ]
        for seed in (3, 3, 4)
    )
    assert first == again != other
    drawn = list(itertools.islice(SimulatedClock(samples, 3).draws(), 3000))
    assert set(drawn) == set(samples)
    assert np.mean(drawn) == pytest.approx(SimulatedClock(samples).expected, rel=0.05)


@pytest.mark.parametrize("latencies", [(), (-0.1,), (0.1, float("nan"))])
def test_latencies_that_cannot_be_are_refused(latencies: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="expected at least one"):
        SimulatedClock(latencies)


def test_a_quick_detector_answers_every_frame_in_real_time() -> None:
    record = RealClock().run(range(12), found, frame_rate=100, policy=Queue(12), source="door")
    assert [event.frame for event in record.events] == list(range(12))
    assert record.dropped == 0
    for event in record.events:
        assert event.frame / 100 <= event.captured <= event.start <= event.end
        assert event.detections.boxes[0, 0] == event.frame


def test_a_tail_that_is_almost_a_frame_does_not_wait_for_ever_in_real_time() -> None:
    """Waking up late by a moment must not look like the end of a frame, or no frame would ever be begun with."""
    policy = ShrinkingTail(runtime=0.01999999)
    record = RealClock().run(range(100), lambda _: Detections.empty(), frame_rate=100, policy=policy)
    assert len(record.events) >= 5


def test_frames_that_come_while_the_detector_works_are_dropped_in_real_time() -> None:
    """The others come once frame 0 is begun, which is held until all have appeared: only the newest is left."""
    begun = threading.Event()

    class Frames(list[int]):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            assert index == 0 or begun.wait(30)
            return index

    def slow(frame: int) -> Detections:
        begun.set()
        for thread in threading.enumerate():
            if thread.name == "frames of stream":
                thread.join(30)
        return found(frame)

    record = RealClock().run(Frames(range(10)), slow, frame_rate=200, policy=Newest())
    assert [event.frame for event in record.events] == [0, 9]
    assert record.dropped == 8


def test_a_frame_that_cannot_be_read_ends_a_real_run_with_its_number() -> None:
    class Frames(list[int]):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            if index == 3:
                raise OSError("gone")
            return index

    with pytest.raises(InputError, match="frame 3 of the stream cannot be read") as caught:
        RealClock().run(Frames(range(5)), found, frame_rate=200)
    assert isinstance(caught.value.__cause__, OSError)


def test_what_the_detector_raises_ends_a_real_run_and_its_thread() -> None:
    def broken(_: int) -> Detections:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RealClock().run(range(10_000), broken, frame_rate=10)
    assert not any(thread.name == "frames of stream" for thread in threading.enumerate())
