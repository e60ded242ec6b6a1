"""Which frame is taken next, and the schedules that follow, worked out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from yolox_deploy.errors import UsageError
from yolox_deploy.streaming import Newest, Queue, ShrinkingTail
from yolox_deploy.streaming.clocks import Slot, simulate
from yolox_deploy.streaming.policies import Policy, capacity, next_frame, parse_policy, policy_name

RATE = 30.0


def schedule(policy: Policy, frames: int, *latencies: float, rate: float = 1.0) -> list[tuple[float, ...]]:
    """(frame, start, end) with times in frames; the last latency repeats."""
    run: Iterable[float] = itertools.chain(latencies, itertools.repeat(latencies[-1]))
    expected = sum(latencies) / len(latencies) / rate
    slots = simulate(frames, rate, (value / rate for value in run), policy, expected)
    return [(slot.frame, round(slot.start * rate, 6), round(slot.end * rate, 6)) for slot in slots]


def test_an_instant_detector_takes_every_frame_at_its_moment() -> None:
    for policy in (Newest(), Queue(3), ShrinkingTail()):
        for rate in (10.0, 29.97, 30.0, 60.0):
            found = simulate(600, rate, itertools.repeat(0.0), policy, 0.0)
            assert found == [Slot(i, i / rate, i / rate) for i in range(600)]


@pytest.mark.parametrize("rate", [1.0, 10.0, 29.97, 30.0, 60.0])
def test_an_answer_of_exactly_one_frame_keeps_up(rate: float) -> None:
    for policy in (Newest(), Queue(3), ShrinkingTail()):
        assert schedule(policy, 600, 1.0, rate=rate) == [(i, i, i + 1) for i in range(600)]


def test_the_newest_frame_wins() -> None:
    """Two and a half frames an answer: at 2.5 the newest is 2, at 5 it is 5."""
    assert schedule(Newest(), 8, 2.5) == [(0, 0, 2.5), (2, 2.5, 5), (5, 5, 7.5), (7, 7.5, 10)]


def test_a_detector_that_is_faster_waits_for_frames() -> None:
    assert schedule(Newest(), 3, 0.25) == [(0, 0, 0.25), (1, 1, 1.25), (2, 2, 2.25)]


def test_one_slow_answer_costs_the_newest_policy_a_frame_and_a_queue_none() -> None:
    """The answer to frame 1 takes 2.5 frames; a queue works it off, the newest policy goes on at frame 3."""
    slow = (0.25, 2.5, 0.25)
    assert schedule(Newest(), 5, *slow) == [(0, 0, 0.25), (1, 1, 3.5), (3, 3.5, 3.75), (4, 4, 4.25)]
    assert schedule(Queue(2), 5, *slow) == [
        *((0, 0, 0.25), (1, 1, 3.5)),
        *((2, 3.5, 3.75), (3, 3.75, 4), (4, 4, 4.25)),
    ]


def test_a_full_queue_drops_its_oldest_frame() -> None:
    """Three frames an answer and room for two: 1 is dropped at 3, and from then on two in three are."""
    assert schedule(Queue(2), 9, 3.0) == [(0, 0, 3), (2, 3, 6), (5, 6, 9), (7, 9, 12), (8, 12, 15)]
    assert schedule(Queue(1), 9, 3.0) == schedule(Newest(), 9, 3.0)


def test_the_shrinking_tail_idles_where_that_serves_the_same_query() -> None:
    """r = 1.75: at 1.75 the tail is 0.75 and would be 0.5 at 3.5, so wait for frame 2; a cycle is two frames long.

    Read at 2 is frame 0, at 3 too, at 4 frame 2: ages 2, 3, 2, 3. Taking the newest reads ages 2, 3, 3, 4, 3, 2, 3.
    """
    assert schedule(ShrinkingTail(), 7, 1.75) == [(0, 0, 1.75), (2, 2, 3.75), (4, 4, 5.75), (6, 6, 7.75)]
    assert schedule(Newest(), 6, 1.75) == [(0, 0, 1.75), (1, 1.75, 3.5), (3, 3.5, 5.25), (5, 5.25, 7)]
    ages = [age(schedule(policy, 1000, 1.75), 1000) for policy in (ShrinkingTail(), Newest())]
    assert ages == pytest.approx([2.5, 20 / 7], abs=0.01)


def test_the_shrinking_tail_starts_at_once_where_waiting_would_miss_a_query() -> None:
    """r = 1.3: at 1.3 the tail is 0.3 and would grow to 0.6, so begin; at 3.9 it would shrink to 0.2, so wait."""
    assert schedule(ShrinkingTail(), 8, 1.3) == [
        *((0, 0, 1.3), (1, 1.3, 2.6), (2, 2.6, 3.9)),
        *((4, 4, 5.3), (5, 5.3, 6.6), (6, 6.6, 7.9)),
    ]


def test_an_answer_that_comes_with_a_frame_is_in_time_for_it() -> None:
    """r = 1.5: begun at 1.5 it ends at 3, when frame 3 asks; waiting for frame 2 would leave that to frame 0."""
    assert schedule(ShrinkingTail(), 7, 1.5) == schedule(Newest(), 7, 1.5)
    assert schedule(Newest(), 5, 1.5) == [(0, 0, 1.5), (1, 1.5, 3), (3, 3, 4.5), (4, 4.5, 6)]


@pytest.mark.parametrize("runtime", [1.1, 1.35, 1.5, 1.75, 2.25, 2.6, 3.5, 4.9])
def test_the_shrinking_tail_never_reads_older_answers_on_average(runtime: float) -> None:
    """The theorem of the paper, for fixed run times above one frame."""
    tail, newest = (age(schedule(policy, 2000, runtime), 2000) for policy in (ShrinkingTail(), Newest()))
    assert tail <= newest + 1e-3


def age(slots: list[tuple[float, ...]], frames: int) -> float:
    """Mean age, in frames, of the answer that is read at each frame from the tenth on."""
    ages = []
    for moment in range(10, frames):
        ages.append(moment - max(frame for frame, _, end in slots if end <= moment))
    return sum(ages) / len(ages)


def test_an_expected_run_time_that_was_given_is_the_one_used() -> None:
    at = {"now": 0.05, "newest": 1, "last": 0, "period": 1 / RATE}
    assert next_frame(ShrinkingTail(0.055), **at, expected=0.001) is None
    assert next_frame(ShrinkingTail(0.001), **at, expected=0.055) == 1
    assert next_frame(ShrinkingTail(), **at, expected=0.055) is None


@pytest.mark.parametrize("policy", [Newest(), Queue(1), Queue(7), ShrinkingTail()])
def test_names_are_read_back(policy: Policy) -> None:
    assert parse_policy(policy_name(policy)) == policy


def test_queues_keep_as_many_frames_as_they_may_ask_for() -> None:
    assert [capacity(policy) for policy in (Newest(), ShrinkingTail(), Queue(5))] == [1, 1, 5]
    assert parse_policy("queue") == Queue()


@pytest.mark.parametrize("text", ["", "latest", "queue:x", "queue:-1", "newest:3", "queue:" + "9" * 5000])
def test_unknown_policies_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected one of newest, queue"):
        parse_policy(text)


def test_sizes_and_times_that_cannot_work_are_refused() -> None:
    for size in ("0", "10001", "9" * 19):
        with pytest.raises(UsageError, match=f"a queue of {size} frames; expected 1 to 10000"):
            parse_policy(f"queue:{size}")
    with pytest.raises(UsageError, match="expected run time of -1"):
        ShrinkingTail(-1)
