"""Targets of the augmentation are distributed as those of the released code, told here again without pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from yolox_deploy.data.dataset import Objects
from yolox_deploy.training.augment.geometry import random_affine
from yolox_deploy.training.augment.pipeline import Augmenter
from yolox_deploy.training.config import Augmentation

HEIGHT, WIDTH = SIZE = (96, 128)
SIZES = ((90, 120), (120, 90), (64, 128), (200, 60), (48, 64), (100, 100))
DRAWS = 2500
SETTINGS = Augmentation(hsv=0)


class Outlines:
    """Pictures of 40 sizes and 0 to 9 objects each, whose pixels nobody looks at."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.sizes = [SIZES[number % len(SIZES)] for number in range(40)]
        self.boxes = [self._draw(rng, *size) for size in self.sizes]

    @staticmethod
    def _draw(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        sides = rng.uniform(0.02, 0.8, (rng.integers(10), 2)) * (width, height)
        corners = rng.uniform(0, 1, sides.shape) * ((width, height) - sides)
        return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)

    def __len__(self) -> int:
        return len(self.sizes)

    def load(self, index: int) -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)

    def size(self, index: int) -> tuple[int, int]:
        return self.sizes[index]

    def objects(self, index: int) -> Objects:
        boxes = self.boxes[index]
        return Objects(boxes, np.zeros(len(boxes), np.int64), ((),) * len(boxes))

    def with_objects(self, *, masks: bool = False) -> np.ndarray:
        return np.flatnonzero([len(boxes) > 0 and not masks for boxes in self.boxes])


def released_boxes(
    pictures: Outlines, index: int, settings: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """(n, 4) x1, y1, x2, y2 before a sample's tiny boxes are dropped, step by step, box by box."""
    boxes = released_mosaic(pictures, index, settings, rng)
    if boxes and rng.random() < settings.mixup:
        boxes += released_mix_up(pictures, settings, rng)
    if rng.random() < settings.flip:
        boxes = [(WIDTH - x2, y1, WIDTH - x1, y2) for x1, y1, x2, y2 in boxes]
    return np.array(boxes, float).reshape(-1, 4)


def released_mosaic(
    pictures: Outlines, index: int, settings: Augmentation, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    centre_y, centre_x = int(rng.uniform(0.5, 1.5) * HEIGHT), int(rng.uniform(0.5, 1.5) * WIDTH)
    on_canvas = []
    for place, number in enumerate([index, *(int(rng.integers(len(pictures))) for _ in range(3))]):
        height, width = pictures.sizes[number]
        ratio = min(HEIGHT / height, WIDTH / width)
        left = centre_x - int(width * ratio) if place in (0, 2) else centre_x
        top = centre_y - int(height * ratio) if place in (0, 1) else centre_y
        for x1, y1, x2, y2 in pictures.boxes[number].tolist():
            xs = [min(max(ratio * x + left, 0), 2 * WIDTH) for x in (x1, x2)]
            ys = [min(max(ratio * y + top, 0), 2 * HEIGHT) for y in (y1, y2)]
            on_canvas.append((xs, ys))
    matrix = released_matrix(settings, rng)
    boxes = []
    for xs, ys in on_canvas:
        points = []
        for x in xs:
            for y in ys:
                points.append([a * x + b * y + c for a, b, c in matrix])
        clipped = [(min(max(x, 0), WIDTH), min(max(y, 0), HEIGHT)) for x, y in points]
        boxes.append((*map(min, zip(*clipped, strict=True)), *map(max, zip(*clipped, strict=True))))
    return boxes


def released_matrix(settings: Augmentation, rng: np.random.Generator) -> list[list[float]]:
    """Two rows of a map: turned and scaled about the canvas's corner, then sheared, then shifted."""
    angle = math.radians(rng.uniform(-settings.degrees, settings.degrees))
    scale = rng.uniform(*settings.mosaic_scale)
    turned = [
        [scale * math.cos(angle), scale * math.sin(angle)],
        [-scale * math.sin(angle), scale * math.cos(angle)],
    ]
    rows = []
    for own, other, side in ((0, 1, WIDTH), (1, 0, HEIGHT)):
        shear = math.tan(math.radians(rng.uniform(-settings.shear, settings.shear)))
        rows.append([turned[own][column] + shear * turned[other][column] for column in (0, 1)])
        rows[-1].append(rng.uniform(-settings.translate, settings.translate) * side)
    return rows


def released_mix_up(
    pictures: Outlines, settings: Augmentation, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    factor, flip = rng.uniform(*settings.mixup_scale), rng.random() > 0.5
    index = int(rng.choice([number for number, boxes in enumerate(pictures.boxes) if len(boxes)]))
    height, width = pictures.sizes[index]
    ratio = min(HEIGHT / height, WIDTH / width) * factor
    canvas_h, canvas_w = int(HEIGHT * factor), int(WIDTH * factor)
    top = int(rng.integers(0, canvas_h - HEIGHT)) if canvas_h > HEIGHT else 0
    left = int(rng.integers(0, canvas_w - WIDTH)) if canvas_w > WIDTH else 0
    boxes = []
    for x1, y1, x2, y2 in (pictures.boxes[index] * ratio).tolist():
        x1, x2 = min(x1, canvas_w), min(x2, canvas_w)
        y1, y2 = min(y1, canvas_h), min(y2, canvas_h)
        if flip:
            x1, x2 = canvas_w - x2, canvas_w - x1
        xs = [min(max(x - left, 0), WIDTH) for x in (x1, x2)]
        ys = [min(max(y - top, 0), HEIGHT) for y in (y1, y2)]
        boxes.append((xs[0], ys[0], xs[1], ys[1]))
    return boxes


def figures(samples: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Figure -> its values over (n, 4) rows of cx, cy, w, h a sample; boxes of at most a pixel do not count."""
    kept = [rows[rows[:, 2:].min(axis=1) > 1] for rows in samples]
    columns = np.concatenate(kept).T
    counts = np.array([len(rows) for rows in kept])
    largest = np.array([rows[:, 2:].prod(axis=1).max() for rows in kept if len(rows)])
    return {**dict(zip(("cx", "cy", "w", "h"), columns, strict=True)), "count": counts, "largest": largest}


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """The greatest difference between two empirical distribution functions."""
    at = np.union1d(first, second)
    shares = (np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (first, second))
    return float(np.abs(np.subtract(*shares)).max())


def ours(settings: Augmentation) -> dict[str, np.ndarray]:
    pictures, samples = Outlines(), []
    augmenter = Augmenter(pictures, SIZE, settings)
    for number in range(DRAWS):
        targets = augmenter(number % len(pictures), np.random.default_rng([1, number])).targets
        samples.append(targets[:, 1:])
    return figures(samples)


@pytest.fixture(scope="module")
def released() -> dict[str, np.ndarray]:
    pictures, rng = Outlines(), np.random.default_rng(2)
    samples = []
    for number in range(DRAWS):
        corners = released_boxes(pictures, number % len(pictures), SETTINGS, rng)
        sides = corners[:, 2:] - corners[:, :2]
        samples.append(np.concatenate([corners[:, :2] + sides / 2, sides], axis=1))
    return figures(samples)


# Two runs of the released way differ by up to 0.03; the recipes below by at least 0.07.
LIMIT = 0.045


def test_same_distribution(released: dict[str, np.ndarray]) -> None:
    drawn = ours(SETTINGS)
    distances = {name: kolmogorov_smirnov(drawn[name], released[name]) for name in released}
    assert max(distances.values()) < LIMIT, distances


@pytest.mark.parametrize("change", [{"mosaic_scale": (0.5, 1.5)}, {"mixup": 0.8}])
def test_another_recipe_is_noticed(released: dict[str, np.ndarray], change: dict[str, object]) -> None:
    drawn = ours(dataclasses.replace(SETTINGS, **change))
    assert max(kolmogorov_smirnov(drawn[name], released[name]) for name in released) > LIMIT


def matrices(settings: Augmentation) -> np.ndarray:
    """(6, n) entries of random affine maps."""
    rng = np.random.default_rng(4)
    return np.array([random_affine(rng, SIZE, settings).ravel() for _ in range(8000)]).T


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"mosaic_scale": (0.1, 1.8)}, False),
        ({"mosaic_scale": (0.2, 2.0)}, False),
        ({"degrees": 12.0}, False),
        ({"shear": 4.0}, False),
        ({"translate": 0.12}, False),
    ],
)
def test_distribution_of_affine_maps(change: dict[str, object], same: bool) -> None:
    """Entries, and the determinant, the angles that the axes are turned by, and the angle between them."""
    rng = np.random.default_rng(5)
    released = np.array([np.ravel(released_matrix(SETTINGS, rng)) for _ in range(8000)]).T
    drawn = matrices(dataclasses.replace(SETTINGS, **change))
    mine, theirs = (
        (*m, det := m[0] * m[4] - m[1] * m[3], m[1] / m[4], m[3] / m[0], (m[0] * m[1] + m[3] * m[4]) / det)
        for m in (drawn, released)
    )
    assert (max(map(kolmogorov_smirnov, mine, theirs)) < 0.03) == same
