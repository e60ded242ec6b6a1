"""Where pictures and their boxes go when they are mixed; no pixels here.

`labels` are (n, 5) float32 rows of x1, y1, x2, y2 in pixels and the class. A size is (height, width), a point
(x, y). A 2x3 matrix maps points; in pixels' own coordinates the first pixel reaches from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.preprocess import fit
from yolox_deploy.training.config import Augmentation, Range

PAD = 114
"""The grey around pictures, in all channels, as in the letterbox of inference."""

SUBPIXEL_BITS = 4

Image = NDArray[np.uint8]
Labels = NDArray[np.float32]
Matrix = NDArray[np.float64]
Size = tuple[int, int]


def read_labels(pictures: DetectionDataset, index: int) -> Labels:
    """The labels of one picture, in its own pixels."""
    objects = pictures.objects(index)
    return np.concatenate([objects.boxes, objects.classes[:, None]], axis=1, dtype=np.float32)


def random_affine(rng: np.random.Generator, size: Size, settings: Augmentation) -> Matrix:
    """A random map from the mosaic's canvas, twice as high and wide, to the sample of `size`.

    Rotation and scaling are about the canvas's top-left corner, so a sample is mostly made of the upper left
    picture; that is the authors' way, and what their results were reached with.
    """
    angle = math.radians(rng.uniform(-settings.degrees, settings.degrees))
    scale = rng.uniform(*settings.mosaic_scale)
    shears = np.tan(np.radians(rng.uniform(-settings.shear, settings.shear, 2)))
    shift = rng.uniform(-settings.translate, settings.translate, 2) * (size[1], size[0])
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[1, shears[0]], [shears[1], 1]]) @ [[cos, sin], [-sin, cos]]
    return np.column_stack([linear, shift])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix of `inner` followed by `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def transform_points(points: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """(..., 2) points, mapped."""
    mapped: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def corners(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """(..., 4, 2) corners of (..., 4) boxes, in order around each box."""
    return boxes[..., [0, 1, 2, 1, 2, 3, 0, 3]].reshape(*boxes.shape[:-1], 4, 2)


def subpixels(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Outlines as OpenCV's polygons want them: in 1/16 pixels from the centre of the first pixel."""
    scaled: NDArray[np.int32] = np.rint((points - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return scaled


def transform_labels(labels: Labels, matrix: Matrix, size: Size) -> Labels:
    """The upright boxes around the mapped ones, clipped to `size`; those outside become empty."""
    points = transform_points(corners(labels[:, :4]), matrix)
    mapped = np.concatenate([points.min(axis=1), points.max(axis=1), labels[:, 4:]], axis=1)
    return clip_labels(mapped.astype(np.float32), size)


def clip_labels(labels: Labels, size: Size) -> Labels:
    """Labels with their boxes clipped to `size`."""
    height, width = size
    clipped: Labels = np.clip(labels, 0, (width, height, width, height, math.inf), dtype=np.float32)
    return clipped


@dataclass(frozen=True)
class Overlay:
    """How another picture is laid over a sample: fitted, scaled with its letterbox, cropped, flipped.

    Attributes:
        live: size of the picture itself.
        canvas: size of its letterbox.
        crop: size of the letterbox's part that lies on the sample.
        offset: first point of that part.
        ratio: pixels of the sample per pixel of the picture.
        flip: mirror the part.
    """

    live: Size
    canvas: Size
    crop: Size
    offset: tuple[int, int]
    ratio: float
    flip: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, picture: Size, size: Size, scales: Range) -> Overlay:
        """Scale drawn from `scales`, a crop of `size` anywhere in the letterbox, flip with probability 1/2."""
        factor = rng.uniform(*scales)
        height, width, ratio = fit(picture, size)
        canvas = max(int(size[0] * factor), 1), max(int(size[1] * factor), 1)
        live = round(height * canvas[0] / size[0]), round(width * canvas[1] / size[1])
        crop = min(canvas[0], size[0]), min(canvas[1], size[1])
        left, top = (int(rng.integers(max(canvas[axis] - size[axis], 1))) for axis in (1, 0))
        flip = bool(rng.random() < 0.5)
        return cls((max(live[0], 1), max(live[1], 1)), canvas, crop, (left, top), ratio * factor, flip)

    @property
    def shown(self) -> tuple[slice, slice]:
        """Rows and columns of the sample where the picture itself is, without its letterbox."""
        bottom = min(max(self.live[0] - self.offset[1], 0), self.crop[0])
        right = min(max(self.live[1] - self.offset[0], 0), self.crop[1])
        return slice(bottom), slice(self.crop[1] - right, self.crop[1]) if self.flip else slice(right)

    @property
    def matrix(self) -> Matrix:
        """From the picture to the sample."""
        left, top = self.offset
        if self.flip:
            return np.array([[-self.ratio, 0, left + self.crop[1]], [0, self.ratio, -top]])
        return np.array([[self.ratio, 0, -left], [0, self.ratio, -top]])
