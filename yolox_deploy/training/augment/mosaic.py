"""Mosaic: four pictures around a point, then a random affine map (paper, section 2.1; from ultralytics-YOLOv3).

The authors fill a canvas twice the sample's height and width and map that. Here each picture is mapped to its
part of the sample at once, and a picture of which nothing shows, one in three, is not even read.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.preprocess import fit
from yolox_deploy.training.augment.geometry import (
    PAD,
    SUBPIXEL_BITS,
    Image,
    Labels,
    Matrix,
    Size,
    clip_labels,
    compose,
    corners,
    random_affine,
    read_labels,
    subpixels,
    transform_labels,
    transform_points,
)
from yolox_deploy.training.config import Augmentation


@dataclass(frozen=True)
class Tile:
    """One picture on the canvas of a mosaic.

    Attributes:
        index: the picture.
        live: its size on the canvas.
        ratio: canvas pixels per picture pixel.
        corner: canvas point of its top-left corner, which may lie outside.
    """

    index: int
    live: Size
    ratio: float
    corner: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Four tiles, and the map from their canvas of (2H, 2W) to the sample of `size` (H, W)."""

    tiles: tuple[Tile, ...]
    matrix: Matrix
    size: Size


def draw_mosaic(
    rng: np.random.Generator, pictures: DetectionDataset, index: int, size: Size, settings: Augmentation
) -> Mosaic:
    """Picture `index` and three random ones, around a point that keeps half a side from the canvas's edges."""
    height, width = size
    top = int(rng.uniform(0.5 * height, 1.5 * height))
    left = int(rng.uniform(0.5 * width, 1.5 * width))
    tiles = []
    for quadrant, number in enumerate([index, *rng.integers(len(pictures), size=3).tolist()]):
        live_h, live_w, ratio = fit(pictures.size(number), size)
        corner = left - live_w * (quadrant % 2 == 0), top - live_h * (quadrant < 2)
        tiles.append(Tile(number, (live_h, live_w), ratio, corner))
    return Mosaic(tuple(tiles), random_affine(rng, size, settings), size)


def mosaic_labels(pictures: DetectionDataset, mosaic: Mosaic) -> Labels:
    """The labels of all four pictures on the sample; those that the crop cut away have empty boxes."""
    canvas = 2 * mosaic.size[0], 2 * mosaic.size[1]
    parts = []
    for tile in mosaic.tiles:
        labels = read_labels(pictures, tile.index)
        labels[:, :4] = labels[:, :4] * tile.ratio + np.array(tile.corner * 2, np.float32)
        parts.append(clip_labels(labels, canvas))
    return transform_labels(np.concatenate(parts), mosaic.matrix, mosaic.size)


def draw_tiles(pictures: DetectionDataset, mosaic: Mosaic) -> Image:
    """The (H, W, 3) uint8 sample; pictures that do not show are not loaded."""
    # OpenCV warps four channels in half the time of three.
    sample = np.full((*mosaic.size, 4), PAD, np.uint8)
    for tile in mosaic.tiles:
        left, top, mask = visible_part(tile, mosaic)
        if mask.any():
            image = load_fitting(pictures, tile.index, mosaic.size)
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2BGRA), np.uint8)
            to_part = _from_pixels(tile, image, mosaic.matrix) - [[0, 0, left], [0, 0, top]]
            part = cv2.warpAffine(image, to_part, mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            cv2.copyTo(part, mask, sample[top : top + mask.shape[0], left : left + mask.shape[1]])
    return np.asarray(cv2.cvtColor(sample, cv2.COLOR_BGRA2BGR), np.uint8)


def load_fitting(pictures: DetectionDataset, index: int, size: Size) -> Image:
    """A picture, resized to fit `size` if it is larger.

    In one step to its place, a large picture would be sampled more coarsely than the authors' are.
    """
    image = pictures.load(index)
    height, width, ratio = fit((image.shape[0], image.shape[1]), size)
    if ratio >= 1:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def visible_part(tile: Tile, mosaic: Mosaic) -> tuple[int, int, Image]:
    """Left, top and mask of a part of the sample, outside of which the tile does not show."""
    (height, width), (left, top) = mosaic.size, tile.corner
    on_canvas = np.array([left, top, left + tile.live[1], top + tile.live[0]])
    on_canvas = on_canvas.clip(0, (2 * width, 2 * height) * 2)
    outline = subpixels(transform_points(corners(on_canvas), mosaic.matrix))
    left, top = np.maximum(outline.min(axis=0) >> SUBPIXEL_BITS, 0).tolist()
    right, bottom = np.minimum((outline.max(axis=0) >> SUBPIXEL_BITS) + 2, (width, height)).tolist()
    mask = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
    if mask.size:
        outline -= np.array([left, top], np.int32) << SUBPIXEL_BITS
        cv2.fillConvexPoly(mask, outline, 255, shift=SUBPIXEL_BITS)
    return left, top, mask


def _from_pixels(tile: Tile, image: Image, matrix: Matrix) -> Matrix:
    """From the pixels of a tile's picture to those of the sample, as `warpAffine` counts: centres are whole."""
    scale_x, scale_y = tile.live[1] / image.shape[1], tile.live[0] / image.shape[0]
    left, top = tile.corner
    place = np.array([[scale_x, 0, left + 0.5 * scale_x], [0, scale_y, top + 0.5 * scale_y]])
    return compose(matrix, place) - [[0, 0, 0.5], [0, 0, 0.5]]
