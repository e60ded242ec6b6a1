"""What is not an object in a generated scene: the background, shapes without a label, and the camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.synthetic.sketch import Points, Sketch, ellipse, random_colour, rectangle, rounded, shade

Pixels = NDArray[np.uint8]
TILE = 96
"""Side of the square that a pattern repeats, in pixels before it is scaled and turned."""


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A background of (H, W) = `size`: a gradient, a pattern, clouds or noise, or two of them blended.

    Returns:
        (H, W, 3) BGR.
    """
    image = _gradient(rng, size)
    if rng.random() < 0.45:
        image = _blend(image, _pattern(rng, size), rng.uniform(0.2, 0.9))
    if rng.random() < 0.45:
        image = _blend(image, _clouds(rng, size), rng.uniform(0.2, 0.8))
    if rng.random() < 0.3:
        image = _grain(rng, image, rng.uniform(0.05, 0.25), int(rng.integers(1, 4)))
    return image


def _blend(image: Pixels, other: Pixels, share: float) -> Pixels:
    return np.asarray(cv2.addWeighted(image, 1 - share, other, share, 0), np.uint8)


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    colour = np.array(random_colour(rng, (0.25, 1.0), (0, 0.7)))
    corners = np.clip(colour + rng.uniform(-60, 60, (2, 2, 1)) + rng.uniform(-25, 25, (2, 2, 3)), 0, 255)
    return _enlarge(corners, size)


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Blurred blobs: a few random colours, enlarged."""
    cells = int(rng.integers(3, 14))
    colours = [random_colour(rng, (0.1, 1.0), (0, 0.8)) for _ in range(int(rng.integers(2, 5)))]
    return _enlarge(np.array(colours)[rng.integers(len(colours), size=(cells, cells))], size)


def _enlarge(values: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    interpolation = cv2.INTER_LINEAR if len(values) == 2 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(values.astype(np.uint8), size[::-1], interpolation=interpolation))


def _pattern(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Stripes, checks, dots or bricks, at any angle and scale."""
    first, second = (random_colour(rng, (0.15, 1.0), (0, 0.8)) for _ in range(2))
    tile = np.full((TILE, TILE, 3), first, np.uint8)
    half, style = TILE // 2, rng.integers(4)
    if style == 0:
        tile[:, : int(rng.integers(10, half))] = second
    elif style == 1:
        tile[:half, :half] = second
        tile[half:, half:] = second
    elif style == 2:
        cv2.circle(tile, (half, half), int(rng.integers(8, 24)), second, -1, cv2.LINE_AA)
    else:
        tile[[0, 1, 2, half, half + 1, half + 2]] = second
        tile[:half, :3] = second
        tile[half:, half : half + 3] = second
    scale, side = rng.uniform(0.25, 1.8), int(np.hypot(*size)) + 2
    tile = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    repeats = -(-side // len(tile))
    wall = np.tile(tile, (repeats, repeats, 1))[:side, :side]
    matrix = np.array(cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 180), 1), np.float64)
    matrix[:, 2] -= (side - np.array(size[::-1])) / 2  # to the middle of the picture
    return np.asarray(cv2.warpAffine(wall, matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _grain(rng: np.random.Generator, image: Pixels, strength: float, cell: int = 1) -> Pixels:
    """Add grey noise of +-`strength` x 128 levels in cells of `cell` pixels."""
    height, width = image.shape[:2]
    rows, columns = -(-height // cell), -(-width // cell)
    noise = np.frombuffer(rng.bytes(rows * columns), np.uint8).reshape(rows, columns)
    if cell > 1:
        noise = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR))
    colour = cv2.cvtColor(noise, cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(image, 1, colour, strength, -127.5 * strength), np.uint8)


def draw_distractor(rng: np.random.Generator) -> Sketch:
    """A shape without a label: a bar, rectangle, triangle, crescent or wave."""
    style = rng.integers(5)
    thin = rng.uniform(0.03, 0.08)
    if style == 0:
        shape: Points = rectangle(-0.5, -thin, 0.5, thin)
    elif style == 1:
        shape = rounded(rectangle(-0.5, -0.5, 0.5, 0.5) * (1, rng.uniform(0.4, 1)), int(rng.integers(0, 2)))
    elif style == 2:
        shape = rng.uniform(0.3, 0.5, (3, 1)) * np.array([(-1, 0.7), (1, 0.7), (0, -1)])
    elif style == 3:
        outer = ellipse((0, 0), (0.5, 0.5), 0, np.pi)
        shape = np.vstack((outer, (outer * (1 - 2 * thin, rng.uniform(0.2, 0.8)))[::-1]))
    else:
        along = np.linspace(-0.5, 0.5, 48)
        wave = rng.uniform(0.05, 0.15) * np.sin(along * rng.uniform(6, 20))
        lower = np.stack((along, wave + thin), 1)
        shape = np.vstack((np.stack((along, wave), 1), lower[::-1]))
    colour = random_colour(rng, (0.2, 1.0))
    return Sketch(((shape, True),), (), colour, shade(colour, 0, 0.5))


def photograph(rng: np.random.Generator, image: Pixels) -> Pixels:
    """What a camera adds: light, blur, sensor noise and JPEG; each is drawn at random."""
    if rng.random() < 0.6:
        image = np.asarray(
            cv2.convertScaleAbs(image, alpha=rng.uniform(0.75, 1.2), beta=rng.uniform(-15, 25))
        )
    if rng.random() < 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)))
    if rng.random() < 0.5:
        image = _grain(rng, image, rng.uniform(0.02, 0.12))
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 90))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR))
    return image
