"""Rendering sketches to pixels, and a canvas that knows which object each of its pixels shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.synthetic.sketch import Colour, Points, Sketch

TOLERANCE = 0.7
"""Pixels that a simplified ring may leave its contour by."""

Pixels = NDArray[np.uint8]
Region = tuple[slice, slice]
SHIFT = 4
"""Binary digits after the point in the coordinates of polygons that OpenCV draws."""
MIN_VISIBLE = 0.5
"""Least share of an object that stays visible after occlusion and the border of the picture."""
OPAQUE = 128
"""Least alpha (0-255) of a pixel that counts as the object's."""
MAX_EDGE = 5.0
"""Pixels of the widest line along an outline."""


def mask_to_rings(mask: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """The rings of a mask (H, W), one a connected piece, each (k, 2) x, y of pixels with k >= 3.

    COCO's polygons know no holes, so a hole is joined to its piece by a cut without width: `cv2.fillPoly` and
    pycocotools leave it empty again.
    """
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simple = [
        np.asarray(cv2.approxPolyDP(contour, TOLERANCE, True)[:, 0], np.float32) for contour in contours
    ]
    rings = []
    for index, ring in enumerate(simple):
        if hierarchy[0, index, 3] >= 0:  # a hole, which its piece takes in
            continue
        for hole, relation in zip(simple, hierarchy[0], strict=True):
            if relation[3] == index:
                ring = _join(ring, hole)
        # A piece one pixel wide is a point or a line, which a format of polygons needs three corners for.
        rings.append(ring if len(ring) > 2 else ring[[0, -1, -1]])
    return tuple(rings)


def _join(ring: NDArray[np.float32], hole: NDArray[np.float32]) -> NDArray[np.float32]:
    """One ring that goes around, crosses to the hole where they are nearest, around it, and back."""
    distance = np.linalg.norm(ring[:, None] - hole[None], axis=2)
    start, turn = np.unravel_index(distance.argmin(), distance.shape)
    return np.vstack((ring[: start + 1], hole[turn:], hole[: turn + 1], ring[start:]))


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a sketch stands: `matrix` (2, 2) in pixels a unit, and the pixel of its (0, 0)."""

    matrix: NDArray[np.float64]
    centre: tuple[float, float]

    def __call__(self, points: Points) -> Points:
        return np.asarray(points @ self.matrix.T + self.centre)


@dataclass(frozen=True, eq=False)
class Mask:
    """What an object covers: `alpha` (h, w) 0-255, its first pixel at `origin` x, y, maybe outside the picture."""

    origin: tuple[int, int]
    alpha: Pixels


def draw_mask(sketch: Sketch, pose: Pose) -> Mask:
    """Draw the outline of a sketch."""
    rings = [(pose(ring), filled) for ring, filled in sketch.outline]
    corners = np.vstack([ring for ring, filled in rings if filled])
    x, y = (np.floor(corners.min(0)).astype(int) - 2).tolist()
    right, bottom = (np.ceil(corners.max(0)).astype(int) + 2).tolist()
    alpha = np.zeros((bottom - y, right - x), np.uint8)
    for ring, filled in rings:
        cv2.fillPoly(alpha, [_fixed(ring - (x, y))], 255 if filled else 0, cv2.LINE_AA, SHIFT)
    return Mask((x, y), alpha)


def paint(sketch: Sketch, pose: Pose, mask: Mask, rng: np.random.Generator) -> Pixels:
    """Colour, details, light and edge of a sketch over the whole of its mask, (h, w, 3) BGR."""
    colour = np.full((*mask.alpha.shape, 3), sketch.colour, np.uint8)
    scale = float(np.sqrt(abs(np.linalg.det(pose.matrix))))
    for part in sketch.parts:
        points = [_fixed(pose(part.points) - mask.origin)]
        if part.width:
            width = max(1, round(part.width * scale))
            cv2.polylines(colour, points, False, part.colour, width, cv2.LINE_AA, SHIFT)
        else:
            cv2.fillPoly(colour, points, part.colour, cv2.LINE_AA, SHIFT)
    edge_width = round(min(MAX_EDGE, scale * rng.uniform(0, 0.03)))
    return _draw_edge(_light(colour, rng), mask.alpha, sketch.edge, edge_width)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Fixed-point coordinates for OpenCV, whose whole numbers are the centres of pixels."""
    return np.asarray(np.round((points - 0.5) * 2**SHIFT), np.int32)


def _light(colour: Pixels, rng: np.random.Generator) -> Pixels:
    """Light from one side; on some objects also blotches."""
    size = colour.shape[1::-1]
    light = (rng.uniform(0.85, 1.1) + rng.uniform(-0.18, 0.18, (2, 2))).astype(np.float32)
    factor = cv2.resize(light, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        blotches = rng.uniform(-0.15, 0.15, (12, 12)).astype(np.float32)
        factor = cv2.add(factor, cv2.resize(blotches, size, interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.multiply(colour, cv2.merge((factor, factor, factor)), dtype=cv2.CV_8U), np.uint8)


def _draw_edge(colour: Pixels, alpha: Pixels, edge: Colour, width: int) -> Pixels:
    if width < 1:
        return colour
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return lay(np.full(colour.shape, edge, np.uint8), colour, np.asarray(cv2.erode(alpha, kernel), np.uint8))


def lay(under: Pixels, over: Pixels, alpha: Pixels) -> Pixels:
    """`over` laid on `under` with alpha 0-255."""
    share = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(over, under, share, 1 - share), np.uint8)


class Canvas:
    """A picture that objects are pasted on, from back to front.

    Attributes:
        image: (H, W, 3) BGR.
        owner: (H, W) number of the object that each pixel shows, from 1; 0 where there is none.
    """

    def __init__(self, image: Pixels) -> None:
        self.image = image
        self.owner = np.zeros(image.shape[:2], np.int32)
        self._whole = np.zeros(1, np.int64)
        self._visible = np.zeros(1, np.int64)

    def fits(self, mask: Mask, *, labelled: bool = True, may_overlap: bool = True) -> bool:
        """Whether all objects stay visible enough when `mask` comes on top; if it is `labelled`, it too."""
        here, inside = self._regions(mask)
        solid = mask.alpha[inside] >= OPAQUE
        if not solid.any() or (labelled and solid.sum() < MIN_VISIBLE * (mask.alpha >= OPAQUE).sum()):
            return False
        hidden = self._count(here, solid)
        if not hidden.any():
            return True
        return may_overlap and bool((self._visible - hidden >= MIN_VISIBLE * self._whole).all())

    def paste(self, mask: Mask, colour: Pixels, *, labelled: bool = True) -> None:
        """Draw on top; a `labelled` object gets the next number."""
        here, inside = self._regions(mask)
        self.image[here] = lay(self.image[here], colour[inside], mask.alpha[inside])
        solid = mask.alpha[inside] >= OPAQUE
        self._visible = self._visible - self._count(here, solid)
        self.owner[here][solid] = len(self._whole) if labelled else 0
        if labelled:
            self._whole = np.append(self._whole, (mask.alpha >= OPAQUE).sum())
            self._visible = np.append(self._visible, solid.sum())

    def cast_shadow(self, mask: Mask, offset: tuple[int, int], strength: float) -> None:
        """Darken by `strength` (0-1) where the blurred shadow of `mask` falls, `offset` x, y pixels aside."""
        margin = max(4, max(mask.alpha.shape) // 12)
        alpha = np.pad(mask.alpha, margin)
        size = (alpha.shape[1], alpha.shape[0])
        small = cv2.resize(alpha, (-(-size[0] // 4), -(-size[1] // 4)), interpolation=cv2.INTER_AREA)
        kernel = 2 * (margin // 8) + 3
        soft = cv2.resize(cv2.GaussianBlur(small, (kernel, kernel), 0), size, interpolation=cv2.INTER_LINEAR)
        x, y = (mask.origin[axis] + offset[axis] - margin for axis in (0, 1))
        shadow = Mask((x, y), np.asarray(cv2.convertScaleAbs(soft, alpha=strength), np.uint8))
        here, inside = self._regions(shadow)
        if self.image[here].size:
            ground = self.image[here]
            self.image[here] = lay(ground, np.zeros_like(ground), shadow.alpha[inside])

    def _count(self, here: Region, solid: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Pixels of each object under the `solid` ones of a region; entry 0 is no object and stays 0."""
        count = np.bincount(self.owner[here][solid], minlength=len(self._whole))
        count[0] = 0
        return count

    def _regions(self, mask: Mask) -> tuple[Region, Region]:
        """Where picture and mask meet: rows and columns of the picture, and of the mask."""
        here, inside = [], []
        for axis, start in enumerate(mask.origin[::-1]):
            low = max(start, 0)
            high = max(low, min(start + mask.alpha.shape[axis], self.owner.shape[axis]))
            here.append(slice(low, high))
            inside.append(slice(low - start, high - start))
        return (here[0], here[1]), (inside[0], inside[1])
