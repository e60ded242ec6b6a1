"""Which frame the detector takes next: pure functions, the same for a simulated, a real and a live stream.

A detector that is free at some moment knows the newest frame that appeared and the one it began with last. Every
policy keeps the latest few of the frames in between and drops older ones, so a policy needs no state of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from yolox_deploy.errors import UsageError

LONGEST_QUEUE = 10_000
ROUNDING = 1e-9
"""Two moments this close, in seconds or frames, are one: i / rate + 1 / rate is not exactly (i + 1) / rate."""


@dataclass(frozen=True)
class Newest:
    """Take the newest frame, at once; frames that came in the meantime are dropped."""


@dataclass(frozen=True)
class Queue:
    """Take the oldest of at most `size` frames that wait; one that comes when the queue is full drops the oldest.

    No frame is lost as long as the detector keeps up on average, at the price of older answers where it does not.
    """

    size: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LONGEST_QUEUE:
            raise UsageError(f"a queue of {self.size} frames; expected 1 to {LONGEST_QUEUE}")


@dataclass(frozen=True)
class ShrinkingTail:
    """Take the newest frame, or idle until the next one where that serves every query as soon with a newer frame.

    Li, Wang, Ramanan, "Towards Streaming Perception" (ECCV 2020), Algorithm 1: with s the present moment and r the
    run time, both in frames, and the tail τ(x) = x - ⌊x⌋, wait if τ(s + r) < τ(s). Started now, the answer comes a
    little after a frame, too late for that frame's query and long before the next one's; an answer about the next
    frame is there for that same query. An answer that comes exactly with a frame does serve its query: there the tail
    is 1, not 0, without which the rule would be worse than `Newest` for run times like 1.5 frames.

    Attributes:
        runtime: seconds that an answer is expected to take; None for the mean of what the clock knows.
    """

    runtime: float | None = None

    def __post_init__(self) -> None:
        if self.runtime is not None and not 0 <= self.runtime < math.inf:
            raise UsageError(f"an expected run time of {self.runtime} s; expected seconds from 0")


Policy: TypeAlias = "Newest | Queue | ShrinkingTail"

NAMES = "newest, queue, queue:N, shrinking-tail"


def next_frame(
    policy: Policy, *, now: float, newest: int, last: int, period: float, expected: float
) -> int | None:
    """The frame to begin with now, or None to wait for the next one.

    Args:
        now: seconds since the stream began.
        newest: the last frame that appeared, -1 before the first.
        last: the frame begun with last, -1 before the first.
        period: seconds from frame to frame.
        expected: seconds that the answer will take, for policies that look ahead.
    """
    if newest <= last:
        return None
    if isinstance(policy, Queue):
        return max(last + 1, newest - policy.size + 1)
    if isinstance(policy, ShrinkingTail):
        runtime = expected if policy.runtime is None else policy.runtime
        if 1 - _until_query((now + runtime) / period) < _since_frame(now / period) - ROUNDING:
            return None
    return newest


def capacity(policy: Policy) -> int:
    """How many of the latest frames the policy may still ask for."""
    return policy.size if isinstance(policy, Queue) else 1


def parse_policy(text: str) -> Policy:
    """The policy that `policy_name` writes: newest, queue, queue:8 or shrinking-tail.

    Raises:
        UsageError: there is none of that name.
    """
    name, _, size = text.partition(":")
    if name == "queue" and (not size or (size.isdecimal() and len(size) < 20)):
        return Queue(int(size)) if size else Queue()
    plain: dict[str, Policy] = {"newest": Newest(), "shrinking-tail": ShrinkingTail()}
    if text not in plain:
        raise UsageError(f"no policy {text!r}; expected one of {NAMES}")
    return plain[text]


def policy_name(policy: Policy) -> str:
    """What to call it in records and tables."""
    if isinstance(policy, Queue):
        return f"queue:{policy.size}"
    return "shrinking-tail" if isinstance(policy, ShrinkingTail) else "newest"


def _since_frame(moment: float) -> float:
    """Frames since the newest one appeared, 0 to below 1."""
    return max(moment - math.floor(moment + ROUNDING), 0.0)


def _until_query(moment: float) -> float:
    """Frames until an answer that is there at `moment` is asked for, 0 to below 1."""
    return max(math.ceil(moment - ROUNDING) - moment, 0.0)
