"""MixUp and Copy-Paste: another picture, or objects cut out of it, over a sample.

MixUp is that of the paper, section 2.1: the other picture is scaled at random too. Copy-Paste needs masks and is
the alternative of Table 5; Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation", CVPR 2021.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset, Objects
from yolox_deploy.training.augment.geometry import (
    PAD,
    SUBPIXEL_BITS,
    Image,
    Labels,
    Overlay,
    Size,
    read_labels,
    subpixels,
    transform_labels,
    transform_points,
)
from yolox_deploy.training.augment.mosaic import load_fitting
from yolox_deploy.training.config import Range

MOSTLY_COVERED = 0.7
"""An object whose box is covered by more than this share is no longer a target."""


def mix_up(
    rng: np.random.Generator,
    pictures: DetectionDataset,
    index: int,
    image: Image,
    labels: Labels,
    scales: Range,
) -> tuple[Image, Labels]:
    """The mean of a (H, W, 3) sample and picture `index`; the labels of both."""
    size = image.shape[0], image.shape[1]
    overlay = Overlay.draw(rng, pictures.size(index), size, scales)
    # - 0.25 so that halves are rounded down, as the authors' are.
    mixed = cv2.addWeighted(
        image, 0.5, draw_overlay(load_fitting(pictures, index, size), overlay, size), 0.5, -0.25
    )
    return np.asarray(mixed, np.uint8), np.concatenate(
        [labels, transform_labels(read_labels(pictures, index), overlay.matrix, size)]
    )


def draw_overlay(image: Image, overlay: Overlay, size: Size) -> Image:
    """The (H, W, 3) crop of an overlay: grey in its letterbox and, as the authors have it, black around that."""
    (live_h, live_w), (left, top) = overlay.live, overlay.offset
    canvas = np.full((*overlay.canvas, 3), PAD, np.uint8)
    cv2.resize(image, (live_w, live_h), dst=canvas[:live_h, :live_w], interpolation=cv2.INTER_LINEAR)
    part = canvas[top : top + size[0], left : left + size[1]]
    if overlay.flip:
        part = np.asarray(cv2.flip(part, 1), np.uint8)
    bottom, right = size[0] - part.shape[0], size[1] - part.shape[1]
    if bottom or right:
        part = np.asarray(cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)
    return part


def copy_paste(
    rng: np.random.Generator,
    pictures: DetectionDataset,
    index: int,
    image: Image,
    labels: Labels,
    scales: Range,
) -> tuple[Image, Labels]:
    """A (H, W, 3) sample with objects of picture `index` pasted in by their masks, and its labels.

    Each object that has a mask is taken with probability 1/2. Of an object below, the box is shrunk to its
    uncovered part, and dropped if that is less than 1 - `MOSTLY_COVERED` of it.
    """
    size = image.shape[0], image.shape[1]
    masked = np.flatnonzero([bool(rings) for rings in pictures.objects(index).polygons])
    chosen = masked[rng.random(len(masked)) < 0.5]
    if not len(chosen):
        return image, labels
    overlay = Overlay.draw(rng, pictures.size(index), size, scales)
    mask = draw_mask(pictures.objects(index), chosen, overlay, size)
    cv2.copyTo(draw_overlay(load_fitting(pictures, index, size), overlay, size), mask, image)
    pasted = transform_labels(read_labels(pictures, index)[chosen], overlay.matrix, size)
    return image, np.concatenate([uncovered_labels(labels, mask), pasted])


def draw_mask(objects: Objects, chosen: NDArray[np.int64], overlay: Overlay, size: Size) -> Image:
    """(H, W) mask, 255 where one of the chosen objects is drawn; outlines may reach over their picture's edge."""
    mask = np.zeros(size, np.uint8)
    for number in chosen.tolist():
        for ring in objects.polygons[number]:
            outline = subpixels(transform_points(ring, overlay.matrix))
            cv2.fillPoly(mask, [outline], 255, shift=SUBPIXEL_BITS)  # one by one, for rings may overlap
    shown = np.zeros_like(mask)
    shown[overlay.shown] = mask[overlay.shown]
    return shown


def uncovered_labels(labels: Labels, mask: Image) -> Labels:
    """Labels of what still shows when `mask` was painted over."""
    kept = []
    for label in labels:
        left, top = np.floor(label[:2]).astype(int)
        right, bottom = np.ceil(label[2:4]).astype(int)
        free = mask[top:bottom, left:right] == 0
        if not free.size or free.mean() >= 1 - MOSTLY_COVERED:
            kept.append(_shrunk(label, free, left, top))
    return np.array(kept, np.float32).reshape(-1, 5)


def _shrunk(label: Labels, free: NDArray[np.bool_], left: int, top: int) -> Labels:
    """One label, its box cut down to the rectangle around the `free` pixels, the first at (left, top)."""
    if free.all():
        return label
    columns, rows = np.flatnonzero(free.any(axis=0)), np.flatnonzero(free.any(axis=1))
    first = np.maximum(label[:2], (left + columns[0], top + rows[0]))
    last = np.minimum(label[2:4], (left + columns[-1] + 1, top + rows[-1] + 1))
    return np.concatenate([first, last, label[4:]])
