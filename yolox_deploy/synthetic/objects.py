"""The classes of generated scenes. Every call draws another ball, cup, …

Proportions, colours and small details are random; what makes the class is the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from yolox_deploy.synthetic.sketch import (
    FULL_TURN,
    Colour,
    Part,
    Points,
    Sketch,
    ellipse,
    on_circle,
    random_colour,
    rectangle,
    rounded,
    shade,
)

FIFTHS = np.arange(5) * FULL_TURN / 5


def draw_ball(rng: np.random.Generator) -> Sketch:
    """A beach ball, a basketball or a football."""
    base = random_colour(rng)
    style = rng.integers(3)
    if style == 2:
        base = shade(base, 255, 0.6)
    dark = shade(base, 0, 0.7)
    parts = (_beach_ball(rng), _basketball(dark), _football(dark))[style]
    shine = Part(ellipse((-0.2, -0.25), (0.1, 0.06)), shade(base, 255, 0.7))
    return Sketch(((ellipse((0, 0), (0.5, 0.5)), True),), (*parts, shine), base, dark)


def _beach_ball(rng: np.random.Generator) -> list[Part]:
    colour, pole, wedges = random_colour(rng), rng.uniform(-0.2, 0.2, 2), int(rng.integers(3, 5))
    arcs = [
        ellipse((0, 0), (0.6, 0.6), a, a + np.pi / wedges) for a in np.arange(wedges) * FULL_TURN / wedges
    ]
    cap = Part(ellipse((pole[0], pole[1]), (0.07, 0.07)), shade(colour, 255, 0.7))
    return [*(Part(np.vstack((pole, arc)), colour) for arc in arcs), cap]


def _basketball(seam: Colour) -> list[Part]:
    cross = (np.array([(-0.6, 0), (0.6, 0)]), np.array([(0, -0.6), (0, 0.6)]))
    sides = (ellipse((-0.6, 0), (0.35, 0.5)), ellipse((0.6, 0), (0.35, 0.5)))
    return [Part(line, seam, 0.03) for line in (*cross, *sides)]


def _football(seam: Colour) -> list[Part]:
    parts = [Part(on_circle(FIFTHS, 0.17), seam)]
    for centre in on_circle(FIFTHS, 0.44):
        angle = float(np.arctan2(centre[1], centre[0]))
        parts.append(Part(np.array([(0, 0), centre]), seam, 0.02))
        parts.append(Part(centre + on_circle(FIFTHS + angle + np.pi, 0.17), seam))
    return parts


def draw_cup(rng: np.random.Generator) -> Sketch:
    """A cup with a handle, seen from a little above."""
    base, drink = random_colour(rng), random_colour(rng, (0.1, 0.4))
    dark = shade(base, 0, 0.65)
    height, top, rim = rng.uniform(0.38, 0.5), rng.uniform(0.34, 0.44), rng.uniform(0.06, 0.12)
    bottom = top * rng.uniform(0.6, 1.0)
    mouth, foot = ellipse((0, -height), (top, rim), np.pi), ellipse((0, height), (bottom, rim), 0, np.pi)
    body = np.vstack((mouth, foot))
    handle = ((top + bottom) / 2, rng.uniform(-0.1, 0.05) * height)
    reach, tall, thick = rng.uniform(0.22, 0.32), height * rng.uniform(0.5, 0.65), rng.uniform(0.08, 0.12)
    outline = (
        (ellipse(handle, (reach, tall)), True),
        (ellipse(handle, (reach - thick, tall - thick)), False),
        (body, True),
    )
    parts = (
        Part(np.vstack((mouth[-1], foot[0])), dark, 0.02),
        *_cup_decoration(rng, height, top, rim),
        Part(ellipse((0, -height), (top, rim)), shade(base, 255, 0.5)),
        Part(ellipse((0, 0.01 - height), (top - 0.035, rim - 0.02)), drink),
    )
    return Sketch(outline, parts, base, dark, tilt=0.45)


def _cup_decoration(rng: np.random.Generator, height: float, top: float, rim: float) -> list[Part]:
    colour, style = random_colour(rng), rng.integers(4)
    if style == 0:
        level, width = rng.uniform(-0.4, 0.6) * height, rng.uniform(0.08, 0.2)
        return [Part(ellipse((0, level), (top, rim), 0, np.pi), colour, width)]
    if style == 1:
        spots = [(x, y * height) for x in (-0.22, 0.0, 0.22) for y in (-0.25, 0.25, 0.75)]
        return [Part(ellipse(spot, (0.05, 0.05)), colour) for spot in spots]
    return [Part(ellipse((0, 0.2 * height), (0.16, 0.16)), colour)] if style == 2 else []


def draw_fish(rng: np.random.Generator) -> Sketch:
    """A fish that looks to the left."""
    base, accent = random_colour(rng), random_colour(rng)
    dark, height = shade(base, 0, 0.65), rng.uniform(0.2, 0.34)
    along = np.linspace(0, 1, 32)
    half = height * np.sin(np.pi * along ** rng.uniform(0.65, 0.9)) ** 0.85
    back, belly = np.stack((along - 0.5, -half), 1), np.stack((along - 0.5, half), 1)
    body = np.vstack((back, belly[::-1]))
    spread, end = height * rng.uniform(0.75, 1.1), rng.uniform(0.65, 0.75)
    notch = (end - rng.uniform(0.06, 0.14), 0.0)
    tail = rounded(np.array([(0.36, 0.0), (end, -spread), notch, (end, spread)]), 1)
    lift = height * rng.uniform(1.2, 1.5)
    fin = rounded(np.array([(-0.2, -0.8 * height), (0.05, -lift), (0.24, -lift), (0.2, 0)]), 2)
    side_fin = rounded(np.array([(-0.08, 0.1), (0.14, 0.02), (0.1, 0.35)]) * (1, height / 0.35), 2)
    gill, eye = ellipse((-0.3, 0), (0.08, 0.6 * height), -1.2, 1.2), (-0.35, -0.22 * height)
    parts = [Part(tail, accent), Part(fin, accent), Part(body, base)]
    if rng.random() < 0.6:
        stripes = np.linspace(-0.12, 0.25, int(rng.integers(2, 4)))
        reach = 0.8 * np.interp(stripes + 0.5, along, half)
        arcs = [
            ellipse((x, 0), (0.05, y), -np.pi / 2, np.pi / 2) for x, y in zip(stripes, reach, strict=True)
        ]
        parts += [Part(arc, accent, 0.05) for arc in arcs]
    else:
        parts.append(Part(np.vstack((belly, belly[::-1] * (1, 0.35))), shade(base, 255, 0.5)))
    parts += [Part(gill, dark, 0.02), Part(side_fin, accent)]
    parts += [
        Part(ellipse(eye, (0.05, 0.05)), (250, 250, 250)),
        Part(ellipse(eye, (0.026, 0.026)), (20, 20, 20)),
    ]
    return Sketch(((tail, True), (fin, True), (body, True)), tuple(parts), base, dark, tilt=0.7)


def draw_key(rng: np.random.Generator) -> Sketch:
    """A door key: a bow with a hole, a shaft, two or three teeth."""
    base = random_colour(rng, (0.5, 1.0), (0, 0.8))
    dark, light = shade(base, 0, 0.6), shade(base, 255, 0.5)
    radius, half, end = rng.uniform(0.24, 0.3), rng.uniform(0.055, 0.08), rng.uniform(0.62, 0.85)
    shaft = rectangle(0.5 * radius, -half, end, half)
    outline = [(points, True) for points in (*_bow(rng, radius), shaft)]
    wide, right = rng.uniform(0.07, 0.1), end
    for _ in range(int(rng.integers(2, 4))):
        outline.append((rectangle(right - wide, 0, right, half + rng.uniform(0.1, 0.2)), True))
        right -= wide * rng.uniform(1.5, 1.9)
    hole = ellipse((-0.15 * radius, 0), (0.5 * radius, radius * rng.uniform(0.4, 0.6)))
    outline.append((hole, False))
    groove = np.array([(radius, -0.2 * half), (end - 0.06, -0.2 * half)])
    parts = (
        Part(hole * 1.25, shade(base, 0, 0.25), 0.03),
        Part(groove, dark, 0.025),
        Part(groove - (0, 0.03), light, 0.02),
    )
    return Sketch(tuple(outline), parts, base, dark)


def _bow(rng: np.random.Generator, radius: float) -> list[Points]:
    """Round, square or of three lobes."""
    style = rng.integers(3)
    if style == 0:
        return [ellipse((0, 0), (radius * rng.uniform(0.8, 1), radius))]
    if style == 1:
        return [rounded(rectangle(-radius, -radius, radius, radius), 3)]
    lobes = ((-0.6, 0.0), (0.1, -0.65), (0.1, 0.65))
    return [ellipse((x * radius, y * radius), (0.62 * radius, 0.62 * radius)) for x, y in lobes]


def draw_leaf(rng: np.random.Generator) -> Sketch:
    """A pointed leaf with stem and veins; its edge is smooth or toothed."""
    base = random_colour(rng)
    dark = shade(base, 0, 0.55)
    along = np.linspace(0, 1, 65)
    width = rng.uniform(0.2, 0.32) * np.sin(np.pi * along ** rng.uniform(0.6, 0.9))
    if rng.random() < 0.5:
        width = width * (1 - 0.22 * (along * rng.integers(7, 11) % 1))
    rib = np.stack((along - 0.5, rng.uniform(-0.12, 0.12) * np.sin(np.pi * along)), 1)
    sides = [rib + np.stack((0 * along, sign * width), 1) for sign in (-1, 1)]
    blade = np.vstack((sides[0], sides[1][::-1]))
    end, half = np.array((rng.uniform(-0.75, -0.65), rng.uniform(-0.08, 0.08))), (0, rng.uniform(0.02, 0.03))
    stem = np.vstack((rib[4] + half, rib[4] - half, end - half, end + half))
    vein = shade(base, 255, 0.4) if rng.random() < 0.6 else dark
    parts = [Part(np.vstack((rib, sides[1][::-1])), shade(base, 0, rng.uniform(0.05, 0.25)))]
    for start in range(8, 52, int(rng.integers(7, 11))):
        for side in sides:
            tip = 0.2 * rib[start + 9] + 0.8 * side[start + 9]
            parts.append(Part(np.vstack((rib[start], tip)), vein, 0.012))
    parts.append(Part(rib, vein, 0.022))
    return Sketch(((stem, True), (blade, True)), tuple(parts), base, dark)


def draw_star(rng: np.random.Generator) -> Sketch:
    """A five-pointed star: faceted, with another star inside, with a face, or with a line along its edge."""
    base = random_colour(rng)
    dark, black = shade(base, 0, 0.6), (25.0, 25.0, 25.0)
    angles = np.arange(10) * FULL_TURN / 10 - np.pi / 2
    corners = on_circle(angles, np.where(np.arange(10) % 2, 0.5 * rng.uniform(0.4, 0.56), 0.5))
    style = rng.integers(4)
    if style == 0:
        facets = [np.vstack(((0, 0), 1.1 * corners[tip : tip + 2])) for tip in range(0, 10, 2)]
        parts = [Part(facet, shade(base, 0, 0.3)) for facet in facets]
    elif style == 1:
        parts = [Part(corners * rng.uniform(0.5, 0.7), random_colour(rng))]
    elif style == 2:
        smile = ellipse((0, 0.04), (0.1, 0.08), 0.3, np.pi - 0.3)
        eyes = [Part(ellipse((x, -0.06), (0.03, 0.05)), black) for x in (-0.09, 0.09)]
        parts = [*eyes, Part(smile, black, 0.022)]
    else:
        parts = [Part(0.78 * np.vstack((corners, corners[:1])), shade(base, 255, 0.45), 0.025)]
    return Sketch(((rounded(corners, int(rng.integers(3))), True),), tuple(parts), base, dark)


SKETCHES: Mapping[str, Callable[[np.random.Generator], Sketch]] = MappingProxyType(
    {
        "ball": draw_ball,
        "cup": draw_cup,
        "fish": draw_fish,
        "key": draw_key,
        "leaf": draw_leaf,
        "star": draw_star,
    }
)
CLASS_NAMES: tuple[str, ...] = tuple(SKETCHES)
