"""Frames that wait, and the turns in which they are taken."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator, Iterator

import numpy as np
import pytest

from yolox_deploy.buffers import FrameBuffer, Turns, distinct
from yolox_deploy.capture import Frame
from yolox_deploy.errors import InputError

PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames of")]


class Tap:
    """A source that gives a frame when told, and fails or ends when told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps = threading.Semaphore(0)
        self._given, self._total = 0, 0
        self._failure: Exception | None = None
        self._ended, self.closed = False, threading.Event()

    def give(self, frames: int = 1) -> None:
        self._total += frames
        self._steps.release(frames)

    def end(self, failure: Exception | None = None) -> None:
        self._failure, self._ended = failure, True
        self._steps.release()

    def __iter__(self) -> Generator[Frame, None, None]:
        try:
            while self._steps.acquire(timeout=30):
                if self._given == self._total and self._ended:
                    if self._failure is not None:
                        raise self._failure
                    return
                yield Frame(PICTURE, self._given, self.name)
                self._given += 1
        finally:
            self.closed.set()


def waiting(buffer: FrameBuffer, frames: int) -> None:
    """Wait until so many frames appeared."""
    deadline = threading.Event()
    for _ in range(3000):
        if buffer.appeared >= frames:
            return
        deadline.wait(0.01)
    raise AssertionError(f"{buffer.appeared} of {frames} frames appeared")


def drain(turns: Turns) -> list[int]:
    """Numbers of the sources, in the order in which their frames were taken, until all have ended."""
    found: list[int] = []
    while (taken := turns.take()) is not None:
        found.append(taken[0])
    return found


def test_the_latest_frames_wait_and_the_source_is_closed_at_its_end() -> None:
    turns, tap = Turns(), Tap("door")
    buffer = turns.add(iter(tap), "door", 3)
    tap.give(10)
    tap.end(InputError("broken"))
    with turns:
        waiting(buffer, 10)
        assert tap.closed.wait(30)
        assert [taken[1].index for _ in range(3) if (taken := turns.take())] == [7, 8, 9]
        with pytest.raises(InputError, match="broken"):
            turns.take()


def test_where_it_was_stopped_nothing_is_taken_and_nothing_raised() -> None:
    turns, tap = Turns(), Tap("door")
    turns.add(iter(tap), "door")
    tap.give()
    tap.end(InputError("broken"))
    with turns:
        turns.stop()
        assert turns.take() is None
    assert tap.closed.wait(30)


def test_leaving_releases_the_device() -> None:
    closed = threading.Event()

    def endless() -> Generator[Frame, None, None]:
        try:
            while True:
                yield Frame(PICTURE, 0, "made")
                closed.wait(0.001)
        finally:
            closed.set()

    turns = Turns()
    turns.add(endless(), "made")
    with turns:
        assert turns.take() is not None
    assert closed.is_set()


def test_a_source_that_says_nothing_for_too_long_is_given_up() -> None:
    turns, tap = Turns(), Tap("door")
    turns.add(iter(tap), "door", silence=0.2)
    with turns:
        with pytest.raises(InputError, match="door gave no frame for 0 s"):
            turns.take()
        tap.end()


def test_who_has_a_frame_is_taken_in_turn_and_nobody_waits_for_the_others() -> None:
    turns, taps = Turns(), [Tap(name) for name in "abc"]
    buffers = [turns.add(iter(tap), tap.name, 9) for tap in taps]
    for tap, count in zip(taps, (4, 1, 2), strict=True):
        tap.give(count)
    with turns:
        for buffer, count in zip(buffers, (4, 1, 2), strict=True):
            waiting(buffer, count)
        order = [turns.take() for _ in range(7)]
        assert [taken[0] for taken in order if taken] == [0, 1, 2, 0, 2, 0, 0]
        taps[1].give()  # the others say nothing
        assert (turns.take() or (9,))[0] == 1
        for tap in taps:
            tap.end()
        assert turns.take() is None


def test_one_that_is_lost_does_not_end_the_others_and_is_raised_in_the_end() -> None:
    turns, lost, kept = Turns(), Tap("lost"), Tap("kept")
    first, second = turns.add(iter(lost), "lost"), turns.add(iter(kept), "kept")
    lost.end(InputError("lost was lost"))
    taken: list[int] = []

    def to_the_end() -> None:
        kept.give()
        while (found := turns.take()) is not None:
            taken.append(found[0])
            if len(taken) < 3:
                kept.give()
            else:
                kept.end()

    with turns:
        first.join(30)
        with (
            pytest.warns(UserWarning, match="lost was lost; the other sources go on"),
            pytest.raises(InputError, match=r"^lost was lost$"),
        ):
            to_the_end()
    assert (taken, second.appeared) == ([1, 1, 1], 3)


def test_several_that_are_lost_are_all_named() -> None:
    turns, taps = Turns(), [Tap("a"), Tap("b"), Tap("c")]
    for tap in taps:
        turns.add(iter(tap), tap.name)
        tap.end(InputError(f"{tap.name} is gone") if tap.name != "b" else None)
    with turns, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether anybody was left to go on depends on the threads
        with pytest.raises(InputError, match=r"^2 of 3 sources were lost: a is gone; c is gone$"):
            drain(turns)


def test_the_silence_of_one_source_is_heard_while_another_talks() -> None:
    turns, silent = Turns(), Tap("silent")
    pause, talked = threading.Event(), threading.Event()

    def talking() -> Generator[Frame, None, None]:
        for index in range(40):
            yield Frame(PICTURE, index, "talking")
            pause.wait(0.02)
        talked.set()

    turns.add(iter(silent), "silent", silence=0.1)
    turns.add(talking(), "talking")
    with turns:
        with (
            pytest.warns(UserWarning, match="silent gave no frame"),
            pytest.raises(InputError, match=r"^silent gave"),
        ):
            drain(turns)
        silent.end()
    assert talked.is_set()


def test_a_loss_is_told_at_once_also_where_others_always_have_a_frame() -> None:
    turns, lost, silent, busy = Turns(), Tap("lost"), Tap("silent"), Tap("busy")
    turns.add(iter(lost), "lost")
    turns.add(iter(silent), "silent", silence=0.0)
    waits = turns.add(iter(busy), "busy", 9)
    lost.end(InputError("lost was lost"))
    busy.give(9)
    with turns:
        assert lost.closed.wait(30)
        turns.buffers[0].join(30)
        waiting(waits, 9)
        with pytest.warns(UserWarning, match="go on") as told:
            assert (turns.take() or (9,))[0] == 2
        assert sorted(str(item.message).split(" ")[0] for item in told) == ["lost", "silent"]
        turns.stop()
        busy.end()
        silent.end()


def test_names_are_kept_apart() -> None:
    assert distinct(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


def test_what_waits_is_bounded_in_bytes() -> None:
    large = np.broadcast_to(np.uint8(0), (10_000, 10_000, 3))  # 300 MB that take no memory
    frames = (Frame(large, index, "large") for index in range(9))
    turns = Turns()
    buffer = turns.add(frames, "large", maxlen=8)
    with turns:
        waiting(buffer, 9)
        taken = [turns.take() for _ in range(3)]
        assert [frame.index for _, frame in filter(None, taken)] == [6, 7, 8]
        assert turns.take() is None
