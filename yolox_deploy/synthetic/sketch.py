"""What an object of a generated scene is drawn from: polygons and lines in a unit frame, and colours.

x points right and y down; an object is about one unit large.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(k, 2) x, y."""
Colour = tuple[float, float, float]
"""Blue, green, red, 0-255."""
Range = tuple[float, float]
FULL_TURN = 2 * np.pi


@dataclass(frozen=True, eq=False)
class Part:
    """A detail inside an object: a filled polygon, or a line `width` units wide."""

    points: Points
    colour: Colour
    width: float = 0.0


@dataclass(frozen=True, eq=False)
class Sketch:
    """One object in its unit frame.

    Attributes:
        outline: polygons in drawing order with whether they fill (True) or cut a hole (False).
        parts: details in drawing order; the outline clips them.
        colour: of the body.
        edge: colour of the line along the outline.
        tilt: greatest rotation in radians from upright.
    """

    outline: tuple[tuple[Points, bool], ...]
    parts: tuple[Part, ...]
    colour: Colour
    edge: Colour
    tilt: float = np.pi


def random_colour(
    rng: np.random.Generator, value: Range = (0.5, 1.0), saturation: Range = (0.0, 1.0)
) -> Colour:
    """A colour of any hue; value and saturation (0-1) come from their ranges."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return 255 * blue, 255 * green, 255 * red


def shade(colour: Colour, grey: float, share: float) -> Colour:
    """`colour` moved by `share` (0-1) towards the level `grey` (0-255)."""
    blue, green, red = ((1 - share) * channel + share * grey for channel in colour)
    return blue, green, red


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], start: float = 0.0, end: float = FULL_TURN
) -> Points:
    """48 points along an elliptic arc; angles in radians, clockwise on the screen from the positive x axis."""
    angle = np.linspace(start, end, 48)
    return np.stack((centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)), axis=1)


def on_circle(angles: NDArray[np.float64], radius: float | NDArray[np.float64]) -> Points:
    """Points at angles (radians) on a circle around (0, 0)."""
    return np.stack((radius * np.cos(angles), radius * np.sin(angles)), axis=1)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """The four corners."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def rounded(points: Points, rounds: int) -> Points:
    """Cut the corners of a closed polygon (Chaikin), `rounds` times."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        points = np.stack((0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after), axis=1).reshape(-1, 2)
    return points
