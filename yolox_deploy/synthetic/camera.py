"""The path of an imagined camera over a still picture: pans, zooms and shakes as smooth functions of time.

Since the view is a function of the time alone, the same motion sampled at 10 or 60 frames a second is the same path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yolox_deploy.errors import UsageError

COVERAGE = 0.7
"""Share of the largest window of the frame's shape that is seen at the middle of the zoom."""
ZOOM_HERTZ = 0.19
SHAKES = ((5.3, 0.7), (8.1, 0.3))
"""Frequencies of the shaking in Hz, with their shares of its amplitude."""


@dataclass(frozen=True)
class Motion:
    """How the camera moves.

    Attributes:
        speed: of the pan at its fastest, frame widths a second, at the middle of the zoom.
        zoom: how far it zooms in and out: the window's width varies by factors of exp(±zoom).
        shake: amplitude of the shaking, frame widths.
    """

    speed: float = 0.25
    zoom: float = 0.15
    shake: float = 0.004

    def __post_init__(self) -> None:
        most = -math.log(COVERAGE)
        if not (0 <= self.speed < math.inf and 0 <= self.zoom <= most and 0 <= self.shake <= 0.05):
            raise UsageError(
                f"speed {self.speed}, zoom {self.zoom}, shake {self.shake}; expected at least 0, 0 to {most:.2f}, "
                "0 to 0.05"
            )


@dataclass(frozen=True)
class View:
    """What the camera sees: a point (x, y) of the picture lies at ((x - left) * scale, (y - top) * scale)."""

    left: float
    top: float
    scale: float


def view_at(
    seconds: float, motion: Motion, picture: tuple[int, int], frame: tuple[int, int], seed: int
) -> View:
    """The view at a moment; it never reaches over the picture's edge.

    Args:
        seconds: since the sequence began.
        motion: how the camera moves.
        picture, frame: (H, W) of the still picture and of the frames, in pixels.
        seed: of where in its path the camera begins.
    """
    phases = np.random.default_rng(seed).uniform(0, 2 * math.pi, 7)
    widest = min(picture[1], picture[0] * frame[1] / frame[0])
    zoom = math.sin(2 * math.pi * ZOOM_HERTZ * seconds + phases[0])
    width = widest * COVERAGE * math.exp(motion.zoom * zoom)
    shares = []
    for axis, (extent, side, speed) in enumerate(
        ((picture[1], frame[1], motion.speed), (picture[0], frame[0], motion.speed / 2))
    ):
        middle = widest * COVERAGE
        amplitude = (extent - middle * side / frame[1]) / 2
        hertz = speed * middle / (2 * math.pi * amplitude)
        pan = math.sin(2 * math.pi * hertz * seconds + phases[1 + axis])
        tremble = motion.shake * width * _shake(seconds, phases[3 + 2 * axis : 5 + 2 * axis].tolist())
        window = width * side / frame[1]
        room = (extent - window) / 2
        steady = max(room - motion.shake * width, 0.0)
        shares.append(room + float(np.clip(steady * pan + tremble, -room, room)))
    return View(shares[0], shares[1], frame[1] / width)


def _shake(seconds: float, phases: list[float]) -> float:
    """Trembling of amplitude 1."""
    return sum(
        share * math.sin(2 * math.pi * hertz * seconds + phase)
        for (hertz, share), phase in zip(SHAKES, phases, strict=True)
    )
