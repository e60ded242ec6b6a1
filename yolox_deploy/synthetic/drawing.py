"""Drawing one scene: objects at random places that keep each other visible, then what is seen of each."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError
from yolox_deploy.synthetic.backgrounds import draw_background, draw_distractor, photograph
from yolox_deploy.synthetic.canvas import Canvas, Mask, Pose, draw_mask, mask_to_rings, paint
from yolox_deploy.synthetic.objects import CLASS_NAMES, SKETCHES
from yolox_deploy.synthetic.sketch import Sketch

EMPTY_SHARE = 0.03
"""Share of pictures without any object."""
SIZE_RANGE = (0.05, 0.6)
"""Short side of an object over the short side of the picture."""
DISTRACTOR_RANGE = (0.01, 0.3)
MAX_LONG_SIDE = 0.85
"""The same of a long side, at most."""
BORDER_SHARE, BEYOND_BORDER = 0.15, 0.3
"""Share of objects that the border of the picture may cut, and the share of their extent that it may cut off."""
OVERLAP_SHARE = 0.35
"""Share of objects that may cover others."""
SHADOW_SHARE = 0.6
MIN_SIDE = 64
"""Least side of a picture, in pixels."""
ATTEMPTS = 8


@dataclass(frozen=True, eq=False)
class Scene:
    """One generated picture and what is in it; objects stand from back to front.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        boxes: (n, 4) float32 x1, y1, x2, y2 in pixels: the bounds of what is visible of each object.
        classes: (n,) int64 indices into `CLASS_NAMES`.
        polygons: per object the rings of its visible mask, each (k, 2) float32 x, y of pixels.
        areas: (n,) int64 visible pixels.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    polygons: tuple[tuple[NDArray[np.float32], ...], ...]
    areas: NDArray[np.int64]


def draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int] = (480, 640),
    *,
    max_objects: int = 8,
    size_range: tuple[float, float] = SIZE_RANGE,
) -> Scene:
    """Draw one scene of (H, W) = `size`; the same `rng` state gives the same scene.

    `size_range` is that of the short side of an object over the short side of the picture; where there is no
    place for it, an object becomes smaller.

    Raises:
        UsageError: a side is too small to draw on, or a size that no object can have.
    """
    if not 0 < size_range[0] <= size_range[1] <= MAX_LONG_SIDE:
        raise UsageError(
            f"the objects are to have {size_range[0]} to {size_range[1]} of the picture's side; "
            f"expected two shares above 0, the lower first, at most {MAX_LONG_SIDE}"
        )
    if min(size) < MIN_SIDE:
        raise UsageError(f"the size is {size[0]}x{size[1]}; scenes need at least {MIN_SIDE} pixels a side")
    canvas = Canvas(draw_background(rng, size))
    _add_distractors(rng, canvas, int(rng.integers(0, 7)))
    classes = []
    count = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, max_objects + 1))
    light = rng.uniform(-0.06, 0.06, 2)
    for class_id in rng.integers(len(CLASS_NAMES), size=count).tolist():
        if _add_object(rng, canvas, SKETCHES[CLASS_NAMES[class_id]](rng), light, size_range):
            classes.append(class_id)
    _add_distractors(rng, canvas, int(rng.integers(0, 3)))
    boxes, polygons, areas = _read_owner(canvas.owner, len(classes))
    return Scene(photograph(rng, canvas.image), boxes, np.array(classes, np.int64), polygons, areas)


def _add_object(
    rng: np.random.Generator,
    canvas: Canvas,
    sketch: Sketch,
    light: NDArray[np.float64],
    size_range: tuple[float, float],
) -> bool:
    """Draw the object somewhere; False where no place was found that leaves all objects visible enough."""
    may_overlap = bool(rng.random() < OVERLAP_SHARE)
    found = _find_place(rng, canvas, sketch, size_range, labelled=True, may_overlap=may_overlap)
    if found is None:
        return False
    pose, mask = found
    if rng.random() < SHADOW_SHARE:
        x, y = np.round(light * max(mask.alpha.shape)).astype(int).tolist()
        canvas.cast_shadow(mask, (x, y), rng.uniform(0.2, 0.6))
    canvas.paste(mask, paint(sketch, pose, mask, rng))
    return True


def _add_distractors(rng: np.random.Generator, canvas: Canvas, count: int) -> None:
    for _ in range(count):
        sketch = draw_distractor(rng)
        found = _find_place(rng, canvas, sketch, DISTRACTOR_RANGE, labelled=False, may_overlap=True)
        if found is not None:
            pose, mask = found
            canvas.paste(mask, paint(sketch, pose, mask, rng), labelled=False)


def _find_place(
    rng: np.random.Generator,
    canvas: Canvas,
    sketch: Sketch,
    size_range: tuple[float, float],
    *,
    labelled: bool,
    may_overlap: bool,
) -> tuple[Pose, Mask] | None:
    """A random pose that fits on the canvas; with each attempt the sketch becomes a little smaller."""
    picture = np.array(canvas.owner.shape[::-1])
    side = int(picture.min())
    short = (
        side * rng.uniform(*np.cbrt(size_range)) ** 3
    )  # between uniform, with few small ones, and log-uniform
    beyond = BEYOND_BORDER if rng.random() < BORDER_SHARE else 0.0
    for _ in range(ATTEMPTS):
        matrix = _random_matrix(rng, sketch)
        outline = np.vstack([ring for ring, _ in sketch.outline]) @ matrix.T
        low, high = outline.min(0), outline.max(0)
        scale = min(short / (high - low).min(), MAX_LONG_SIDE * side / (high - low).max())
        room = beyond * scale * (high - low)
        x, y = rng.uniform(-low * scale - room, picture - high * scale + room).tolist()
        pose = Pose(scale * matrix, (x, y))
        mask = draw_mask(sketch, pose)
        if canvas.fits(mask, labelled=labelled, may_overlap=may_overlap):
            return pose, mask
        short = max(0.85 * short, side * size_range[0])
    return None


def _random_matrix(rng: np.random.Generator, sketch: Sketch) -> NDArray[np.float64]:
    """Mirror, stretch and rotation, (2, 2)."""
    angle, stretch = rng.uniform(-sketch.tilt, sketch.tilt), rng.uniform(0.85, 1.18)
    cos, sin = np.cos(angle), np.sin(angle)
    flip = np.diag((stretch if rng.random() < 0.5 else -stretch, 1.0))
    return np.asarray(np.array([(cos, -sin), (sin, cos)]) @ flip)


def _read_owner(
    owner: NDArray[np.int32], count: int
) -> tuple[NDArray[np.float32], tuple[tuple[NDArray[np.float32], ...], ...], NDArray[np.int64]]:
    """Boxes, polygons and areas of the objects 1 to `count` in a map of pixel owners."""
    boxes, polygons, areas = np.zeros((count, 4), np.float32), [], np.zeros(count, np.int64)
    for index in range(count):
        mask = (owner == index + 1).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        boxes[index] = x, y, x + width, y + height
        areas[index] = cv2.countNonZero(mask)
        polygons.append(mask_to_rings(mask))
    return boxes, tuple(polygons), areas
