"""Scenes whose objects move: they cross, hide each other and pass behind pillars, and each frame's truth is exact.

A frame is a function of the time alone, so the same scene can be had at any rate, or with frames left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.video import VideoWriter
from yolox_deploy.synthetic.backgrounds import draw_background
from yolox_deploy.synthetic.canvas import OPAQUE, Canvas, Mask, Pose, draw_mask, paint
from yolox_deploy.synthetic.objects import CLASS_NAMES, SKETCHES
from yolox_deploy.synthetic.sequences import FrameObjects
from yolox_deploy.synthetic.sketch import Sketch, random_colour, rectangle

SIDES = (0.16, 0.26)
"""Long side of an object over the short side of the picture."""
PILLAR_SHARE = 0.12
"""Width of a pillar over that of the picture."""


@dataclass(frozen=True)
class MovingOptions:
    """What moves.

    Attributes:
        objects: how many; half of them walk in rows across the picture, so that they meet.
        classes: which of the drawn classes they are, in turn; () for any.
        pillars: that stand in front of all.
        speed: of an object at its fastest, widths of the picture a second.
        size: (H, W) of the frames, in pixels.
        least_visible: an object of which less than this share is seen is not annotated.
    """

    objects: int = 6
    classes: tuple[str, ...] = ()
    pillars: int = 1
    speed: float = 0.35
    size: tuple[int, int] = (480, 640)
    least_visible: float = 0.3

    def __post_init__(self) -> None:
        unknown = set(self.classes) - set(CLASS_NAMES)
        if unknown:
            raise UsageError(f"unknown classes {', '.join(sorted(unknown))}; known: {', '.join(CLASS_NAMES)}")
        if self.objects < 1 or self.pillars < 0 or not 0 <= self.speed < math.inf or min(self.size) < 64:
            raise UsageError(
                f"{self.objects} objects, {self.pillars} pillars, speed {self.speed}, size {self.size}; expected at "
                "least 1, 0, 0, and 64 pixels a side"
            )


@dataclass(frozen=True, eq=False)
class _Mover:
    """An object as it is drawn with its middle at (0, 0), and where that middle is: a sine along each axis."""

    class_id: int
    mask: Mask
    colour: NDArray[np.uint8]
    whole: int
    centre: NDArray[np.float64]
    reach: NDArray[np.float64]
    hertz: NDArray[np.float64]
    phase: NDArray[np.float64]

    def at(self, seconds: float) -> NDArray[np.float64]:
        return self.centre + self.reach * np.sin(2 * np.pi * self.hertz * seconds + self.phase)


class MovingScene:
    """Drawn objects that move over a still background; the same seed is the same scene.

    Args:
        options: what moves.
        seed: of all randomness, from 0.

    Attributes:
        class_names: of the drawn objects.

    Raises:
        UsageError: options that cannot work.
    """

    def __init__(self, options: MovingOptions = MovingOptions(), *, seed: int = 0) -> None:
        self.options, self.class_names = options, CLASS_NAMES
        rng = np.random.default_rng([seed, 15])
        self._background = draw_background(rng, options.size)
        self._movers = [self._mover(rng, number) for number in range(options.objects)]
        self._pillars = [self._pillar(rng, number) for number in range(options.pillars)]

    def at(self, seconds: float) -> tuple[NDArray[np.uint8], FrameObjects]:
        """The frame of a moment and what is seen in it.

        Returns:
            (H, W, 3) uint8 BGR, and the bounds of what is visible of each object; `tracks` are its numbers from 0.
        """
        canvas = Canvas(self._background.copy())
        for mover in self._movers:
            mask, colour = _placed(mover, mover.at(seconds))
            canvas.paste(mask, colour)
        for pillar, colour in self._pillars:
            canvas.paste(pillar, colour, labelled=False)
        return canvas.image, self._seen(canvas.owner)

    def write(self, path: str | Path, *, seconds: float = 4.0, frame_rate: float = 30.0) -> None:
        """Write a video of the first seconds; the suffix names its format.

        Raises:
            UsageError: it cannot be written, or holds no frame.
        """
        if not 0 < frame_rate < math.inf or seconds * frame_rate < 1:
            raise UsageError(f"{seconds} s at {frame_rate} frames a second; expected at least one frame")
        with VideoWriter(path, frame_rate) as video:
            for index in range(round(seconds * frame_rate)):
                video.add(self.at(index / frame_rate)[0], index / frame_rate)

    def _seen(self, owner: NDArray[np.int32]) -> FrameObjects:
        boxes, areas, tracks = [], [], []
        for number, mover in enumerate(self._movers):
            mask = (owner == number + 1).astype(np.uint8)
            area = cv2.countNonZero(mask)
            if area >= self.options.least_visible * mover.whole:
                x, y, width, height = cv2.boundingRect(mask)
                boxes.append((x, y, x + width, y + height))
                areas.append(area)
                tracks.append(number)
        found = np.array(tracks, np.int64)
        classes = np.array([mover.class_id for mover in self._movers], np.int64)[found]
        return FrameObjects(
            np.array(boxes, np.float64).reshape(-1, 4),
            classes,
            np.array(areas, np.float64),
            np.zeros(len(found), bool),
            found,
        )

    def _mover(self, rng: np.random.Generator, number: int) -> _Mover:
        names: Sequence[str] = self.options.classes
        name = names[number % len(names)] if names else CLASS_NAMES[int(rng.integers(len(CLASS_NAMES)))]
        sketch = SKETCHES[name](rng)
        height, width = self.options.size
        outline = np.vstack([ring for ring, _ in sketch.outline])
        low, high = outline.min(0), outline.max(0)
        scale = min(height, width) * rng.uniform(*SIDES) / (high - low).max()
        middle = -(low + high) / 2 * scale
        pose = Pose(np.eye(2) * scale, (float(middle[0]), float(middle[1])))
        mask = draw_mask(sketch, pose)
        room = np.array([width, height]) / 2 - (high - low) * scale / 2 - 2
        reach = room * (
            rng.uniform(0.8, 1.0),
            rng.uniform(0.05, 0.35) if number % 2 else rng.uniform(0.5, 1.0),
        )
        centre = np.array([width, height]) / 2 + (room - reach) * rng.uniform(-1, 1, 2)
        speed = self.options.speed * width * rng.uniform(0.5, 1.0, 2) * (1, 0.6)
        return _Mover(
            CLASS_NAMES.index(name),
            mask,
            paint(sketch, pose, mask, rng),
            int((mask.alpha >= OPAQUE).sum()),
            centre,
            reach,
            speed / (2 * np.pi * reach),
            rng.uniform(0, 2 * np.pi, 2),
        )

    def _pillar(self, rng: np.random.Generator, number: int) -> tuple[Mask, NDArray[np.uint8]]:
        height, width = self.options.size
        wide = width * PILLAR_SHARE
        left = width * (number + 1) / (self.options.pillars + 1) - wide / 2
        shape = rectangle(left, -4, left + wide, height + 4)
        colour = random_colour(rng, (0.2, 0.6), (0, 0.4))
        sketch = Sketch(((shape, True),), (), colour, colour)
        pose = Pose(np.eye(2), (0.0, 0.0))
        mask = draw_mask(sketch, pose)
        return mask, paint(sketch, pose, mask, rng)


def _placed(mover: _Mover, middle: NDArray[np.float64]) -> tuple[Mask, NDArray[np.uint8]]:
    """The object moved, to fractions of a pixel."""
    whole = np.floor(middle)
    matrix = np.eye(2, 3)
    matrix[:, 2] = middle - whole
    alpha, colour = (
        np.asarray(
            cv2.warpAffine(drawn, matrix, drawn.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8
        )
        for drawn in (mover.mask.alpha, mover.colour)
    )
    x, y = (whole + mover.mask.origin).astype(int).tolist()
    return Mask((x, y), alpha), colour
