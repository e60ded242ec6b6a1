"""The learning rate of YOLOX: quadratic warm-up, cosine, a flat end (paper, section 2.1, and released code)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from yolox_deploy.errors import UsageError

REFERENCE_BATCH = 64
FLOOR_RATIO = 0.05
"""Where the cosine ends, of the peak."""


@dataclass(frozen=True)
class WarmupCosine:
    """When the learning rate has which value; lengths in iterations.

    It rises from 0 to `peak` as the square of time during `warmup`, falls as a cosine to `FLOOR_RATIO * peak`, and
    stays there for the last `flat` iterations, which train without augmentation.

    Raises:
        UsageError: the parts do not fit into `total`, or a value is negative.
    """

    peak: float
    total: int
    warmup: int
    flat: int

    def __post_init__(self) -> None:
        if min(self.peak, self.warmup, self.flat) < 0:
            raise UsageError(f"A schedule has no negative values; found {self}.")
        if self.warmup + self.flat > self.total:
            raise UsageError(
                f"{self.warmup} iterations of warm-up and {self.flat} at the end do not fit into {self.total}; "
                "train for more epochs or shorten them."
            )


def yolox_warmup_cosine(schedule: WarmupCosine, iteration: int) -> float:
    """The learning rate for `iteration`, counted from 0 (the official code counts the same way)."""
    if iteration < schedule.warmup:
        return schedule.peak * (iteration / schedule.warmup) ** 2
    floor = schedule.peak * FLOOR_RATIO
    falling = schedule.total - schedule.warmup - schedule.flat
    elapsed = iteration - schedule.warmup
    if elapsed >= falling:
        return floor
    return floor + 0.5 * (schedule.peak - floor) * (1.0 + math.cos(math.pi * elapsed / falling))


def scaled_learning_rate(batch: int, rate: float = 0.01) -> float:
    """Linear scaling (paper, section 2.1): `rate` is meant for 64 images, `batch` counts those of all devices."""
    return rate * batch / REFERENCE_BATCH
