"""How latency is measured: the protocol as data, with the three ways in which it is run.

Joined from MLPerf's single-stream scenario and trtexec: a closed loop with one stream at batch 1 over
distinct images, warmed up until steady, every sample kept. Several models take turns in short blocks, one
block of each model and scope a round, so that a disturbance of the machine meets all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds

PROTOCOL_VERSION = 1
"""Raised when figures of two versions may not be compared any more."""

SCOPES = ("device", "host", "e2e")
PHASES = ("pre", "infer", "post")
HEADLINE = "host"


@dataclass(frozen=True)
class Protocol:
    """Settings of one benchmark; two runs may be compared where `comparable_key` agrees.

    Scopes, never mixed: "device" (events around the network, where the backend times itself), "host" (host
    memory in, network, host memory out, synchronised, wall clock), "e2e" (decoded image to detections, broken
    out into pre, infer and post). Image decoding is listed apart.

    Attributes:
        name: "default", "quick" or "mlperf".
        seconds: timed at least so long for each model and scope, unless `iterations` are reached first
            ("mlperf": both must be reached).
        iterations: timed at least so often for each model and scope, unless `seconds` passed first.
        rounds: blocks that the timed iterations of a model and scope are divided into.
        openings: how often a file is opened anew during the rounds, where opening is cheap: where its memory
            lies and on which cores its threads start is then sampled instead of frozen.
        warm_up_ms: warmed up at least so long.
        warm_up_windows: consecutive windows of warm-up whose medians must agree …
        warm_up_agreement: … within this share, else the row is marked unsteady.
        settle_ms: untimed at the start of a model's turn, after another one had the machine.
        images: distinct images, at least.
        conf, iou: thresholds of the detections in "e2e".
        seed: of the generated pictures, the order of the models and the bootstrap.
    """

    name: str = "default"
    seconds: float = 60.0
    iterations: int = 1000
    rounds: int = 60
    openings: int = 6
    warm_up_ms: float = 200.0
    warm_up_windows: int = 3
    warm_up_agreement: float = 0.10
    settle_ms: float = 20.0
    images: int = 64
    conf: float = Thresholds.conf
    iou: float = Thresholds.iou
    seed: int = 20210718
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        if self.name not in ("default", "quick", "mlperf"):
            raise UsageError(f"no protocol {self.name!r}; expected default, quick or mlperf")
        if self.seconds <= 0:
            raise UsageError(f"seconds is {self.seconds}; expected more than 0")
        for name in ("iterations", "rounds", "openings", "warm_up_windows", "images"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")

    @classmethod
    def quick(cls) -> Protocol:
        """Three seconds for each model and scope: a first look."""
        return cls(name="quick", seconds=3.0, rounds=24)

    @classmethod
    def mlperf(cls) -> Protocol:
        """At least 1,024 queries and 60 s, and the early-stopping estimate of p90."""
        return cls(name="mlperf", seconds=60.0, iterations=1024)

    @property
    def comparable_key(self) -> dict[str, object]:
        """What must agree before two runs may be compared."""
        names = ("name", "version", "conf", "iou", "images")
        return {f"protocol {name}": getattr(self, name) for name in names}

    def block(self, latency_ms: float) -> int:
        """Timed iterations in one block, so that `rounds` blocks reach the goal."""
        by_time = self.seconds * 1000 / max(latency_ms, 1e-3)
        both = max if self.name == "mlperf" else min
        goal = both(by_time, self.iterations)
        return max(1, math.ceil(goal / self.rounds))

    def settle(self, latency_ms: float) -> int:
        """Untimed iterations when a model's turn comes, at least one."""
        return math.ceil(self.settle_ms / max(latency_ms, 1e-3))

    def is_reached(self, count: int, milliseconds: float) -> bool:
        """Whether `count` iterations that took `milliseconds` together are enough."""
        long_enough, often_enough = milliseconds >= self.seconds * 1000, count >= self.iterations
        if self.name == "mlperf":
            return long_enough and often_enough
        return long_enough or often_enough
