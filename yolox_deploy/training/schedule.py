"""The learning rate of YOLOX: quadratic warm-up, cosine, a flat end (paper, section 2.1, and released code)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from yolox_deploy.errors import UsageError

REFERENCE_BATCH = 64


@dataclass(frozen=True)
class WarmupCosine:
    """When the learning rate has which value; lengths in iterations.

    It rises from `start` to `peak` as the square of time during `warmup`, falls as a cosine to
    `floor_ratio * peak`, and stays there for the last `flat` iterations, which train without augmentation.

    Raises:
        UsageError: the parts do not fit into `total`, or a value is negative.
    """

    peak: float
    total: int
    warmup: int
    flat: int
    floor_ratio: float = 0.05
    start: float = 0.0

    def __post_init__(self) -> None:
        if min(self.peak, self.warmup, self.flat, self.floor_ratio, self.start) < 0:
            raise UsageError(f"A schedule has no negative values; found {self}.")
        if self.warmup + self.flat > self.total:
            raise UsageError(
                f"{self.warmup} iterations of warm-up and {self.flat} at the end do not fit into {self.total}; "
                "train for more epochs or shorten them."
            )


def yolox_warmup_cosine(schedule: WarmupCosine, iteration: int) -> float:
    """The learning rate for `iteration`, counted from 0 (the official code counts the same way)."""
    if iteration < schedule.warmup:
        rise = (iteration / schedule.warmup) ** 2
        return schedule.start + (schedule.peak - schedule.start) * rise
    floor = schedule.peak * schedule.floor_ratio
    falling = schedule.total - schedule.warmup - schedule.flat
    elapsed = iteration - schedule.warmup
    if elapsed >= falling:
        return floor
    return floor + 0.5 * (schedule.peak - floor) * (1.0 + math.cos(math.pi * elapsed / falling))


def scaled_learning_rate(batch: int, rate: float = 0.01) -> float:
    """Linear scaling (paper, section 2.1): `rate` is meant for 64 images, `batch` counts those of all devices."""
    return rate * batch / REFERENCE_BATCH
