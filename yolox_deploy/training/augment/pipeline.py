"""From a picture of the data set to a training sample (paper, sections 2.1 and 2.2, Table 5; released code).

Mosaic with its affine map, Copy-Paste, MixUp, then shifts of hue, saturation and value, a flip, the letterbox.
Boxes of at most a pixel are dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.errors import UsageError
from yolox_deploy.preprocess import fit
from yolox_deploy.training.augment.geometry import PAD, Image, Labels, read_labels
from yolox_deploy.training.augment.mixing import copy_paste, mix_up
from yolox_deploy.training.augment.mosaic import draw_mosaic, draw_tiles, mosaic_labels
from yolox_deploy.training.config import Augmentation
from yolox_deploy.types import as_size

SMALLEST_SIDE = 1.0
"""Boxes with a side of no more pixels are dropped."""

LIMITS = (5, 30, 30)
"""Greatest shift of hue (of 180), saturation and value (of 255)."""


class Sample(NamedTuple):
    """What the loader batches.

    Attributes:
        image: (3, H, W) BGR, contiguous.
        targets: (max_objects, 5) class, cx, cy, w, h in pixels of `image`; rows of zeros are padding.
    """

    image: NDArray[np.uint8]
    targets: NDArray[np.float32]


class Augmenter:
    """Makes training samples; nothing in it changes, so that a sample depends on its random generator alone.

    Args:
        dataset: where pictures and objects come from, a `DetectionDataset` as a rule.
        size: (H, W) of samples.
        settings: probabilities and ranges.

    Raises:
        UsageError: `size` is not two positive integers, or Copy-Paste is wanted of a data set without masks.
    """

    def __init__(self, dataset: DetectionDataset, size: tuple[int, int], settings: Augmentation) -> None:
        self.dataset, self.size, self.settings = dataset, as_size(size), settings
        # Where few pictures have objects, drawing until one has them would stall.
        self._mixed, self._pasted = dataset.with_objects(), dataset.with_objects(masks=True)
        if settings.copy_paste > 0 and not len(self._pasted):
            raise UsageError(
                "augmentation.copy_paste needs masks, but no object of the data set has a polygon; "
                "set augmentation.copy_paste=0 and use MixUp instead"
            )

    def __call__(self, index: int, rng: np.random.Generator, *, strong: bool = True) -> Sample:
        """One sample around picture `index`; the same for the same state of `rng`.

        Args:
            strong: whether mosaic, and with it MixUp and Copy-Paste, may happen; False for the last epochs.

        Raises:
            InputError: a picture cannot be read; names the file.
        """
        if strong and rng.random() < self.settings.mosaic:
            image, labels = self._mosaic(index, rng)
        else:
            image, labels = self._fitted(index)
        return self._finish(image, labels, rng)

    def _mosaic(self, index: int, rng: np.random.Generator) -> tuple[Image, Labels]:
        settings, dataset = self.settings, self.dataset
        mosaic = draw_mosaic(rng, dataset, index, self.size, settings)
        image, labels = draw_tiles(dataset, mosaic), mosaic_labels(dataset, mosaic)
        if settings.copy_paste and rng.random() < settings.copy_paste:
            other = int(rng.choice(self._pasted))
            image, labels = copy_paste(rng, dataset, other, image, labels, settings.mixup_scale)
        if len(labels) and rng.random() < settings.mixup:
            other = int(rng.choice(self._mixed))
            image, labels = mix_up(rng, dataset, other, image, labels, settings.mixup_scale)
        return image, labels

    def _fitted(self, index: int) -> tuple[Image, Labels]:
        """The picture resized to fit the sample, without padding."""
        image, labels = self.dataset.load(index), read_labels(self.dataset, index)
        height, width, ratio = fit(self.dataset.size(index), self.size)
        if image.shape[:2] != (height, width):
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        labels[:, :4] *= ratio
        return image, labels

    def _finish(self, image: Image, labels: Labels, rng: np.random.Generator) -> Sample:
        sides = (labels[:, 2:4] - labels[:, :2]).min(axis=1)
        kept = labels[sides > SMALLEST_SIDE]
        if len(kept):
            image = shift_hsv(image, random_shifts(rng, self.settings.hsv))
            if rng.random() < self.settings.flip:
                image = np.asarray(cv2.flip(image, 1), np.uint8)
                kept[:, [0, 2]] = image.shape[1] - kept[:, [2, 0]]
        else:
            # As the authors have it: without a proper box the picture stays as it is, with the tiny ones.
            kept = labels[sides > 0]
        return Sample(_planes(image, self.size), _targets(kept, self.settings.max_objects))


def _planes(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(3, H, W) with the picture in the top-left corner and grey around it."""
    height, width = image.shape[:2]
    planes = np.empty((3, *size), np.uint8)
    planes[:, height:] = PAD
    planes[:, :height, width:] = PAD
    # Twice as fast as copying the transposed picture; the parts of `planes` are written in place.
    cv2.split(image, list(planes[:, :height, :width]))
    return planes


def _targets(labels: Labels, max_objects: int) -> NDArray[np.float32]:
    targets = np.zeros((max_objects, 5), np.float32)
    labels = labels[:max_objects]
    targets[: len(labels), 0] = labels[:, 4]
    targets[: len(labels), 1:3] = (labels[:, :2] + labels[:, 2:4]) / 2
    targets[: len(labels), 3:] = labels[:, 2:4] - labels[:, :2]
    return targets


def random_shifts(rng: np.random.Generator, probability: float) -> tuple[int, int, int]:
    """Whole shifts between the limits, each 0 unless drawn with `probability`."""
    shifts = rng.uniform(-1, 1, 3) * LIMITS * (rng.random(3) < probability)
    hue, saturation, value = shifts.astype(int).tolist()
    return hue, saturation, value


def shift_hsv(image: Image, shifts: tuple[int, int, int]) -> Image:
    """A BGR picture with shifted hue (which goes round), saturation and value (which stop at their ends)."""
    hue, saturation, value = shifts
    if shifts == (0, 0, 0):
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    if saturation or value:
        cv2.add(
            hsv, np.array([0, saturation, value, 0], np.float64), dst=hsv
        )  # saturates, faster than a table
    if hue:
        table = ((np.arange(256) + hue) % 180).astype(np.uint8)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), table), hsv, 0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
